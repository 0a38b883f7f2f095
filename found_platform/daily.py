"""Daily tables: those with a row's day in `event_date`, in one file or in many, of which days are replaced.

What belongs here: the layout of files that follows from the amount of data (`docs/adr/0017`), which days are in which file, their
hashes. What does not: Delta tables in general (`lake`), what is in them (`features`, `sources`).
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from found_platform import lake, lake_schema, objects, row_hash
from found_platform.lake_place import Place

FILE_SIZE, SMALL_FILES = 16 * 2**20, 32
"""Bytes of a file of a daily table: to replace a day rewrites the files that it lies in. And how many files of less than half of
that there may be: more are written together."""


def replace_days(
    root: Place,
    table: str,
    data: Any,
    start: dt.date,
    end: dt.date,
    *,
    schema: pa.Schema,
    replace: Callable[..., int] = lake.replace,
) -> int:
    """Replaces the days `[start, end)` of a daily table in one commit and returns the new version.

    A daily table has the column `event_date` and no partitions: how many files it has follows from how much is in it. Files hold
    days that follow each other as far as they were written so; their statistics say which. `data` is what `replace` takes:
    rows for `lake.replace`, a query for that of an engine.
    """
    _unpartition(root, table)
    predicate = f"event_date >= '{start.isoformat()}' AND event_date < '{end.isoformat()}'"
    version = replace(root, table, data, schema=schema, predicate=predicate, file_size=FILE_SIZE)
    return _compact(root, table, schema) or version


def _unpartition(root: Place, table: str) -> None:
    """Gives a table that an earlier version of the platform has made, a folder for each day, the layout of `replace_days`.

    Its versions before stay as they are.
    """
    if not lake.exists(root, table) or not lake.opened(root, table).metadata().partition_columns:
        return
    with lake.turn(root, table):
        about = lake.opened(root, table)
        if not about.metadata().partition_columns:
            return  # somebody else did it meanwhile
        schema = pa.schema(about.schema().to_arrow())
        con = lake.connect()
        if live := [f["path"] for f in lake.files_of(about)]:  # in the order of their days
            columns = ", ".join(map(lake.quote, schema.names))
            rows = con.execute(f"SELECT {columns} FROM {lake.scan_of(con, about, lake.path(root, table), live)}")
            data = rows.to_arrow_reader(lake.LONG_ROWS)
        else:
            data = schema.empty_table()
        about.alter.set_table_properties({lake_schema.STATISTICS: lake_schema.statistics(schema, ())})
        write_deltalake(
            str(lake.path(root, table)),
            data if isinstance(data, pa.Table) else data.cast(schema),
            mode="overwrite",
            schema_mode="overwrite",
            partition_by=[],
            target_file_size=FILE_SIZE,
            writer_properties=lake.writer_properties(schema),
            storage_options=objects.options(root),
        )


def _compact(root: Place, table: str, schema: pa.Schema) -> int | None:
    """Writes small files together where there are many, in one commit, and returns its version; None where there are few."""
    with lake.turn(root, table):
        about = lake.opened(root, table)
        if sum(f["size_bytes"] < FILE_SIZE / 2 for f in lake.files_of(about)) <= SMALL_FILES:
            return None
        about.optimize.compact(target_size=FILE_SIZE, writer_properties=lake.writer_properties(schema))
        return about.version()


def days_of_file(file: dict) -> tuple[dt.date, dt.date]:
    """The first and the last day in a file of a daily table, of those that `files` gives."""
    if (day := file.get("partition.event_date")) is not None:  # the layout of an earlier version
        return dt.date.fromisoformat(str(day)), dt.date.fromisoformat(str(day))
    return file["min.event_date"], file["max.event_date"]


def has_days(root: Place, table: str, start: dt.date, end: dt.date) -> bool:
    """Whether a daily table may have rows of the days `[start, end)`, by its log alone."""
    return any(first < end and last >= start for first, last in map(days_of_file, lake.files(root, table)))


def last_day(root: Place, table: str) -> dt.date | None:
    """The last day of which a daily table has rows, by its log alone."""
    return max((days_of_file(file)[1] for file in lake.files(root, table)), default=None)


def day_hashes(root: Place, table: str, start: dt.date, end: dt.date) -> dict[str, tuple[int, str]]:
    """Row count and row hash of each day of `[start, end)` of a daily table, as `row_hash.by_key`; none of a day without rows."""
    con = lake.connect()
    lake.view(con, "t", root, table)
    fields = ", ".join(map(lake.quote, pa.schema(lake.open_table(root, table).schema().to_arrow()).names))
    rows = con.execute(
        f"{row_hash.HASHED.format(key='event_date', fields=fields)} WHERE event_date >= ? AND event_date < ? GROUP BY 1",
        [start, end],
    )
    return {k: (n, f"{int(h):016x}") for k, n, h in rows.fetchall()}


def size_of_days(root: Place, table: str, start: dt.date, end: dt.date) -> int:
    """Bytes of the live files of a daily table that hold days of `[start, end)`, among others perhaps."""
    about = lake.files(root, table)
    return sum(f["size_bytes"] for f in about for first, last in [days_of_file(f)] if first < end and last >= start)
