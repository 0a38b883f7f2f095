"""An engine of many machines behind Spark Connect: Sail, or Apache Spark with Delta.

Its own Delta reader and writer move the rows, so none of them passes through this process. Three things it does not promise are
seen to here. It takes rows outside the predicate that it replaces: the query is filtered. It may leave rows of before, or lose
some: after a commit the rewritten files are compared. And it refuses one of two writers: they take turns, as all do (`lake.turn`).
"""

# pyright: reportMissingImports=false
# (the extra `scale` is not part of the default install)

import contextlib
import datetime as dt
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa
from deltalake import DeltaTable

from found_platform import lake, row_hash
from found_platform.engine.interface import Batches, Query, sql_of
from found_platform.errors import BadInput, JobFailed
from found_platform.lake_place import Place
from found_platform.settings import Settings

INSTALL = "pip install -c constraints.txt -e '.[scale]'"
SECONDS = 10
"""How long an engine may take to answer at all."""

LONGEST_REASON = 400
"""Characters of what an engine says of its failure."""

TYPES = {
    pa.string(): "STRING",
    pa.binary(): "BINARY",
    pa.int8(): "TINYINT",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}
"""Types of columns, in the SQL of Spark."""


class SparkConnect:
    """One session of an engine, over the tables of a home; see `Engine`."""

    dialect = "pyspark"
    memory = math.inf

    def __init__(self, settings: Settings, opened: Any = None):
        self.name, self._lake = settings.engine, settings.lake
        self.session = opened or session(settings.engine, settings.engine_token)

    def of(self, settings: Settings) -> Self:
        """The same session over another home."""
        return type(self)(settings, self.session)

    def table(self, name: str, version: int | None = None) -> None:
        about = lake.open_table(self._lake, name, version)
        reader = self.session.read.format("delta").option("versionAsOf", str(about.version()))
        with failures(self.name):
            reader.load(str(lake.path(self._lake, name))).createOrReplaceTempView(name)

    def rows(self, name: str, data: pa.Table) -> None:
        with failures(self.name):
            self.session.createDataFrame(data).createOrReplaceTempView(name)

    def view(self, name: str, query: Query) -> None:
        with failures(self.name):
            self.session.sql(sql_of(query, self.dialect)).createOrReplaceTempView(name)

    def read(self, query: Query) -> pa.RecordBatchReader:
        with failures(self.name):
            return self.session.sql(sql_of(query, self.dialect)).toArrow().to_reader()

    def map(self, query: Query, function: Batches, schema: pa.Schema, name: str) -> None:
        columns = _columns(schema)
        with failures(self.name):
            self.session.sql(sql_of(query, self.dialect)).mapInArrow(function, columns).createOrReplaceTempView(name)

    def map_groups(self, query: Query, by: str, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str) -> None:
        def of_table(table: pa.Table) -> pa.Table:  # by its signature the client tells what it is given
            return function(table)

        with failures(self.name):
            grouped = self.session.sql(sql_of(query, self.dialect)).groupBy(by)
            grouped.applyInArrow(of_table, _columns(schema)).createOrReplaceTempView(name)

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
        columns = ", ".join(map(_column, schema))
        with lake.turn(folder, table):
            before = lake.writable_table(folder, table, schema, partition_by)
            rows = self.session.sql(f"SELECT {columns} FROM ({sql_of(query, self.dialect)}) WHERE {predicate}")
            writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
            with failures(self.name):
                writer.save(str(lake.path(folder, table)))
            return self._compared(folder, table, before, predicate)

    def append(self, folder: Place, table: str, query: Query, *, schema: pa.Schema, partition_by: Iterable[str] = ()) -> int:
        columns = ", ".join(map(_column, schema))
        with lake.turn(folder, table):
            about = lake.writable_table(folder, table, schema, partition_by)
            with failures(self.name):
                rows = self.session.sql(f"SELECT {columns} FROM ({sql_of(query, self.dialect)})")
                rows.write.format("delta").mode("append").save(str(lake.path(folder, table)))
            return DeltaTable(about.table_uri).version()

    def _compared(self, folder: Place, table: str, before: DeltaTable, predicate: str) -> int:
        """The version after a commit, where the rows outside its predicate are as they were, and none of before is within it.

        Otherwise the version of before is put back, and JobFailed is raised.
        """
        after = DeltaTable(before.table_uri)
        kept, gone, new = _moved(before, after)
        whole = row_hash.of_files(before, folder / table, gone, f"NOT ({predicate})")
        again = row_hash.of_files(after, folder / table, new, f"NOT ({predicate})")
        overlap, _ = row_hash.of_files(before, folder / table, kept, predicate)
        if whole == again and overlap == 0:
            return after.version()
        after.restore(before.version())
        raise JobFailed(
            f"The engine {self.name} changed rows of {table} that it was not asked for: the table is back at version "
            f"{before.version()}. Use another version of the engine, or set FOUND_ENGINE=duckdb."
        )

    def row_hashes(self, table: str, start: dt.date, end: dt.date) -> dict[str, tuple[int, str]]:
        self.table(table)
        days = f"SELECT * FROM {table} WHERE event_date >= DATE '{start}' AND event_date < DATE '{end}'"
        schema = pa.schema([("day", pa.string()), ("n", pa.int64()), ("hash", pa.string())])
        self.map(days, functools.partial(row_hash.of_batches, "event_date"), schema, "hashes")
        sums: dict[str, tuple[int, int]] = {}
        for row in self.read("SELECT * FROM hashes").read_all().to_pylist():
            count, total = sums.get(row["day"], (0, 0))
            sums[row["day"]] = (count + row["n"], (total + int(row["hash"], 16)) % 2**64)
        return {day: (count, f"{total:016x}") for day, (count, total) in sums.items()}

    def close(self) -> None:
        self.session.stop()


def _moved(before: DeltaTable, after: DeltaTable) -> tuple[list[str], list[str], list[str]]:
    """The files of two versions: in both, in the first alone, in the second alone."""
    old, new = ({f["path"] for f in lake.files_of(about)} for about in (before, after))
    return sorted(old & new), sorted(old - new), sorted(new - old)


def _column(field: pa.Field) -> str:
    # a cast gives the elements of a list another name, and Sail then refuses to write it beside lists of before
    value = f"`{field.name}`" if pa.types.is_list(field.type) else f"CAST(`{field.name}` AS {_type(field.type)})"
    return f"{value} AS `{field.name}`"


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"`{f.name}` {_type(f.type)}" for f in schema)


def _type(kind: pa.DataType) -> str:
    return f"ARRAY<{TYPES[kind.value_type]}>" if isinstance(kind, pa.ListType) else TYPES[kind]


def session(address: str, token: str | None = None) -> Any:
    """A new session at an address, in UTC. Raises BadInput where the extra is not installed, or no engine answers there.

    Args:
        token: what the engine asks for; it goes there under TLS alone.
    """
    connect = _client()
    import grpc

    host = address.removeprefix("sc://").split("/")[0]
    target = host if ":" in host else f"{host}:15002"
    encrypted = token is not None or "use_ssl=true" in address.lower()
    opened = grpc.secure_channel(target, grpc.ssl_channel_credentials()) if encrypted else grpc.insecure_channel(target)
    with contextlib.closing(opened) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=SECONDS)
        except grpc.FutureTimeoutError:
            raise BadInput(
                f"No engine answers at {address} within {SECONDS} seconds: start it, correct FOUND_ENGINE, or set "
                "FOUND_ENGINE=duckdb to compute in this process."
            ) from None
    with failures(address, token):
        opened = connect(address if token is None else with_token(address, token))
        opened.conf.set("spark.sql.session.timeZone", "UTC")
    return opened


def with_token(address: str, token: str) -> str:
    """As Spark's client takes it."""
    start = address if "/;" in address else f"{address.rstrip('/')}/"
    return f"{start};token={quote(token, safe='')}"


def _client() -> Callable[[str], Any]:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise BadInput(f"An engine beside DuckDB needs the extra `scale`: {INSTALL}.") from None
    return lambda address: SparkSession.builder.remote(address).create()


@contextlib.contextmanager
def failures(address: str, token: str | None = None) -> Iterator[None]:
    """What an engine could not do, as a sentence without the token that it was given."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        message = str(error)
        for secret in filter(None, (token, quote(token or "", safe=""))):
            message = message.replace(secret, "***")
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        reason = " ".join(dict.fromkeys([lines[0], lines[-1]]))[-LONGEST_REASON:]  # where, and of a traceback its end
        raise JobFailed(f"The engine {address} could not finish: {reason}") from error
