"""The lake without persons: tables rewritten from their rows that stay, and their past removed.

No statement names a person: what is written is the rows of others, as a replacement of whole partitions, or of the table. Then old
files are removed, the log is written together, and its old entries are removed with whatever statistics they had. `docs/erasure.md`
says what older versions are for, and that they are gone.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from found_platform import daily, lake, objects
from found_platform.erasure.persons import Persons
from found_platform.lake_place import Place
from found_platform.privacy.user_tables import USER_TABLES, UserTable
from found_platform.settings import Settings


def remove(settings: Settings, persons: Persons, table: UserTable) -> int:
    """Rewrites what of a table holds rows of persons; returns how many rows. A list of users loses its items, the row stays."""
    if not lake.exists(settings.lake, table.name):
        return 0
    with lake.connect(settings.duckdb_memory) as con:
        con.register("erased", pa.table({"user_key": pa.array(sorted(persons.keys), pa.string())}))
        if table.list_of_keys:
            return _remove_items(settings, persons, table)
        count = 0
        for predicate in _partitions_with(con, settings, table) if table.partition_by else [None]:
            count += _remove_rows(con, settings, table, predicate)
    return count


def _partitions_with(con: duckdb.DuckDBPyConnection, settings: Settings, table: UserTable) -> Iterator[str]:
    """A predicate for each partition with rows of persons; it names the partition."""
    lake.view(con, "t", settings.lake, table.name)
    columns = ", ".join(map(lake.quote, table.partition_by))
    rows = con.execute(
        f"SELECT DISTINCT {columns} FROM t SEMI JOIN erased ON t.{lake.quote(table.key)} = erased.user_key"
    ).fetchall()
    for values in rows:
        yield partition(table.partition_by, values)


def partition(columns: Sequence[str], values: Sequence[Any]) -> str:
    """The predicate of the partition with these values of its columns."""
    return " AND ".join(f"{column} = {_literal(value)}" for column, value in zip(columns, values, strict=True))


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else lake.literal(str(value))


def _remove_rows(con: duckdb.DuckDBPyConnection, settings: Settings, table: UserTable, predicate: str | None) -> int:
    about = lake.open_table(settings.lake, table.name)
    schema = pa.schema(about.schema().to_arrow())
    lake.view(con, "t", settings.lake, table.name)
    key, within = f"t.{lake.quote(table.key)} = erased.user_key", f" WHERE {predicate}" if predicate else ""
    row = con.execute(f"SELECT count(*) FROM t SEMI JOIN erased ON {key}{within}").fetchone()
    count = int(row[0]) if row else 0
    if not count:
        return 0
    columns = ", ".join(map(lake.quote, schema.names))
    rows = con.execute(f"SELECT {columns} FROM t ANTI JOIN erased ON {key}{within}").to_arrow_reader(lake.LONG_ROWS)
    _replace(settings, table.name, pa.RecordBatchReader.from_batches(schema, _cast(rows, schema)), schema, predicate)
    return count


def _cast(rows: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        yield batch.cast(schema)


def _replace(
    settings: Settings, name: str, data: pa.Table | pa.RecordBatchReader, schema: pa.Schema, predicate: str | None
) -> None:
    lake.replace(settings.lake, name, data, schema=schema, predicate=predicate, file_size=None if predicate else daily.FILE_SIZE)


def _remove_items(settings: Settings, persons: Persons, table: UserTable) -> int:
    rows = lake.read(settings.lake, table.name)
    lists = [[user for user in users or () if user not in persons.keys] for users in rows[table.key].to_pylist()]
    count = sum(len(users or ()) for users in rows[table.key].to_pylist()) - sum(map(len, lists))
    if count:
        place = rows.column_names.index(table.key)
        changed = rows.set_column(place, rows.schema.field(place), pa.array(lists, rows.schema.field(place).type))
        _replace(settings, table.name, changed, rows.schema, None)
    return count


def remove_texts(settings: Settings) -> int:
    """Takes the texts of a day that no event of the day has any more out of `behavior_text`; returns how many."""
    name = "behavior_text"
    if not (lake.exists(settings.lake, name) and lake.exists(settings.lake, "raw_events")):
        return 0
    with lake.connect(settings.duckdb_memory) as con:
        lake.view(con, "t", settings.lake, name)
        lake.view(con, "events", settings.lake, "raw_events")
        same = "ON t.text_id = events.text_id AND t.event_date = events.event_date"
        row = con.execute(f"SELECT count(*) FROM t ANTI JOIN events {same}").fetchone()
        if not row or not row[0]:
            return 0
        schema = pa.schema(lake.open_table(settings.lake, name).schema().to_arrow())
        columns = ", ".join(map(lake.quote, schema.names))
        kept = con.execute(f"SELECT {columns} FROM t SEMI JOIN events {same} ORDER BY event_date").to_arrow_table().cast(schema)
        _replace(settings, name, kept, schema, None)
        return int(row[0])


def forget_past(settings: Settings, tables: Collection[str] | None = None) -> int:
    """Removes what tables held before: files that no row is read from, and log entries. Returns the number of files.

    Args:
        tables: None stands for every table.
    """
    removed = 0
    for name in lake.tables(settings.lake):
        if tables is not None and name not in tables:
            continue
        with lake.turn(settings.lake, name):
            about = lake.opened(settings.lake, name)
            removed += len(about.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True))
            about = lake.opened(settings.lake, name)
            about.create_checkpoint()
            removed += _forget_log(settings.lake / name, about.version())
    return removed


def _forget_log(table: Place, version: int) -> int:
    """Removes the entries before a version that has a checkpoint: what they said of files is in it, of those that there are."""
    removed, store = 0, objects.filesystem(table)
    for info in objects.files(table, "_delta_log"):
        number = info.base_name.split(".", 1)[0]
        if number.isdigit() and int(number) < version:
            store.delete_file(info.path)
            removed += 1
    return removed


def versions(settings: Settings) -> dict[str, int]:
    """The version of each table."""
    return {name: lake.opened(settings.lake, name).version() for name in lake.tables(settings.lake)}


def remove_of_every_table(settings: Settings, persons: Persons) -> dict[str, int]:
    """Of each table that holds users: how many rows went."""
    return {table.name: remove(settings, persons, table) for table in USER_TABLES}
