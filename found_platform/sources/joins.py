"""Joins: the rows of a DuckDB query over several named files, where an export spreads an event over them.

What belongs here: `tables:` with `query:` in a source file, and what such a query may touch. What does not: lookup tables, which
need no query (`mapping`), and queries of databases (`databases`).
"""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.lake import literal, quote
from found_platform.sources import values
from found_platform.sources.files import JSON_LINE, NO_ROWS, Part, first_line, forget_rejects, json_pointer, parts
from found_platform.sources.options import Location
from found_platform.sources.progress import pulling
from found_platform.sources.sandbox import lock
from found_platform.sources.snapshots import ROWS_A_GROUP, Snapshot, State

MOST_SECONDS = 3600.0
"""Of a query: a recursive one, or one that pairs every row with every other, might go on for ever."""


def pull(tables: Mapping[str, Location], query: str, where: str, snapshot: Snapshot, *, full: bool = False) -> int:
    """Writes the rows of a query over named files into a snapshot, and returns how many; 0 where no file has changed.

    The query reads the named files and nothing else: it opens no other file and no address, and changes nothing.

    Raises:
        BadInput: A file cannot be read, a row of it is none, or the query is wrong.
    """
    files = {name: location.files() for name, location in tables.items()}
    originals = {str(f): f"{f.stat().st_size}-{f.stat().st_mtime_ns}" for paths in files.values() for f in paths}
    originals["query"] = hashlib.sha256(repr((query, sorted(tables.items()))).encode()).hexdigest()
    state = snapshot.state()
    if state.originals == originals and not full:
        return 0
    with snapshot.work() as work:
        path, name = work / "part-0000.parquet", f"{state.readings + 1:06d}-0000.parquet"
        rows = _join(tables, query, where, [f for paths in files.values() for f in paths], path)
        snapshot.commit(State((name,), readings=state.readings + 1, originals=originals), [(path, name)])
    return rows


def _join(tables: Mapping[str, Location], query: str, where: str, files: list[Path], path: Path) -> int:
    con = lake.connect(temp=path.parent / "tmp")
    try:
        read = {name: parts(con, location, f"{where}, table {name!r}") for name, location in tables.items()}
        for name, several in read.items():
            selects = [_select(part, tables[name]) for part in several]
            con.execute(f"CREATE VIEW {quote(name)} AS {' UNION ALL BY NAME '.join(selects)}")
        forget_rejects(con)
        lock(con, {*files, *(part.content for several in read.values() for part in several if part.content)})
        rows = _write(con, query, where, path)
        _refuse_unreadable_rows(con, where)
    except duckdb.Error as error:
        raise BadInput(f"{where}: the tables cannot be read: {first_line(error)}.") from None
    finally:
        con.close()
    return rows


def _select(part: Part, location: Location) -> str:
    """One file as a relation of its columns: of text files and JSON Lines they are texts, placeholders are null, types as told."""
    columns = []
    for name, kind in part.columns.items():
        if part.json:
            value, kind = f"json_extract_string({JSON_LINE}, {literal(json_pointer(name))})", "VARCHAR"
        else:
            value = quote(name)
        if values.is_text(kind):
            value = values.without_placeholders(value, location.null_texts)
        if name in location.types:
            value = values.as_type(f"({value})", kind, location.types[name], location.decimal)
        columns.append(f"{value} AS {quote(name)}")
    return f"SELECT {', '.join(columns) or 'NULL AS no_column'} FROM {part.relation}"


def _write(con: duckdb.DuckDBPyConnection, query: str, where: str, path: Path) -> int:
    rows = 0
    stop = threading.Timer(MOST_SECONDS, con.interrupt)
    stop.daemon = True
    stop.start()
    try:
        statements = con.extract_statements(query)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise BadInput(f"{where}: the query is not one SELECT: write SELECT … FROM the names under `tables`.")
        reader = con.execute(f"SELECT * FROM (\n{query.strip().rstrip(';')}\n)").to_arrow_reader(ROWS_A_GROUP)
        with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer, pulling(where, " rows") as more:
            for batch in reader:
                writer.write_batch(batch)
                more(batch.num_rows)
                rows += batch.num_rows
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if "interrupted" not in str(error).lower():
            raise BadInput(f"{where}: the query cannot be run: {first_line(error)}.") from None
        raise BadInput(
            f"{where}: the query has not ended within {MOST_SECONDS / 60:g} minutes: does it join on the right columns, and "
            "does it end at all? Write its result into a file yourself where it needs longer."
        ) from None
    finally:
        stop.cancel()
    return rows


def _refuse_unreadable_rows(con: duckdb.DuckDBPyConnection, where: str) -> None:
    """Raises BadInput for rows that could not be read: behind a join nobody would see that they are missing."""
    if not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors' AND temporary").fetchone():
        return
    row = con.execute(
        f"SELECT s.file_path, CAST(line AS BIGINT) - 1, {NO_ROWS}, count(*) OVER () FROM "
        "(SELECT scan_id, file_id, line, min(error_type) AS error FROM reject_errors GROUP BY ALL) "
        "JOIN reject_scans s USING (scan_id, file_id) ORDER BY ALL LIMIT 1"
    ).fetchone()
    if row:
        file, number, reason, count = row
        raise BadInput(f"{where}: {count:,} rows of the tables cannot be read, the first is row {number:,} of {file}: {reason}.")
