"""Times are read as they are written, row by row, or refused with what would read them."""

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import column, csv, examined, scanned

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.sources import scan, times
from found_platform.sources.options import TimeRule


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return lake.connect()


def read(con: duckdb.DuckDBPyConnection, value: str, **rule: object) -> str | None:
    sql = times.moment("x", "VARCHAR", TimeRule.model_validate({"timezone": "UTC", **rule}))
    row = con.execute(f"SELECT strftime(timezone('UTC', {sql}), '%Y-%m-%d %H:%M:%S.%g') FROM (SELECT ? AS x)", [value]).fetchone()
    return row[0].removesuffix(".000") if row and row[0] else None


MORNING = "2024-03-01 07:50:26"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-03-01 09:50:26 +0200", MORNING),
        ("2024-03-01T09:50:26+02:00", MORNING),
        ("2024-03-01 09:50:26+02", MORNING),
        ("2024-03-01T07:50:26Z", MORNING),
        ("2024-03-01t07:50:26z", MORNING),
        ("2024-03-01 07:50:26 UTC", MORNING),
        ("2024-03-01 07:50:26 GMT", MORNING),
        ("  2024-03-01 07:50:26  ", MORNING),
        ("2024/03/01 7:50:26", MORNING),
        ("2024-03-01 07:50:26,250", "2024-03-01 07:50:26.250"),
        ("2024-03-01 00:50:26 -0700", MORNING),
        ("2024-03-01", "2024-03-01 00:00:00"),
        ("2024-02-29 24:00", "2024-03-01 00:00:00"),
    ],
)
def test_iso_times_are_read_with_and_without_an_offset(con: duckdb.DuckDBPyConnection, value: str, moment: str) -> None:
    assert read(con, value) == moment


@pytest.mark.parametrize(
    "value",
    [
        "01/03/24 00:22", "3/1/2024", "01-03-24", "24-03-01", "31.12.2024", "20240301", "1709252577", "45352.5", "2024-02-30",
        "2024-03-01 09:50:26 Europe/Berlin", "2024-03-01 09:50:26 EST", "epoch", "now", "today", "infinity", "2024-03-01T09",
        "99999-01-01", "2024-03-01 09:50:26 +9900", "2024-W09-5", "2024-03-01 BC",
    ],
)  # fmt: skip
def test_what_could_mean_several_times_is_refused(con: duckdb.DuckDBPyConnection, value: str) -> None:
    assert read(con, value) is None


@pytest.mark.parametrize(
    ("value", "first", "second"),
    [
        ("01/03/24 00:22", "2024-03-01 00:22:00", "2024-01-03 00:22:00"),
        ("31.12.2024", "2024-12-31 00:00:00", None),
        ("12/31/2024 11:59:01 PM", None, "2024-12-31 23:59:01"),
        ("1/2/99 12:00 AM", "1999-02-01 00:00:00", "1999-01-02 00:00:00"),
        ("1-3-2024 13:26 PM", None, None),
        ("1/3/2024 10:00 +0200", "2024-03-01 08:00:00", "2024-01-03 08:00:00"),
        ("2024-03-01 10:00", "2024-03-01 10:00:00", "2024-03-01 10:00:00"),
    ],
)
def test_the_order_of_day_and_month_is_told(con: duckdb.DuckDBPyConnection, value: str, first: str, second: str) -> None:
    assert (read(con, value, day_first=True), read(con, value, day_first=False)) == (first, second)


@pytest.mark.parametrize(
    ("value", "unit", "moment"),
    [
        ("1709252577", "s", "2024-03-01 00:22:57"),
        ("1709252577.25", "s", "2024-03-01 00:22:57.250"),
        ("1709252577000.0", "ms", "2024-03-01 00:22:57"),
        ("1.709252577E12", "ms", "2024-03-01 00:22:57"),
        ("1709252577000000", "us", "2024-03-01 00:22:57"),
        ("1709252577000000123", "ns", "2024-03-01 00:22:57"),
        ("45352.5", "excel", "2024-03-01 12:00:00"),
        ("1709252577000", "s", None),
        ("inf", "s", None),
        ("2024-03-01", "s", None),
    ],
)
def test_numbers_are_read_in_the_told_unit(con: duckdb.DuckDBPyConnection, value: str, unit: str, moment: str) -> None:
    assert read(con, value, unit=unit) == moment


def test_formats_are_tried_in_their_order_and_never_stretch_a_year(con: duckdb.DuckDBPyConnection) -> None:
    both = ["%d/%m/%Y %H:%M", "%d/%m/%y %H:%M"]
    assert read(con, "01/03/24 00:22", format=both) == "2024-03-01 00:22:00"
    assert read(con, "01/03/24 00:22", format=both[0]) is None
    assert read(con, "01/Mar/2024:00:22:57 +0200", format="%d/%b/%Y:%H:%M:%S %z") == "2024-02-29 22:22:57"


def test_a_zone_name_in_one_row_moves_no_other_row(tmp_path: Path) -> None:
    rows = ["u,2024-03-01 10:00,a", "u,2024-03-01 10:00 America/New_York,b", "u,2024-03-01 10:00,c", "u,2024-03-01 10:00 +0500,d"]
    con, report = scanned(tmp_path, {"path": csv(tmp_path, "\n".join(["id,at,what", *rows]) + "\n"), "timezone": "Europe/Berlin"})
    assert [time.hour for time in column(con, "event_time")] == [9, 9, 5]
    assert report.bad == {"unparsable event_time": 1}


def test_gaps_and_repeated_hours_of_a_clock_are_read_alike_each_time(con: duckdb.DuckDBPyConnection) -> None:
    assert read(con, "2024-03-31 02:30", timezone="Europe/Berlin") == "2024-03-31 01:30:00"
    assert read(con, "2024-10-27 02:30", timezone="Europe/Berlin") == "2024-10-27 01:30:00"


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (["1709252577"], "`unit: s`"),
        (["1709252577000"], "`unit: ms`"),
        (["20240301"], "`format: '%Y%m%d'`"),
        (["45352.0159"], "`unit: excel`"),
        (["01/03/24", "17/03/24"], "`day_first: true`"),
        (["3/1/2024", "3/17/2024"], "`day_first: false`"),
        (["1 Mar 2024 00:22"], "`format: '%d %b %Y %H:%M'`"),
        (["Fri, 01 Mar 2024 00:22:57 +0000"], "`format: '%a, %d %b %Y %H:%M:%S %z'`"),
        (["Mar 1, 2024, 8:26 PM"], "`format: '%b %d, %Y, %I:%M %p'`"),
        (["2024-03-01 09:50 Europe/Berlin"], "cuts the zone's name off each value"),
    ],
)
def test_an_error_names_a_value_its_row_and_what_reads_it(tmp_path: Path, values: list[str], remedy: str) -> None:
    file = csv(tmp_path, "id;at;what\n" + "".join(f'u;"{v}";tea\n' for v in values))
    with pytest.raises(BadInput, match=r"no row of .* has a readable event_time in 'at': row 1 has") as error:
        examined(tmp_path, {"path": file})
    assert remedy in str(error.value)
    assert values[0] in str(error.value)
    if remedy.startswith("`") and "names" not in remedy:
        key, _, value = remedy.strip("`").partition(": ")
        told = {"true": True, "false": False}.get(value, value.strip("'"))
        assert examined(tmp_path, {"path": file, key: told}).channels[0].good == len(values)


def test_numbers_in_parquet_ask_for_their_unit(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["u"], "at": [1709252577000], "what": ["tea"]}), tmp_path / "e.parquet")
    with pytest.raises(BadInput, match=r"event_time is a column of type BIGINT, not a time .*`unit: ms`"):
        examined(tmp_path, {"path": "e.parquet"})
    con, _ = scanned(
        tmp_path, {"path": "e.parquet", "columns": {"user_id": "id", "event_time": {"column": "at", "unit": "ms"}, "text": "what"}}
    )
    assert column(con, "event_time") == [dt.datetime(2024, 3, 1, 0, 22, 57)]


def test_each_time_column_can_have_its_own_rule(tmp_path: Path) -> None:
    file = csv(tmp_path, "id,at,what,known\nu,3/1/2024,tea,1709424000\n")
    columns = {"user_id": "id", "event_time": "at", "text": "what", "arrived_at": {"column": "known", "unit": "s"}}
    con, _ = scanned(tmp_path, {"path": file, "columns": columns, "day_first": False})
    assert column(con, "event_time") + column(con, "arrived_at") == [dt.datetime(2024, 3, 1), dt.datetime(2024, 3, 3)]


def test_days_that_stand_for_no_time_and_future_days_are_named(tmp_path: Path) -> None:
    rows = "".join(f"u,{day},tea\n" for day in ("2024-03-01", "1970-01-01", "2098-05-05"))
    notes = examined(tmp_path, {"path": csv(tmp_path, "id,at,what\n" + rows)}).notes
    assert any("1970-01-01, a day that programs write" in note and "row 2" in note for note in notes)
    assert any("2098-05-05, in the future" in note and "row 3" in note for note in notes)


def test_rows_that_are_named_are_numbered_as_the_file_has_them(tmp_path: Path) -> None:
    """Also behind lines that are empty, and lines that are no rows."""
    rows = "u,2024-03-01,tea\n\nu,2024-03-02,tea,more\nu,2098-05-05,tea\n"
    notes = examined(tmp_path, {"path": csv(tmp_path, "id,at,what\n" + rows)}).notes
    assert any("2098-05-05, in the future" in note and "row 4" in note for note in notes)


def test_of_a_row_with_a_fault_no_more_is_kept_than_what_names_it(tmp_path: Path) -> None:
    con, _ = scanned(tmp_path, {"path": csv(tmp_path, "id,at,what\nu,2024-03-01,tea\nu,soon,secret\n")})
    assert con.execute(f"SELECT row_number, reason, value FROM {scan.refused()}").fetchall() == [
        (2, "unparsable event_time", "soon")
    ]
    assert con.execute("SELECT text FROM scan_rows ORDER BY event_time").fetchall() == [("tea",), (None,)]
