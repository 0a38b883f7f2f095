"""Many Parquet files of the same columns are read as one: with the rows, the names and the errors of each of them."""

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import COLUMNS, scanned, source

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.sources import config, discovery, scan

START = dt.datetime(2024, 1, 5, tzinfo=dt.UTC)


def day(folder: Path, number: int, rows: int = 3, **columns: Any) -> None:
    """A file of a day, whose values can be told from those of other days."""
    folder.mkdir(exist_ok=True)
    values = {
        "id": [f"{number}-{row}" for row in range(rows)],
        "at": [START + dt.timedelta(days=number)] * rows,
        "what": [f"tea {number}"] * rows,
        **{name: value * rows for name, value in columns.items()},
    }
    pq.write_table(pa.table(values), folder / f"{number:04}.parquet")


class Counted:
    """A connection that counts what it is asked."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con, self.queries = con, 0

    def execute(self, *args: Any) -> duckdb.DuckDBPyConnection:
        self.queries += 1
        return self._con.execute(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)


@pytest.mark.parametrize("ask", [scan.scan, discovery.discover])
def test_the_number_of_queries_does_not_grow_with_that_of_files(tmp_path: Path, ask: Any) -> None:
    counts = []
    for files in (2, 40):
        folder = tmp_path / str(files)
        for number in range(files):
            day(folder, number)
        con = Counted(lake.connect())
        ask(con, config.load(source(folder, {"path": "*.parquet"})))
        counts.append(con.queries)
    assert counts[0] == counts[1]


def test_rows_and_faults_have_the_file_and_the_row_they_stand_in(tmp_path: Path) -> None:
    for number in range(3):
        day(tmp_path / "days", number)
    day(tmp_path / "days", 3, file_index=[7])  # other columns, and one that is called as the engine calls the place of a file
    day(tmp_path / "days", 4, file_index=[7])
    broken = pa.table({"id": ["a", None, "c"], "at": [START] * 3, "what": ["tea", "tea", ""]})
    pq.write_table(broken, tmp_path / "days" / "0001b.parquet")
    con, report = scanned(tmp_path, {"path": "days/*.parquet"})
    rows = con.execute("SELECT file, row_number, user_id FROM scanned WHERE reason IS NULL ORDER BY ALL").fetchall()
    assert rows == [
        (f"{tmp_path}/days/{name}.parquet", row, user)
        for name, users in {
            "0000": ["0-0", "0-1", "0-2"],
            "0001": ["1-0", "1-1", "1-2"],
            "0001b": ["a"],
            "0002": ["2-0", "2-1", "2-2"],
            "0003": ["3-0", "3-1", "3-2"],
            "0004": ["4-0", "4-1", "4-2"],
        }.items()
        for row, user in enumerate(users, 1)
    ]
    refused = con.execute(f"SELECT file, row_number, reason FROM {scan.refused()} ORDER BY ALL").fetchall()
    assert refused == [
        (f"{tmp_path}/days/0001b.parquet", 2, "no user_id"),
        (f"{tmp_path}/days/0001b.parquet", 3, "empty text"),
    ]
    assert report.rows == 18


def test_of_rows_with_one_event_id_the_first_by_file_and_row_is_kept(tmp_path: Path) -> None:
    for number in range(4):
        day(tmp_path / "days", number, rows=2, key=["same"])
    con, _ = scanned(tmp_path, {"path": "days/*.parquet", "columns": {**COLUMNS, "event_id": "key"}})
    assert con.execute("SELECT user_id FROM scanned WHERE reason IS NULL").fetchall() == [("0-0",)]


def test_types_that_differ_between_files_are_read_as_each_file_has_them(tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    for number, ids in enumerate(([17000, 17001], [17000.0, None], ["017000", "x"])):
        pq.write_table(pa.table({"id": ids, "at": [START] * 2, "what": ["tea"] * 2}), tmp_path / "days" / f"{number}.parquet")
    con, _ = scanned(tmp_path, {"path": "days/*.parquet"})
    users = con.execute("SELECT user_id FROM scanned WHERE reason IS NULL ORDER BY file, row_number").fetchall()
    assert [user for (user,) in users] == ["17000", "17001", "17000", "017000", "x"]


def test_an_expression_that_fails_in_one_file_names_that_file(tmp_path: Path) -> None:
    for number in range(5):
        day(tmp_path / "days", number, price=["twelve" if number == 3 else "12"])
    entry = {"path": "days/*.parquet", "columns": {**COLUMNS, "amount": "CAST(price AS DOUBLE) * 2"}}
    with pytest.raises(BadInput, match=r"0003\.parquet has a row for which .* cannot be computed"):
        scanned(tmp_path, entry)


def test_times_that_nobody_can_read_name_the_first_file_that_has_any(tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    for number, time in enumerate((None, "the 5th")):
        table = pa.table({"id": ["a"], "at": pa.array([time], pa.string()), "what": ["tea"]})
        pq.write_table(table, tmp_path / "days" / f"{number}.parquet")
    with pytest.raises(BadInput, match=r"1\.parquet has a readable event_time in 'at': row 1 has 'the 5th'"):
        discovery.discover(lake.connect(), config.load(source(tmp_path, {"path": "days/*.parquet"})))


def test_a_broken_file_among_others_is_the_one_that_is_named(tmp_path: Path) -> None:
    for number in range(3):
        day(tmp_path / "days", number)
    (tmp_path / "days" / "0001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match=r"0001\.parquet cannot be read"):
        scanned(tmp_path, {"path": "days/*.parquet"})
