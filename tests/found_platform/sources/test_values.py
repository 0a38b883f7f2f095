"""Ids to the digit, numbers as told, placeholders as nothing, and files as people have them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import COLUMNS, column, csv, examined, scanned, shares

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.sources import scan
from found_platform.sources.profile import GOOD, read_profile

ROW = "u1,2024-01-05,tea\n"


def parquet(folder: Path, name: str, ids: pa.Array) -> None:
    n = len(ids)
    pq.write_table(pa.table({"id": ids, "at": ["2024-01-05"] * n, "what": ["tea"] * n}), folder / name)


def test_ids_of_files_of_different_types_are_the_same_texts(tmp_path: Path) -> None:
    big = 4_611_686_018_427_387_905  # a float holds it not to the digit
    parquet(tmp_path, "a.parquet", pa.array([17000, big]))
    parquet(tmp_path, "b.parquet", pa.array([17000.0, None], pa.float64()))
    parquet(tmp_path, "c.parquet", pa.array(["17000", str(big)]))
    con, report = scanned(tmp_path, {"path": "*.parquet"})
    assert column(con, "user_id") == ["17000", str(big), "17000", "17000", str(big)]
    assert report.bad == {"no user_id": 1}


def test_an_id_whose_digits_a_float_has_lost_is_nobodys(tmp_path: Path) -> None:
    parquet(tmp_path, "a.parquet", pa.array([float(2**53 + 2), 7.0]))
    report = examined(tmp_path, {"path": "a.parquet"})
    assert report.channels[0].bad == {"user_id is a float without its last digits": 1}
    assert any("such numbers stand for several ids each" in note for note in report.notes)


@pytest.mark.parametrize(
    ("kind", "values"), [(pa.decimal128(22, 2), [17000, 5]), (pa.float32(), [17000.0, 5.0]), (pa.uint64(), [17000, 5])]
)
def test_numbers_that_are_ids_have_no_fraction(tmp_path: Path, kind: Any, values: list) -> None:
    parquet(tmp_path, "a.parquet", pa.array(values).cast(kind))
    assert column(scanned(tmp_path, {"path": "a.parquet"})[0], "user_id") == ["17000", "5"]


def test_a_join_that_finds_nobody_is_named_with_its_reason(tmp_path: Path) -> None:
    file = csv(tmp_path, "id,at,what\n" + "".join(f"{i}.0,2024-01-05,tea\n" for i in range(30)))
    csv(tmp_path, "id,city\n" + "".join(f"{i},Ulm\n" for i in range(30)), "people.csv")
    notes = examined(tmp_path, {"path": file}, {"path": "people.csv", "key": "id"}).notes
    assert "0 of 30 users have a profile row" in notes
    assert any("30 more would have one, but their ids differ by `.0` alone" in note for note in notes)
    notes = examined(tmp_path, {"path": file, "types": {"id": "int"}}, {"path": "people.csv", "key": "id"}).notes
    assert "30 of 30 users have a profile row" in notes
    csv(tmp_path, "id,city\nAnna,Ulm\n", "people.csv")
    notes = examined(tmp_path, {"path": file}, {"path": "people.csv", "key": "id"}).notes
    assert any("(nearly) nobody of the events" in note for note in notes)


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [("Anna", "anna", "upper and lower case"), ("007", "7", "zeros before them"), ("'u1 '", "u1", "spaces"), ("7", "7.0", "`.0`")],
)
def test_ids_that_nearly_agree_are_named_and_kept_apart(tmp_path: Path, one: str, other: str, difference: str) -> None:
    rows = f"{one},2024-01-05,tea\n{other},2024-01-05,tea\n".replace("'", '"')
    report = examined(tmp_path, {"path": csv(tmp_path, "id,at,what\n" + rows)})
    assert report.channels[0].users == 2
    assert any(f"differ by {difference} alone" in note for note in report.notes)


@pytest.mark.parametrize("null", ["NULL", "null", "\\N", "undefined", "nan", "NaN", "None", "-", "N/A", "<NA>", " NULL "])
def test_a_placeholder_is_no_value_anywhere_and_is_said(tmp_path: Path, null: str) -> None:
    text = f"id,at,what,paid\n{null},2024-01-05,tea,1\nu,{null},tea,1\nu,2024-01-05,{null},1\nu,2024-01-05,tea,{null}\n"
    con, report = scanned(tmp_path, {"path": csv(tmp_path, text), "columns": {**COLUMNS, "amount": "paid"}})
    assert report.bad == {"no user_id": 1, "no event_time": 1, "empty text": 1}
    assert column(con, "amount") == [None]
    assert report.nulls == {f"{name}: {null.strip()}": 1 for name in ("user_id", "event_time", "text", "amount")}


def test_placeholders_can_be_told(tmp_path: Path) -> None:
    file = csv(tmp_path, "id,at,what\nguest,2024-01-05,tea\nNULL,2024-01-05,tea\nu,2024-01-05,guest \n")
    con, report = scanned(tmp_path, {"path": file, "nulls": ["guest"]})
    assert (column(con, "user_id"), report.bad) == (["NULL"], {"empty text": 1, "no user_id": 1})


@pytest.mark.parametrize(
    ("entry", "values", "amounts"),
    [
        ({}, ["12.90", " 7 ", "-3", "1e3", "-0.0"], [12.9, 7, -3, 1000, 0]),
        ({}, ["12,90", "1_000", "1 000", "EUR 5", "0x1F"], [None] * 5),
        ({"decimal": ","}, ["12,90", "1.234,50", "1 234,5", "-7", "1.234"], [12.9, 1234.5, 1234.5, -7, 1234]),
        ({"decimal": ","}, ["12.90", "1.23,4", "1,2,3"], [None] * 3),
        ({"decimal": "."}, ["1,234.50", "12,90", "1234"], [1234.5, None, 1234]),
    ],
)
def test_a_decimal_comma_is_told_and_never_guessed(tmp_path: Path, entry: dict, values: list[str], amounts: list[float]) -> None:
    file = csv(tmp_path, "id,at,what,paid\n" + "".join(f'u,2024-01-05,tea,"{v}"\n' for v in values))
    con, _ = scanned(tmp_path, {"path": file, "columns": {**COLUMNS, "amount": "paid"}, **entry})
    assert [row[0] for row in con.execute("SELECT amount FROM scanned ORDER BY row_number").fetchall()] == amounts
    if not entry and None in amounts:
        assert any(
            '`decimal: ","`' in note for note in examined(tmp_path, {"path": file, "columns": {**COLUMNS, "amount": "paid"}}).notes
        )


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        ("id;at;what\nu1;2024-01-05;grüner Tee\n".encode("utf-8-sig"), {}),
        ("id\tat\twhat\nu1\t2024-01-05\tgrüner Tee\n".encode("utf-16"), {}),
        ("id|at|what\nu1|2024-01-05|grüner Tee\n".encode("utf-16-le"), {}),
        ("id,at,what\nu1,2024-01-05,grüner Tee\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("id;at;what\nu1;2024-01-05;'grüner Tee'\n".encode(), {"quote": "'"}),
        ("id;at;what\r\nu1;2024-01-05;grüner Tee\r\n".encode(), {"quote": ""}),
        ('"id, the key";at;what\nu1;2024-01-05;grüner Tee\n'.encode(), {"columns": {**COLUMNS, "user_id": "id, the key"}}),
        ("id,at,what, of;it\nu1,2024-01-05,grüner Tee,x\n".encode(), {"delimiter": ","}),
    ],
)
def test_text_files_are_read_as_they_are_written(tmp_path: Path, content: bytes, entry: dict) -> None:
    con, report = scanned(tmp_path, {"path": csv(tmp_path, content), **entry})
    assert (column(con, "text"), report.bad) == (["grüner Tee"], {})


def test_quotes_within_quotes_and_line_ends_are_part_of_a_text(tmp_path: Path) -> None:
    file = csv(tmp_path, 'id,at,what\nu1,2024-01-05,"19\\" rack,\nblack"\n,2024-01-05,tea\n')
    con, _ = scanned(tmp_path, {"path": file, "escape": "\\"})
    assert column(con, "text") == ['19" rack, black']
    assert con.execute(f"SELECT row_number, reason FROM {scan.refused()}").fetchall() == [(2, "no user_id")]


def test_a_header_with_two_delimiters_is_no_guess(tmp_path: Path) -> None:
    file = csv(tmp_path, "id;at;what,more\nu;2024-01-05;tea,x\n")
    with pytest.raises(BadInput, match=r"its header holds comma \(1\) and semicolon \(2\).*say `delimiter:`"):
        examined(tmp_path, {"path": file})


@pytest.mark.parametrize("name", ["E.CSV", "e.Txt", "e.tsv", "e.CSV.GZ", "e.tsv.gz", "e.csv.zst"])
def test_names_in_any_case_and_compressed_files(tmp_path: Path, name: str) -> None:
    text = f"id,at,what\n{ROW}".replace(",", "\t" if "tsv" in name else ",").encode()
    if name.lower().endswith(".gz"):
        text = gzip.compress(text)
    elif name.endswith(".zst"):
        text = pa.Codec("zstd").compress(text, asbytes=True)
    assert column(scanned(tmp_path, {"path": csv(tmp_path, text, name)})[0], "text") == ["tea"]


def test_a_kind_can_be_told_and_kinds_are_not_mixed(tmp_path: Path) -> None:
    csv(tmp_path, f"id,at,what\n{ROW}", "e.dump")
    with pytest.raises(BadInput, match="say `kind: csv`"):
        examined(tmp_path, {"path": "e.dump"})
    assert examined(tmp_path, {"path": "e.dump", "kind": "csv"}).channels[0].good == 1
    csv(tmp_path, "{}", "e.jsonl")
    csv(tmp_path, f"id,at,what\n{ROW}", "e.csv")
    with pytest.raises(BadInput, match="files of different kinds"):
        examined(tmp_path, {"path": "e.[cj]*"})


OBJECTS: list[dict[str, Any]] = [
    {"id": "u1", "at": "2024-01-05T10:00:00Z", "p": {"name": "tea", "price": 2.5, "items": [{"sku": "01"}]}, "a.b": "x"},
    {"id": 17000, "at": "2024-01-06T10:00:00Z", "p": {"name": "undefined", "price": None}},
    {"id": 12345678901234567890, "at": "2024-01-07T10:00:00Z", "p": {"name": "two\nlines"}, "late": "column"},
]
NESTED = {
    "user_id": "id",
    "event_time": "at",
    "text": "p.name",
    "amount": "p.price * 2",
    "category": "a.b",
    "status": "p.items.0.sku",
}


@pytest.mark.parametrize("form", ["lines", "gz", "array", "spaced"])
def test_json_lines_and_arrays_with_nested_fields(tmp_path: Path, form: str) -> None:
    lines = "\n".join(json.dumps(o) for o in OBJECTS) + "\n"
    content = {
        "gz": gzip.compress(lines.encode()),
        "array": json.dumps(OBJECTS).encode(),
        "spaced": lines.replace("\n", "\n\n").encode(),
    }
    file = csv(tmp_path, content.get(form, lines.encode()), {"gz": "e.jsonl.gz", "array": "e.json"}.get(form, "e.ndjson"))
    con, report = scanned(tmp_path, {"path": file, "columns": NESTED})
    assert column(con, "user_id") == ["u1", "12345678901234567890"]
    assert column(con, "text") == ["tea", "two lines"]
    assert (column(con, "amount"), column(con, "category"), column(con, "status")) == ([5.0, None], ["x", None], ["01", None])
    assert (report.rows, report.bad) == (3, {"empty text": 1})


def test_broken_json_is_a_bad_row_with_its_place(tmp_path: Path) -> None:
    lines = [json.dumps(OBJECTS[0]), '{"id": "u2", ', json.dumps(OBJECTS[0]), "soon"]
    con, report = scanned(tmp_path, {"path": csv(tmp_path, "\n".join(lines), "e.jsonl"), "columns": NESTED})
    assert report.bad == {"not readable as JSON": 2}
    assert con.execute(f"SELECT row_number FROM {scan.refused()} ORDER BY 1").fetchall() == [(2,), (4,)]


def test_an_object_is_no_value(tmp_path: Path) -> None:
    file = csv(tmp_path, "\n".join(map(json.dumps, OBJECTS)), "e.jsonl")
    with pytest.raises(BadInput, match=r"'p' of .* is an object: name a field of it, such as p.name"):
        examined(tmp_path, {"path": file, "columns": {**NESTED, "text": "p"}})
    with pytest.raises(BadInput, match=r"has no column 'p.nme'; it has id, at, p.name"):
        examined(tmp_path, {"path": file, "columns": {**NESTED, "text": "p.nme"}})


@pytest.mark.parametrize(("users", "share", "refused"), [(200, 0.3, True), (60, 0.3, True), (5, 0.4, False), (200, 0.05, False)])
def test_an_id_that_holds_an_implausible_share_must_be_confirmed(tmp_path: Path, users: int, share: float, refused: bool) -> None:
    others = users - 1
    bot = round(share * others * 4 / (1 - share))
    rows = [f"u{i % others},2024-01-05,text {i % 40}" for i in range(others * 4)] + [
        f"bot,2024-01-05,text {i % 40}" for i in range(bot)
    ]
    file = csv(tmp_path, "\n".join(["id,at,what", *rows * 4]) + "\n")
    refusals = shares(examined(tmp_path, {"path": file}))
    assert bool(refusals) == refused
    if refused:
        assert "user_id 'bot' holds" in refusals[0]
        assert "`confirm: ['bot']`" in refusals[0]
        assert not shares(examined(tmp_path, {"path": file, "confirm": "bot"}))
        assert examined(tmp_path, {"path": file, "nulls": ["bot"]}).channels[0].bad == {"no user_id": 4 * bot}


def test_profile_types_can_be_told_and_consent_has_its_words(tmp_path: Path) -> None:
    file = csv(tmp_path, f"id,at,what\n{ROW}")
    people = [
        "id;zip;age;mail;spend;since",
        "u1;01151;30;SUBSCRIBED;12,5;31.12.2023",
        "u2;1152;old;UNSUBSCRIBED;NULL;01.01.2024",
        "u3;;7;;1;1.1.2024",
    ]
    csv(tmp_path, "\n".join(people) + "\n", "people.csv")
    profile = {
        "path": "people.csv", "key": "id", "as_of": "since", "day_first": True, "decimal": ",",
        "types": {"age": "int"}, "consent": {"column": "mail", "yes": "subscribed"},
    }  # fmt: skip
    report = examined(tmp_path, {"path": file}, profile)
    assert report.source.profile_schema == {"zip": "string", "age": "int", "mail": "bool", "spend": "float"}
    assert (report.profile.rows, report.profile.bad, report.profile.lost) == (3, {}, {"age is not a whole number": 1})
    assert report.source.profile
    con = lake.connect()
    read_profile(con, report.source.profile, report.source.profile_schema or {})
    rows = sorted(con.table(GOOD).to_arrow_table().to_pylist(), key=lambda r: r["user_id"])
    assert [(r["zip"], r["age"], r["mail"], r["spend"]) for r in rows] == [
        ("01151", 30, True, 12.5),
        ("1152", None, False, None),
        (None, 7, None, 1.0),
    ]


@pytest.mark.parametrize("quoted", [False, True])
def test_no_row_of_a_large_file_is_lost_where_many_cannot_be_split(tmp_path: Path, quoted: bool) -> None:
    """Several threads lose stretches of such a file in DuckDB: it is larger than one of their stretches."""
    rows = 120_000
    faults = {7: ",1,2", 11: "", 13: "\xe9"}  # too many columns, an empty line, no UTF-8
    lines, empty, bad, first = [], 0, 0, []
    for i in range(1, rows + 1):
        text = f"{'tea with milk ' * 5}{i % 9}"
        fault = next((f for n, f in faults.items() if i % n == 0 or (n == 7 and i % 5)), None)
        if fault == "":
            lines.append("")
            empty += 1
        else:
            lines.append(f"u{i % 999},2024-01-05,{f'{chr(34)}a, {text}{chr(34)}' if quoted else text}{fault or ''}")
            bad += fault is not None
        if i in (3, 77):
            first.append(i)
            lines[-1] = ",2024-01-05,tea"
            bad += fault is None
            empty -= fault == ""
            bad += fault == ""
    content = ("id,at,what\n" + "\n".join(lines) + "\n").encode("latin-1")
    con, report = scanned(tmp_path, {"path": csv(tmp_path, content)})
    assert (report.rows, report.good) == (rows - empty, rows - empty - bad)
    numbers = con.execute(f"SELECT row_number FROM {scan.refused()} WHERE reason = 'no user_id' ORDER BY 1").fetchall()
    assert [n for (n,) in numbers] == first
    assert set(report.bad) == {"no user_id", "wrong number of columns", "not UTF-8"}
