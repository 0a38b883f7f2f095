"""The lake: Delta tables under `HOME/lake`, or on object storage (`lake_place`), read and written through delta-rs.

What belongs here: creating a table so that no user key enters its statistics, replacing a slice of it atomically, reading it. What
does not: hashes of its rows (`row_hash`), and what any table means (`contract`, `features`).
"""

import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.fs as fs
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import TableNotFoundError
from deltalake.schema import Field as DeltaField

from found_platform import home, lake_schema, objects, shared_locks, spill
from found_platform.errors import BadInput, JobFailed
from found_platform.lake_place import ARTIFACTS, MARKER, Away, Place, locks_of

LONG_ROWS, SHORT_ROWS = 8192, 131_072
"""Rows that a row group holds: with lists, and without. A query of one day reads whole groups, and writing one takes memory."""

FEW_AT_ONCE = {
    "batch_size": 16_384,
    "batch_readahead": 2,
    "fragment_readahead": 1,
    "fragment_scan_options": pad.ParquetFragmentScanOptions(pre_buffer=False),
}
"""Of a scan whose rows are used once: Arrow reads ahead without these, a gigabyte of a million user vectors."""


@dataclass(frozen=True)
class Written:
    """What one write did. `partitions` maps a partition key to its row count and row hash."""

    table: str
    version: int
    rows: int
    bytes: int
    seconds: float
    read_versions: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, tuple[int, str]] = field(default_factory=dict)


def connect(memory: str = "4GB", temp: Path | None = None, database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose session is in UTC, which reaches no network, and which spills under `temp` beyond `memory`.

    Without `temp` it spills under the system's folder for temporary files.
    """
    con = duckdb.connect(database)
    con.execute("SET TimeZone='UTC'")
    con.execute("SET autoinstall_known_extensions=false")
    con.execute("SET enable_progress_bar=false")
    con.execute("SET memory_limit=?", [memory])
    con.execute("SET temp_directory=?", [str(spill.folder(temp))])
    return con


def quote(identifier: str) -> str:
    """A SQL identifier, whatever is in it."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A SQL string, whatever is in it: for DDL, where DuckDB takes no parameters."""
    return "'" + value.replace("'", "''") + "'"


def path(lake: Place, table: str) -> Place:
    return lake / table


def exists(lake: Place, table: str) -> bool:
    with objects.reached(lake):
        return DeltaTable.is_deltatable(str(path(lake, table)), storage_options=objects.options(lake))


def tables(lake: Place) -> list[str]:
    """The names of the tables of a lake, in their order."""
    if isinstance(lake, Path):
        return sorted(folder.name for folder in lake.iterdir() if exists(lake, folder.name)) if lake.exists() else []
    names = sorted({info.path.partition("/")[0] for info in objects.files(lake)} - {objects.PROBE, ARTIFACTS})
    return [name for name in names if exists(lake, name)]


def opened(lake: Place, table: str, version: int | None = None) -> DeltaTable:
    """Opens a table as `open_table` does, for who writes it: that is no reading."""
    with objects.reached(lake):
        return DeltaTable(str(path(lake, table)), version=version, storage_options=objects.options(lake))


def version(lake: Place, table: str) -> int:
    return open_table(lake, table).version()


def open_table(lake: Place, table: str, version: int | None = None) -> DeltaTable:
    """Opens a table, at a version if given. Raises BadInput that names what to run when it is not there yet."""
    try:
        about = opened(lake, table, version)
    except TableNotFoundError:
        raise BadInput(f"The table {table!r} does not exist under {lake}: run `found demo` in this home first.") from None
    if (reads := _READS.get()) is not None:
        reads[table] = about.version()
    return about


_READS: ContextVar[dict[str, int] | None] = ContextVar("reads", default=None)


@contextlib.contextmanager
def recorded_reads() -> Iterator[dict[str, int]]:
    """Records which tables are opened within, and at which version last. A table that is only written is not among them."""
    reads: dict[str, int] = {}
    token = _READS.set(reads)
    try:
        yield reads
    finally:
        _READS.reset(token)


def record_reads(reads: Mapping[str, int]) -> None:
    """Records tables, and their versions, that another process has read for this one."""
    if (own := _READS.get()) is not None:
        own.update(reads)


def dataset(lake: Place, table: str, version: int | None = None) -> pad.Dataset:
    """A table as an Arrow dataset: DuckDB queries it in place, with projection and filters pushed down."""
    return as_arrow(open_table(lake, table, version))


def as_arrow(table: DeltaTable) -> pad.Dataset:
    """A Delta table as an Arrow dataset whose files Arrow opens itself.

    The files that delta-rs would open for it are Python objects: a reading thread that lets go of the last one while the
    interpreter ends aborts the process, after everything was answered (10 of 120 short programs on a busy machine).
    """
    if table.table_uri.startswith("s3://"):
        where, root = objects.native(), table.table_uri.removeprefix("s3://").rstrip("/")
    else:
        where, root = fs.FileSystem.from_uri(table.table_uri)
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(root, where))


def files_as_arrow(table: DeltaTable, paths: Iterable[str]) -> pad.Dataset:
    """These files of a Delta table, in this order, as one Arrow dataset."""
    whole: Any = as_arrow(table)
    of_path = fragments(table, whole)
    return pad.FileSystemDataset([of_path[path] for path in paths], whole.schema, whole.format, whole.filesystem)


def fragments(table: DeltaTable, whole: pad.Dataset | None = None) -> dict[str, Any]:
    """The files of a Delta table by their paths below its folder, in the order in which its rows are read."""
    return {unquote(fragment.path): fragment for fragment in (whole or as_arrow(table)).get_fragments()}


def files(lake: Place, table: str, version: int | None = None) -> list[dict]:
    """The live files of a table: `path` below the table's folder, and `min.COLUMN`, `max.COLUMN` of the columns with statistics."""
    return files_of(open_table(lake, table, version))


def files_of(about: DeltaTable) -> list[dict]:
    actions = pa.table(about.get_add_actions(flatten=True)).to_pylist()
    return sorted(({**a, "path": unquote(a["path"])} for a in actions), key=lambda a: a["path"])


def scan(con: duckdb.DuckDBPyConnection, lake: Place, table: str, paths: Iterable[str], version: int | None = None) -> str:
    """An expression by which this connection reads files of a table; there must be one at least. `version` is the one they are of.

    DuckDB reads Parquet itself about twice as fast as through an Arrow dataset, and opens no file of a partition that a filter
    excludes.
    """
    return scan_of(con, open_table(lake, table, version), path(lake, table), paths)


def scan_of(con: duckdb.DuckDBPyConnection, about: DeltaTable, folder: Place, paths: Iterable[str], *, names: bool = False) -> str:
    """As `scan`, of an open table. `names` adds the column `filename`, in a lake in files."""
    if isinstance(folder, Away):  # DuckDB has no S3 of its own here, and one that Python gives it waits for itself when it ends
        name = f"away_{uuid.uuid4().hex}"
        con.register(name, files_as_arrow(about, paths))
        return name
    fields = {f.name: f.type for f in pa.schema(about.schema().to_arrow())}
    listed = ", ".join(literal(str(folder / p)) for p in paths)
    types = ", ".join(f"'{c}': {HIVE_TYPES[fields[c]]}" for c in about.metadata().partition_columns)
    options = [f"hive_partitioning=true, hive_types={{{types}}}"] if types else ["hive_partitioning=false"]
    # costs a look at the footer of every file, also of those that a filter excludes
    options += ["union_by_name=true"] if about.metadata().configuration.get(lake_schema.EVOLVED) else []
    options += ["filename=true"] if names else []
    return f"read_parquet({', '.join([f'[{listed}]', *options])})"


HIVE_TYPES = {pa.string(): "VARCHAR", pa.date32(): "DATE", pa.int64(): "BIGINT"}
"""DuckDB types of partition columns, whose values stand in the files' paths."""


def view(con: duckdb.DuckDBPyConnection, name: str, lake: Place, table: str, version: int | None = None) -> None:
    """Makes a table a view of a connection, at a version if given."""
    about = open_table(lake, table, version)
    live = [f["path"] for f in files_of(about)]
    schema = pa.schema(about.schema().to_arrow())
    if not live:
        con.register(f"no_rows_of_{name}", schema.empty_table())
    rows = scan_of(con, about, path(lake, table), live) if live else f"no_rows_of_{name}"
    columns = ", ".join(map(quote, schema.names))
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {columns} FROM {rows}")


def read(lake: Place, table: str, where: pad.Expression | None = None, columns: list[str] | None = None) -> pa.Table:
    return dataset(lake, table).to_table(filter=where, columns=columns)


def cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema, in its order and types."""
    return pa.RecordBatch.from_arrays([batch[field.name].cast(field.type) for field in schema], schema=schema)


def days_where(start: dt.date, end: dt.date, column: str = "event_date") -> pad.Expression:
    """The Arrow filter of the days `[start, end)`."""
    return (pad.field(column) >= start) & (pad.field(column) < end)


def _ensure(lake: Place, table: str, schema: pa.Schema, partition_by: Iterable[str]) -> None:
    if exists(lake, table):
        return
    partition_by = list(partition_by)
    DeltaTable.create(
        str(path(lake, table)),
        schema=schema,
        mode="ignore",
        partition_by=partition_by,
        storage_options=objects.options(lake),
        configuration={
            lake_schema.STATISTICS: lake_schema.statistics(schema, partition_by),
            "delta.logRetentionDuration": "interval 7 days",
            "delta.deletedFileRetentionDuration": "interval 7 days",
        },
    )


def add_columns(lake: Place, table: str, schema: pa.Schema) -> None:
    """Adds the columns of a schema that a table has not, if there is such a table: null in the rows that are there."""
    if not exists(lake, table):
        return
    with turn(lake, table):
        about = open_table(lake, table)
        existing = {f.name for f in about.schema().fields}
        new = [DeltaField(f.name, lake_schema.DELTA_TYPES[f.type], nullable=True) for f in schema if f.name not in existing]
        if new:
            about.alter.add_columns(new)
            open_table(lake, table).alter.set_table_properties({lake_schema.EVOLVED: "true"}, raise_if_not_exists=False)


def replace(
    lake: Place,
    table: str,
    data: pa.Table | pa.RecordBatchReader,
    *,
    schema: pa.Schema,
    partition_by: Iterable[str] = (),
    predicate: str | None = None,
    file_size: int | None = None,
) -> int:
    """Replaces the rows that `predicate` selects (all rows without one) in one commit and returns the new version.

    A rerun leaves the same rows; a crash leaves the old version. Rows of `data` outside the predicate are refused by delta-rs.
    Where all rows are replaced the table takes on the schema; else raises BadInput where it has another one.
    """
    with turn(lake, table):
        _ensure(lake, table, schema, partition_by)
        if predicate is not None:
            lake_schema.check(opened(lake, table), lake, table, schema)
        with objects.reached(lake):
            write_deltalake(
                str(path(lake, table)),
                shared_locks.checked(data),
                mode="overwrite",
                predicate=predicate,
                schema_mode="overwrite" if predicate is None else None,
                target_file_size=file_size,
                writer_properties=writer_properties(schema),
                storage_options=objects.options(lake),
            )
        return opened(lake, table).version()


def writable_table(lake: Place, table: str, schema: pa.Schema, partition_by: Iterable[str] = ()) -> DeltaTable:
    """A table that rows of a schema can be written to, made where there is none: for a writer beside `replace`, in its `turn`."""
    _ensure(lake, table, schema, partition_by)
    lake_schema.check(opened(lake, table), lake, table, schema)
    return opened(lake, table)


def append(
    lake: Place, table: str, data: pa.Table | pa.RecordBatchReader, *, schema: pa.Schema, partition_by: Iterable[str] = ()
) -> int:
    """Adds rows in one commit and returns the new version."""
    with turn(lake, table):
        _ensure(lake, table, schema, partition_by)
        lake_schema.check(opened(lake, table), lake, table, schema)
        properties, options = writer_properties(schema), objects.options(lake)
        with objects.reached(lake):
            write_deltalake(
                str(path(lake, table)),
                shared_locks.checked(data),
                mode="append",
                writer_properties=properties,
                storage_options=options,
            )
        return opened(lake, table).version()


def writer_properties(schema: pa.Schema) -> WriterProperties:
    rows = LONG_ROWS if any(pa.types.is_list(f.type) for f in schema) else SHORT_ROWS
    return WriterProperties(max_row_group_size=rows, compression="SNAPPY")  # its default, but not where anything else is said


@contextlib.contextmanager
def turn(lake: Place, table: str) -> Iterator[None]:
    """Writers of one table take turns: Delta would refuse one of two commits at once, and a stream cannot be written again.

    A store that would not refuse it is refused itself, when this process first writes there.
    """
    objects.trust(lake)
    with home.lock(locks_of(lake), table):
        if isinstance(lake, Path) and (lake.parent / MARKER).exists():  # while this one waited
            raise JobFailed(f"The lake {lake} has moved to object storage: run this again.")
        try:
            yield
        except Exception:
            shared_locks.check()  # that says more than what delta-rs makes of it
            raise


def create(lake: Place, table: str, schema: pa.Schema) -> int:
    """Makes a table without rows, where there is none, and returns its version."""
    with turn(lake, table):
        _ensure(lake, table, schema, ())
        return opened(lake, table).version()


def size_by(lake: Place, table: str, key: str) -> dict[str, int]:
    """Bytes of the table's live files by the value of the partition column `key`."""
    actions = pa.table(open_table(lake, table).get_add_actions(flatten=True))
    sizes: dict[str, int] = {}
    for value, size in zip(actions[f"partition.{key}"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True):
        sizes[str(value)] = sizes.get(str(value), 0) + size
    return sizes


def size(lake: Place, table: str) -> int:
    """Bytes of the table's live files."""
    return sum(pa.table(open_table(lake, table).get_add_actions(flatten=True))["size_bytes"].to_pylist())


class Timer:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)
