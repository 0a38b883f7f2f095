"""What an engine can do for a step: name tables, run queries over them, write what a query gives, hash days.

A query is an Ibis expression over tables by their names (`ibis.table(schema, name=...)`), or its SQL in the engine's dialect.
"""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa

from found_platform.lake_place import Place

Query = ir.Table | str
Batches = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

SAME_FILES = "every machine of it must see the home's files at the same path."
"""What an engine of many machines needs most."""


class Engine(Protocol):
    """Computes queries over pinned tables of one home. Names belong to the engine that was opened, and go when it is closed."""

    name: str
    """`duckdb`, or the address of the engine."""
    dialect: str
    """That of its SQL, by the name that Ibis has for it."""

    @property
    def memory(self) -> float:
        """Bytes that one query may take; infinite for an engine that looks after itself."""
        ...

    def table(self, name: str, version: int | None = None, days: tuple[dt.date, dt.date] | None = None) -> None:
        """Names a table of the lake, at a version if given, the newest otherwise.

        Of a daily table rows of other days than `[start, end)` may be left out, where these are given.
        """
        ...

    def rows(self, name: str, data: pa.Table) -> None:
        """Names a few rows of this process."""
        ...

    def parquet(self, name: str, paths: Iterable[Path], schema: pa.Schema) -> None:
        """Names the rows of Parquet files that are no table; there is one at least."""
        ...

    def view(self, name: str, query: Query) -> None:
        """Names what a query gives."""
        ...

    def read(self, query: Query) -> pa.RecordBatchReader:
        """What a query gives, a batch at a time, in this process."""
        ...

    def map(self, query: Query, function: Batches, schema: pa.Schema, name: str) -> None:
        """Names what a function makes of the batches that a query gives; it runs where these are."""
        ...

    def map_groups(self, query: Query, by: str, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str) -> None:
        """Names what a function makes of the rows that have the same value in a column, one such group at a time; it runs where
        these are, and is called again for a group whose worker died."""
        ...

    def each(self, name: str, rows: pa.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema) -> None:
        """Names what a function makes of each of a few rows, which are told apart by their first column.

        Workers take them, and take a row again whose worker died; so whatever reads the name, once, has it made.
        """
        ...

    def write(self, query: Query, folder: Path, *, schema: pa.Schema, by: str | None = None) -> None:
        """Writes what a query gives as Parquet files into a new folder, in the order of a column, if given, as far as a file goes.
        Of no rows there may be no file, nor a folder."""
        ...

    def replace(
        self,
        folder: Place,
        table: str,
        query: Query,
        *,
        schema: pa.Schema,
        partition_by: Iterable[str] = (),
        predicate: str,
        file_size: int | None = None,
    ) -> int:
        """As `lake.replace`, of rows that a query gives: one commit, and rows outside the predicate are as they were."""
        ...

    def append(self, folder: Place, table: str, query: Query, *, schema: pa.Schema, partition_by: Iterable[str] = ()) -> int:
        """As `lake.append`, of rows that a query gives: one commit."""
        ...

    def row_hashes(self, table: str, start: dt.date, end: dt.date) -> dict[str, tuple[int, str]]:
        """Row count and row hash of each of the days `[start, end)` of a daily table that have rows."""
        ...

    def close(self) -> None: ...


def table_of(name: str, schema: pa.Schema) -> ir.Table:
    """A table that an engine has under a name, to build expressions on."""
    # a column that may be null and one that may not have different types, and what is joined may be null
    return ibis.table(ibis.Schema.from_pyarrow(pa.schema([f.with_nullable(True) for f in schema])), name=name)


def sql_of(query: Query, dialect: str) -> str:
    """The SQL of a query. An expression takes a second to compile, and is the same for all days: it is compiled once."""
    return query if isinstance(query, str) else _compiled(query.op(), dialect)  # pyright: ignore[reportArgumentType]


@functools.lru_cache(64)
def _compiled(node: ops.Relation, dialect: str) -> str:
    if dialect == "pyspark":
        _ = ibis.pyspark  # loads what Ibis knows of this dialect
    return str(ibis.to_sql(node.to_expr(), dialect=dialect))
