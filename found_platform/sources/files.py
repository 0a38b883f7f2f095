"""Files: how a location becomes a DuckDB view, a row each, and what of a CSV file is no row at all.

What belongs here: headers, columns, row numbers, the errors of files. What does not: what a column means (`scan`, `profile`).
"""

import csv
import gzip
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from found_platform.errors import BadInput
from found_platform.lake import as_arrow, literal, quote
from found_platform.sources.options import Location


def is_csv(location: Location) -> bool:
    return not location.is_delta() and location.files()[0].name.endswith((".csv", ".csv.gz"))


def csv_header(path: Path) -> list[str]:
    """The column names of a CSV file; an unnamed one is called after its place. Raises BadInput when there are none."""
    try:
        # a file is decoded in blocks: broken bytes in the rows below must not spoil the header
        with _opened(path, "rt", newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            names = next(csv.reader(file))
            ",".join(names).encode()
    except (StopIteration, UnicodeError, OSError, csv.Error):
        raise BadInput(f"{path} has no header line in UTF-8: a CSV file starts with its column names.") from None
    names = [name or f"column{i}" for i, name in enumerate(names)]
    _check_distinct(path, names)
    return names


def _opened(path: Path, mode: str, **text: str) -> Any:
    return gzip.open(path, mode, **text) if path.name.endswith(".gz") else open(path, mode, **text)  # pyright: ignore


def _check_distinct(path: Path, names: list[str]) -> None:
    if len({name.lower() for name in names}) < len(names):
        raise BadInput(f"{path} names a column twice ({', '.join(names)}): names must differ, not only in case.")


def check_columns(wanted: Iterable[str], there: list[str], file: Path, where: str) -> None:
    """Raises BadInput that begins with `where` when a wanted column is not there."""
    for column in wanted:
        if column not in there:
            raise BadInput(f"{where}: {file} has no column {column!r}; it has {', '.join(there)}.")


def make_view(
    con: duckdb.DuckDBPyConnection, location: Location, view: str, wanted: Iterable[str], where: str, key: str = ""
) -> list[str]:
    """Makes a view of a location with `_file` and `_row` (from 1) beside its columns, and returns their names.

    CSV columns stay text; a value that is left out is null, and so is a quoted empty one, except in the column `key`, where it
    stays empty. Of a CSV file, `_row` counts the rows that could be read (see `locate_refused` for the others). Each file is read
    by its own header, in order. Raises BadInput that begins with `where` when a file cannot be read or misses a wanted column.
    """
    files = location.files()
    try:
        if location.is_delta():
            con.register(f"{view}_delta", as_arrow(DeltaTable(location.path)))
            con.execute(
                f"CREATE OR REPLACE VIEW {view} AS "
                f"SELECT *, {literal(location.path)} AS _file, row_number() OVER () AS _row FROM {view}_delta"
            )
        elif files[0].name.endswith(".parquet"):
            for file in files:
                _check_distinct(file, pq.read_schema(file).names)
            relation = con.read_parquet([str(f) for f in files], filename=True, file_row_number=True, union_by_name=True)
            names = [c for c in relation.columns if c not in ("filename", "file_row_number")]
            columns = [*map(quote, names), "filename AS _file", "file_row_number + 1 AS _row"]
            relation.project(", ".join(columns)).create_view(view, replace=True)
        else:
            parts = [_csv(file, wanted, where, key) for file in files]
            con.execute(f"CREATE OR REPLACE VIEW {view} AS " + " UNION ALL BY NAME ".join(parts))
        there = [row[0] for row in con.execute(f"SELECT column_name FROM (DESCRIBE {view})").fetchall()]
    except (duckdb.Error, DeltaError, pa.ArrowException) as error:
        raise BadInput(f"{where}: {files[0]} cannot be read: {first_line(error)}.") from None
    there = [name for name in there if name not in ("_file", "_row")]
    check_columns(wanted, there, files[0], where)
    return there


def _csv(file: Path, wanted: Iterable[str], where: str, key: str) -> str:
    names = csv_header(file)
    check_columns(wanted, names, file, where)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    columns = ", ".join(quote(name) if name == key else f"nullif({quote(name)}, '') AS {quote(name)}" for name in names)
    # one file at a time: over several, rows would have no order to be numbered in
    return (
        f"(SELECT {columns}, {literal(str(file))} AS _file, row_number() OVER () AS _row FROM read_csv({literal(str(file))}, "
        "auto_detect=false, header=true, delim=',', quote='\"', allow_quoted_nulls=false, store_rejects=true, "
        f"columns={{{types}}}))"
    )


NO_ROWS = """CASE error WHEN 'MISSING COLUMNS' THEN 'wrong number of columns' WHEN 'TOO MANY COLUMNS' THEN 'wrong number of columns'
    WHEN 'INVALID ENCODING' THEN 'not UTF-8' WHEN 'UNQUOTED VALUE' THEN 'a quote that does not close'
    WHEN 'LINE SIZE OVER MAXIMUM' THEN 'a line over 2 MB' ELSE 'not readable as CSV' END"""


def take_rejects(con: duckdb.DuckDBPyConnection, where: str) -> None:
    """Moves what the last query refused of CSV files into the temporary table `rejects` (file, row_number, reason), and forgets it.

    Their row number is DuckDB's line less the header: it counts records, accepted or not (a quoted line break starts none), and
    empty lines. A row with two faults has the first in the order of `NO_ROWS`. Raises BadInput that begins with `where` for a quote
    that may have swallowed the lines after it: nobody can say how many rows those were.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE rejects AS SELECT s.file_path AS file, CAST(e.line AS BIGINT) - 1 AS row_number, "
        f"{NO_ROWS} AS reason, swallowed FROM (SELECT scan_id, file_id, line, min(error_type) AS error, "
        "bool_or(error_type = 'UNQUOTED VALUE' AND (length(csv_line) >= 10000 OR "  # where DuckDB cuts it
        "regexp_matches(rtrim(csv_line, chr(10) || chr(13)), '[\\n\\r]'))) AS swallowed "
        "FROM reject_errors GROUP BY ALL) e JOIN reject_scans s USING (scan_id, file_id)"
    )
    con.execute("DELETE FROM reject_errors")
    con.execute("DELETE FROM reject_scans")
    first = con.execute("SELECT file, row_number FROM rejects WHERE swallowed ORDER BY ALL LIMIT 1").fetchone()
    if first:
        raise BadInput(
            f"{where}: {first[0]}, row {first[1]:,}: a double quote opens and does not close where its line ends, so nobody can "
            "say where the row ends: close it, or double it where it is part of a text."
        )


def locate_refused(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Numbers the refused rows of CSV files in `table` as they stand there: with unreadable rows and empty lines counted.

    Args:
        table: entry, file, row_number (as `make_view` numbers them), reason; the rows to number have a reason. The temporary table
            `rejected` has the rows that could not be read, in the same columns (as `take_rejects` numbers them).
    """
    con.execute("CREATE OR REPLACE TEMP TABLE passed_over AS SELECT entry, file, row_number FROM rejected")
    for entry, file in con.execute(f"SELECT DISTINCT entry, file FROM {table} WHERE reason IS NOT NULL").fetchall():
        if file.endswith((".csv", ".csv.gz")) and (rows := _empty_lines(Path(file))):
            con.execute("INSERT INTO passed_over SELECT ?, ?, unnest(?)", [entry, file, rows])
    # the k-th readable row comes after the n-th passed over where fewer than k readable rows, `before`, come before that one
    con.execute(
        "CREATE OR REPLACE TEMP TABLE gaps AS SELECT entry, file, row_number - n AS before, max(n) AS n FROM "
        "(SELECT *, row_number() OVER (PARTITION BY entry, file ORDER BY row_number) AS n FROM passed_over) GROUP BY ALL"
    )
    con.execute(
        f"UPDATE {table} SET row_number = row_number + moved.n FROM (SELECT s.rowid AS id, gaps.n FROM {table} s ASOF JOIN gaps "
        "ON s.entry = gaps.entry AND s.file = gaps.file AND s.row_number > gaps.before WHERE s.reason IS NOT NULL) moved "
        f"WHERE {table}.rowid = moved.id"
    )


def _empty_lines(path: Path) -> list[int]:
    """Which rows of a CSV file, from 1 below the header, are empty lines: DuckDB passes over them without a word."""
    if not _may_have_empty_lines(path):
        return []
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with _opened(path, "rt", newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return [number for number, row in enumerate(csv.reader(file)) if not row]
    finally:
        csv.field_size_limit(limit)


def _may_have_empty_lines(path: Path) -> bool:
    """Whether line ends follow each other anywhere, be it within quotes: most files have none, and are not read row by row."""
    last = b""
    with _opened(path, "rb") as file:
        while block := file.read(1 << 20):
            if re.search(rb"\n\r?\n|\r\r", last + block):
                return True
            last = block[-2:]
    return False


def query(con: duckdb.DuckDBPyConnection, where: str, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
    """Runs SQL over a view of files. Raises BadInput that begins with `where` for what only reading shows."""
    try:
        return con.execute(sql, parameters or [])
    except duckdb.Error as error:
        raise BadInput(f"{where} cannot be read: {first_line(error)}.") from None


def first_line(error: Exception) -> str:
    line = str(error).splitlines()[0].rstrip(".!")
    return "its lines end in different ways, save it with one kind of line ending" if "state machine" in line else line


def with_hashes(rows: pa.Table) -> pa.Table:
    """The rows with `file_sha256` of their `file`; empty for a Delta folder."""
    files = rows["file"].combine_chunks().dictionary_encode()
    hashes = [_sha256(name) if Path(name).is_file() else "" for name in files.dictionary.to_pylist()]
    return rows.append_column("file_sha256", pa.array(hashes, pa.string()).take(files.indices))


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
