"""What a row means can be said in an expression, and an expression can do nothing else."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import COLUMNS, column, csv, examined, scanned, source

from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config, scan, staging

HEAD = "id,at,what,quantity,price,status,paid\n"
ROWS = (
    "007,2024-01-05,tea,2,4.20,paid,true\n"
    "008,2024-01-06,milk,-1,10.00,refunded,false\n"
    "009,2024-01-07,ring,0,320,paid,true\n"
    "010,2024-01-08,cup,,9.5,,false\n"
)


def shop(folder: Path, **entry: object) -> dict[str, object]:
    return {"path": csv(folder, HEAD + ROWS), **entry}


@pytest.mark.parametrize(
    ("where", "texts"),
    [
        ("quantity > 0", ["tea"]),
        ("quantity > '0'", ["tea"]),
        ("price = 4.20", ["tea"]),
        ("price > 9.99", ["milk", "ring"]),
        ("id = '007'", ["tea"]),
        ("paid", ["tea", "ring"]),
        ("paid = 'true' AND price < 100", ["tea"]),
        ("quantity IS NULL", ["cup"]),
        ("status LIKE 'p%'", ["tea", "ring"]),
        ("price LIKE '4%'", ["tea"]),
        ("Status = 'paid'", ["tea", "ring"]),
        ("id BETWEEN '008' AND '009'", ["milk", "ring"]),
    ],
)
def test_numbers_compare_as_numbers_and_ids_as_texts(tmp_path: Path, where: str, texts: list[str]) -> None:
    con, report = scanned(tmp_path, shop(tmp_path, where=where))
    assert column(con, "text") == texts
    assert report.left_out == 4 - len(texts)


def test_amounts_can_be_computed_and_a_name_that_is_there_wins_over_an_expression(tmp_path: Path) -> None:
    columns = {**COLUMNS, "amount": "quantity * price", "category": "upper(what) || ' ' || id"}
    con, report = scanned(tmp_path, shop(tmp_path, columns=columns))
    assert column(con, "amount") == [8.4, -10.0, 0.0, None]
    assert column(con, "category")[0] == "TEA 007"
    assert report.returns == 1
    file = csv(tmp_path, "id,at,a * b,a,b\nu,2024-01-05,named,2,3\n")
    con, _ = scanned(tmp_path, {"path": file, "columns": {"user_id": "id", "event_time": "at", "text": "a * b"}})
    assert column(con, "text") == ["named"]


def test_an_id_in_an_expression_keeps_its_zeros_unless_its_type_is_told(tmp_path: Path) -> None:
    con, _ = scanned(tmp_path, shop(tmp_path, columns={**COLUMNS, "user_id": "coalesce(id, what)"}))
    assert column(con, "user_id") == ["007", "008", "009", "010"]
    con, _ = scanned(tmp_path, shop(tmp_path, types={"id": "int"}))
    assert column(con, "user_id") == ["7", "8", "9", "10"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"where": "quantity >"}, "`where` cannot be read: `quantity >` is no expression: syntax error"),
        ({"where": "quantity + 1"}, "neither true nor false but of type BIGINT"),
        ({"where": "quantty > 1"}, "has no column 'quantty', which `where` reads .*; it has id, at, what"),
        ({"where": "status > 1"}, r"`status > 1` does not fit its columns .*status is text, `types: \{status: float\}`"),
        ({"where": "true; DROP TABLE x"}, "is more than one expression"),
        ({"where": "id IN (SELECT id FROM range(3))"}, "holds a query within it"),
        ({"where": "id = read_text('/etc/passwd')"}, r"uses read_text\(\)"),
        ({"where": "id = getenv('HOME')"}, r"uses getenv\(\)"),
        ({"where": "id = current_setting('home_directory')"}, r"uses current_setting\(\)"),
        ({"where": "random() < 0.5"}, r"uses random\(\)"),
        ({"where": "price > avg(price)"}, r"uses avg\(\), which reads other rows"),
        ({"where": "row_number() OVER () < 3"}, "a window function"),
        ({"where": "CAST(status AS INTEGER) > 1"}, "has a row for which .* cannot be computed .*TRY_CAST"),
        ({"columns": {**COLUMNS, "amount": "(SELECT 1)"}}, "`amount` cannot be read: .* holds a query"),
        ({"columns": {**COLUMNS, "amount": "price * qty"}}, "has no column 'qty', which `amount` reads"),
        ({"columns": {**COLUMNS, "text": "wht"}}, "has no column 'wht'; it has id, at, what, quantity"),
    ],
)  # fmt: skip
def test_an_expression_that_cannot_be_used_is_refused_in_plain_words(tmp_path: Path, entry: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        examined(tmp_path, shop(tmp_path, **entry))
    assert "Binder" not in str(error.value)
    assert "Error:" not in str(error.value)


REACHING_OUT = ("read_text('/etc/passwd')", "getenv('HOME')", "read_csv('other.csv')", "glob('/etc/*')", "read_blob('/etc/passwd')")


@pytest.mark.parametrize("call", REACHING_OUT)
@pytest.mark.parametrize("place", ["where", "returns", "amount", "text", "lookup key", "profile key"])
def test_no_expression_of_a_source_reaches_out_wherever_it_stands(tmp_path: Path, place: str, call: str) -> None:
    csv(tmp_path, "key,name\n007,tea\n", "names.csv")
    profile = {"path": csv(tmp_path, "id,age\n007,3\n", "users.csv"), "key": call if place == "profile key" else "id"}
    lookup = {"from": "names.csv", "key": "key", "column": "name", "on": call}
    entry = {
        "where": {"where": f"id = {call}"},
        "returns": {"returns": f"id = {call}"},
        "amount": {"columns": {**COLUMNS, "amount": call}},
        "text": {"columns": {**COLUMNS, "text": f"concat(what, {call})"}},
        "lookup key": {"columns": {**COLUMNS, "text": lookup}},
        "profile key": {},
    }[place]
    with pytest.raises(
        BadInput, match=r"`(where|returns|amount|text|text.on|key)` cannot be read: .* uses \w+\(\), which"
    ) as error:
        examined(tmp_path, shop(tmp_path, **entry), profile)
    assert "Error" not in str(error.value)


def test_a_connection_that_reads_a_source_opens_its_files_alone_and_stays_locked(tmp_path: Path) -> None:
    file = csv(tmp_path, HEAD + ROWS, "orders.csv")
    con, report = scanned(tmp_path, {"path": file})
    assert report.good == 4
    assert con.execute(f"SELECT count(*) FROM read_text('{tmp_path / file}')").fetchone() == (1,)
    for sql in ("FROM read_text('/etc/passwd')", "FROM read_csv('/etc/passwd')", f"FROM read_text('{tmp_path / 'source.yaml'}')",
                f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'", f"ATTACH '{tmp_path / 'other.db'}'", "LOAD httpfs"):  # fmt: skip
        with pytest.raises(duckdb.PermissionException, match="disabled"):
            con.execute(sql)
    for setting in ("enable_external_access=true", "lock_configuration=false", "allowed_paths=['/etc/passwd']"):
        with pytest.raises(duckdb.Error):
            con.execute(f"SET {setting}")
    assert not (tmp_path / "out.csv").exists()


def test_the_connection_of_a_home_is_locked_too(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    loaded = config.load(source(tmp_path, shop(tmp_path)))
    prepared = staging.prepare(settings, staging.discover(settings, loaded))
    con = staging.open_scan(settings, prepared.source)
    with pytest.raises(duckdb.PermissionException):
        con.execute("FROM read_text('/etc/passwd')")
    con.close()
    staging.open_home(settings, prepared.source)
    assert staging.stage(settings).channels[0].good == 4


def test_a_declared_type_loses_what_does_not_fit(tmp_path: Path) -> None:
    file = csv(tmp_path, HEAD + ROWS + "011,2024-01-09,pot,two,3,paid,true\n")
    con, report = scanned(tmp_path, {"path": file, "where": "quantity > 0", "types": {"quantity": "int"}})
    assert (column(con, "text"), report.left_out) == (["tea"], 4)


def test_returns_are_an_act_of_their_own(tmp_path: Path) -> None:
    con, report = scanned(
        tmp_path, shop(tmp_path, returns="status = 'refunded'", columns={**COLUMNS, "amount": "price", "status": "status"})
    )
    assert column(con, "status") == ["paid", "return", "paid", None]
    assert report.returns == 1
    _, report = scanned(tmp_path, shop(tmp_path, columns={**COLUMNS, "amount": "quantity"}), channel="spm")
    assert report.returns == 0  # a negative amount of anything but a payment says nothing


def test_nested_fields_of_parquet_structures(tmp_path: Path) -> None:
    rows = [{"id": "u", "at": "2024-01-05", "p": {"name": "tea", "price": 2.5, "q": {"n": 4}}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    columns = {"user_id": "id", "event_time": "at", "text": "p.name", "amount": "p.price * p.q.n"}
    con, _ = scanned(tmp_path, {"path": "e.parquet", "columns": columns, "where": "p.q.n > 3"})
    assert (column(con, "text"), column(con, "amount")) == (["tea"], [10.0])
    with pytest.raises(BadInput, match=r"text is 'p' of .*, which holds several values in one: name a field of it"):
        examined(tmp_path, {"path": "e.parquet", "columns": {**columns, "text": "p"}})
    with pytest.raises(BadInput, match=r"has no column 'p.nme'; it has id, at, p.name, p.price"):
        examined(tmp_path, {"path": "e.parquet", "columns": {**columns, "text": "p.nme"}})


def test_a_lookup_table_gives_texts_and_categories_and_says_what_it_lacks(tmp_path: Path) -> None:
    csv(tmp_path, "sku;name;group\n01;tea;food\n02;cup;\n02;mug;home\n", "articles.csv")
    file = csv(tmp_path, "id,at,article\nu,2024-01-05,01\nv,2024-01-06,02\nw,2024-01-07,1\nx,2024-01-08,\n")
    lookup = {"from": "articles.csv", "key": "sku", "on": "article"}
    columns = {"user_id": "id", "event_time": "at", "text": {**lookup, "column": "name"}, "category": {**lookup, "column": "group"}}
    con, report = scanned(tmp_path, {"path": file, "columns": columns})
    assert (column(con, "text"), column(con, "category")) == (["tea", "cup"], ["food", "home"])
    assert report.bad == {"article is not in articles.csv": 1, "empty text": 1}
    assert con.execute(f"SELECT row_number FROM {scan.refused()} ORDER BY 1").fetchall() == [(3,), (4,)]
    notes = examined(tmp_path, {"path": file, "columns": columns}).notes
    assert any("1 of its keys have several values of 'name'" in note for note in notes)
