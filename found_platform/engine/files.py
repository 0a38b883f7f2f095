"""Tables as the files that delta-rs names: what an engine reads, and how files that it has written become a version.

An engine so needs to know Parquet and nothing of Delta. What belongs here: files and the log. What does not: the sessions of an
engine (`spark_connect`), Delta tables in general (`lake`).
"""

# pyright: reportMissingImports=false
# (the extra `scale` is not part of the default install)

import datetime as dt
import functools
import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from found_platform import daily, lake, lake_schema
from found_platform.errors import JobFailed

TYPES = {
    pa.string(): "STRING",
    pa.binary(): "BINARY",
    pa.int8(): "TINYINT",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}
"""Types of columns, in the SQL of Spark."""

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What stands in the path of a file in place of null."""


def type_of(kind: pa.DataType) -> str:
    if isinstance(kind, pa.Decimal128Type):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return f"ARRAY<{TYPES[kind.value_type]}>" if isinstance(kind, pa.ListType) else TYPES[kind]


def columns_of(schema: Iterable[pa.Field]) -> str:
    return ", ".join(f"`{f.name}` {type_of(f.type)}" for f in schema)


def of_days(about: DeltaTable, days: tuple[dt.date, dt.date] | None) -> list[dict]:
    """The live files of a table, as `lake.files_of`; of a daily table those that may hold days `[start, end)`, by its log."""
    live = lake.files_of(about)
    if days is None:
        return live
    start, end = days
    return [file for file in live for first, last in [daily.days_of_file(file)] if first < end and last >= start]


def holding(about: DeltaTable, folder: Path, predicate: str) -> list[str]:
    """The live files of a table that have rows which an SQL condition selects."""
    paths = {str(folder / file["path"]): file["path"] for file in lake.files_of(about)}
    if not paths:
        return []
    con = lake.connect()
    rows = lake.scan_of(con, about, folder, paths.values(), names=True)
    return sorted(paths[name] for (name,) in con.execute(f"SELECT DISTINCT filename FROM {rows} WHERE {predicate}").fetchall())


def frame(session: Any, about: DeltaTable, folder: Path, files: Iterable[dict]) -> Any:
    """The rows of these files of a table, as a data frame of a session.

    Values of partition columns stand in the log: an engine that reads them from paths guesses their types, or drops them.
    """
    from pyspark.sql.functions import lit

    schema, keys = pa.schema(about.schema().to_arrow()), about.metadata().partition_columns
    stored = columns_of(f for f in schema if f.name not in keys)
    groups: dict[tuple, list[str]] = {}
    for file in files:
        groups.setdefault(tuple(file[f"partition.{key}"] for key in keys), []).append(str(folder / file["path"]))
    parts = []
    if missing := next((path for paths in groups.values() for path in paths if not Path(path).exists()), None):
        raise JobFailed(f"{missing} is gone, which a version of this table is read from: run this again.")  # Sail would read on
    for values, paths in groups.items():
        rows = session.read.schema(stored).parquet(*paths)
        for key, value in zip(keys, values, strict=True):
            rows = rows.withColumn(key, lit(None if value is None else str(value)).cast(type_of(schema.field(key).type)))
        parts.append(rows.select(*schema.names))
    if parts:
        return functools.reduce(lambda first, second: first.union(second), parts)
    return no_rows(session, schema)


def no_rows(session: Any, schema: Iterable[pa.Field]) -> Any:
    """A data frame of a session without rows: of an empty table a client makes none."""
    return session.sql(f"SELECT {', '.join(f'CAST(NULL AS {type_of(f.type)}) AS `{f.name}`' for f in schema)} WHERE 1 = 0")


def new_folder(folder: Path) -> Path:
    """A name below a table's folder for files of one commit: what a killed run leaves there is swept as what was replaced is."""
    return folder / f"written-{uuid.uuid4().hex[:12]}"


def parquet_below(folder: Path, written: Path) -> list[str]:
    """The files with rows that an engine has written, by their paths below the table's folder; others are removed.

    Values in paths become what delta-rs makes of them: some engines leave characters that others take for a path's own.
    """
    paths = []
    for path in sorted(path for path in written.rglob("*") if path.is_file()):
        if path.suffix != ".parquet" or not pq.read_metadata(path).num_rows:
            path.unlink()
            continue
        parts = (part.partition("=") for part in path.relative_to(folder).parts)
        name = "/".join(f"{key}={quote(unquote(value), safe='')}" if equals else key for key, equals, value in parts)
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        paths.append(str(path.rename(folder / name).relative_to(folder)))
    return paths


def commit(about: DeltaTable, folder: Path, new: list[str], replaced: list[str]) -> int:
    """Puts files in the place of others, in one commit on this version of a table, and returns the new version.

    Raises deltalake's CommitFailedError where somebody else committed since.
    """
    if not new and not replaced:
        return about.version()
    keys, now = about.metadata().partition_columns, int(time.time() * 1000)
    named = [c for c in about.metadata().configuration.get(lake_schema.STATISTICS, "").split(",") if c]
    live = {file["path"]: file for file in lake.files_of(about)}
    actions: list[AddAction | RemoveAction] = []
    for path in replaced:
        values = {key: None if (v := live[path][f"partition.{key}"]) is None else str(v) for key in keys}
        actions.append(RemoveAction(path, True, now, live[path]["size_bytes"], values))
    for path in new:
        statistics = json.dumps(_statistics(folder / path, named))
        actions.append(AddAction(path, (folder / path).stat().st_size, _values(path, keys), now, True, statistics))
    about.create_write_transaction(
        actions,
        mode="append",
        schema=about.schema(),
        partition_by=keys,
        commit_properties=CommitProperties(custom_metadata={"engine": "Spark Connect"}, max_commit_retries=0),
    )
    return DeltaTable(about.table_uri).version()


def _values(path: str, keys: list[str]) -> dict[str, str | None]:
    """The values of partition columns that stand in a path."""
    parts = dict(part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part)
    return {key: None if parts[key] == NO_VALUE else unquote(parts[key]) for key in keys}


def _statistics(path: Path, named: list[str]) -> dict:
    """What the log has of a file, from its footer: of these columns, and of no other one."""
    about = pq.read_metadata(path)
    places = {about.schema.column(i).path: i for i in range(about.num_columns)}
    minima, maxima, nulls = {}, {}, {}
    for column in named:
        statistics = [about.row_group(group).column(places[column]).statistics for group in range(about.num_row_groups)]
        if any(s is None or not s.has_null_count for s in statistics):
            continue
        nulls[column] = sum(s.null_count for s in statistics)
        ranges = [(s.min, s.max) for s in statistics if s.num_values]
        if ranges and all(s.has_min_max for s in statistics if s.num_values):
            minima[column], maxima[column] = _json(min(r[0] for r in ranges)), _json(max(r[1] for r in ranges))
    return {"numRecords": about.num_rows, "minValues": minima, "maxValues": maxima, "nullCount": nulls}


def _json(value: dt.date | dt.datetime | int) -> str | int:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, dt.date) else value
