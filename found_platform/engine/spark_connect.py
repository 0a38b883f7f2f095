"""An engine of many machines behind Spark Connect: Sail, or Apache Spark.

It reads and writes Parquet files, so no row passes through this process, and delta-rs commits them (`files`): what an engine makes
of Delta does not matter. The query is filtered by the predicate, rows of before that share a file with those that are replaced are
written again, and before the commit their hash is compared. Writers take turns, as all do (`lake.turn`).
"""

# pyright: reportMissingImports=false
# (the extra `scale` is not part of the default install)

import contextlib
import datetime as dt
import functools
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa
from deltalake import DeltaTable

from found_platform import lake, row_hash
from found_platform.engine import files
from found_platform.engine.interface import SAME_FILES, Batches, Query, sql_of
from found_platform.errors import BadInput, JobFailed
from found_platform.lake_place import Place
from found_platform.settings import Settings

INSTALL = "pip install -c constraints.txt -e '.[scale]'"
SECONDS = 10
"""How long an engine may take to answer at all."""

RETRIES = 6
"""How often the client asks an engine that is gone, which takes a minute: by default ten."""

MOST_TASKS = 256
"""Into which a few rows are spread, so that each finds a worker: a cluster of Sail has to have as many slots."""

LONGEST_REASON = 400
"""Characters of what an engine says of its failure."""

CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # Spark's default is a type without statistics
}
"""What a session is asked for."""


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

    def table(self, name: str, version: int | None = None, days: tuple[dt.date, dt.date] | None = None) -> None:
        about = lake.open_table(self._lake, name, version)
        with failures(self.name):
            rows = files.frame(self.session, about, _local(self._lake, name), files.of_days(about, days))
            rows.createOrReplaceTempView(name)

    def rows(self, name: str, data: pa.Table) -> None:
        with failures(self.name):
            rows = self.session.createDataFrame(data) if data.num_rows else files.no_rows(self.session, data.schema)
            rows.createOrReplaceTempView(name)

    def parquet(self, name: str, paths: Iterable[Path], schema: pa.Schema) -> None:
        with failures(self.name):
            rows = self.session.read.schema(files.columns_of(schema)).parquet(*map(str, paths))
            rows.createOrReplaceTempView(name)

    def view(self, name: str, query: Query) -> None:
        with failures(self.name):
            self.session.sql(sql_of(query, self.dialect)).createOrReplaceTempView(name)

    def read(self, query: Query) -> pa.RecordBatchReader:
        with failures(self.name):
            return self.session.sql(sql_of(query, self.dialect)).toArrow().to_reader()

    def map(self, query: Query, function: Batches, schema: pa.Schema, name: str) -> None:
        columns = files.columns_of(schema)
        with failures(self.name):
            self.session.sql(sql_of(query, self.dialect)).mapInArrow(function, columns).createOrReplaceTempView(name)

    def map_groups(self, query: Query, by: str, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str) -> None:
        def of_table(table: pa.Table) -> pa.Table:  # by its signature the client tells what it is given
            return function(table)

        with failures(self.name):
            grouped = self.session.sql(sql_of(query, self.dialect)).groupBy(by)
            grouped.applyInArrow(of_table, files.columns_of(schema)).createOrReplaceTempView(name)

    def each(self, name: str, rows: pa.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema) -> None:
        def of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for place in range(batch.num_rows):
                    yield from function(pa.table(batch.slice(place, 1))).to_batches()

        with failures(self.name):
            spread = self.session.createDataFrame(rows).repartition(min(rows.num_rows, MOST_TASKS), rows.column_names[0])
            spread.mapInArrow(of_batches, files.columns_of(schema)).createOrReplaceTempView(name)

    def write(self, query: Query, folder: Path, *, schema: pa.Schema, by: str | None = None) -> None:
        with failures(self.name):
            rows = self._rows(query, schema)
            if by is not None:
                rows = rows.repartition(by).sortWithinPartitions(by)
            rows.write.option("compression", "snappy").parquet(str(folder))
            if not folder.exists() and rows.limit(1).count():
                raise JobFailed(f"The engine {self.name} has written elsewhere than to {folder}: {SAME_FILES}")

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
        with lake.turn(folder, table):
            before = lake.writable_table(folder, table, schema, partition_by)
            place = _local(folder, table)
            replaced = files.holding(before, place, predicate)
            others, written = f"NOT ({predicate})", files.new_folder(place)
            beside = row_hash.of_files(before, place, replaced, others)
            try:
                with failures(self.name):
                    rows = self._rows(query, schema).where(predicate)
                    if beside[0]:
                        live = [file for file in lake.files_of(before) if file["path"] in replaced]
                        rows = rows.union(files.frame(self.session, before, place, live).select(*schema.names).where(others))
                    self._write(rows, written, before)
                new = files.parquet_below(place, written)
                if row_hash.of_files(before, place, new, others) != beside:
                    raise JobFailed(
                        f"The engine {self.name} changed rows of {table} that it was not asked for: the table is as it was. Use "
                        "another version of the engine, or set FOUND_ENGINE=duckdb."
                    )
                return files.commit(before, place, new, replaced)
            except BaseException:
                shutil.rmtree(written, ignore_errors=True)
                raise

    def append(self, folder: Place, table: str, query: Query, *, schema: pa.Schema, partition_by: Iterable[str] = ()) -> int:
        with lake.turn(folder, table):
            before = lake.writable_table(folder, table, schema, partition_by)
            place = _local(folder, table)
            written = files.new_folder(place)
            try:
                with failures(self.name):
                    self._write(self._rows(query, schema), written, before)
                return files.commit(before, place, files.parquet_below(place, written), [])
            except BaseException:
                shutil.rmtree(written, ignore_errors=True)
                raise

    def _write(self, rows: Any, written: Path, about: DeltaTable) -> None:
        keys = about.metadata().partition_columns
        writer = rows.write.option("compression", "snappy")
        (writer.partitionBy(*keys) if keys else writer).parquet(str(written))
        if not written.exists() and rows.limit(1).count():  # of no rows Sail writes nothing
            raise JobFailed(f"The engine {self.name} has written elsewhere than to {written}: {SAME_FILES}")

    def _rows(self, query: Query, schema: pa.Schema) -> Any:
        columns = ", ".join(map(_column, schema))
        return self.session.sql(f"SELECT {columns} FROM ({sql_of(query, self.dialect)})")

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
        from pyspark.sql.connect.client.retries import DefaultPolicy

        self.session.client.set_retry_policies([DefaultPolicy(max_retries=1)])  # of one that is gone nobody waits for a farewell
        self.session.stop()


def _local(folder: Place, table: str) -> Path:
    """The folder of a table, which every machine of the engine sees at the same path."""
    place = lake.path(folder, table)
    assert isinstance(place, Path)  # `lake_place.check` refuses a lake on object storage
    return place


def _column(field: pa.Field) -> str:
    # a cast gives the elements of a list another name, and Sail then refuses to write it beside lists of before
    value = f"`{field.name}`" if pa.types.is_list(field.type) else f"CAST(`{field.name}` AS {files.type_of(field.type)})"
    return f"{value} AS `{field.name}`"


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
        for name, value in CONF.items():
            opened.conf.set(name, value)
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
    from pyspark.sql.connect.client.retries import DefaultPolicy

    def connect(address: str) -> Any:
        opened = SparkSession.builder.remote(address).create()
        opened.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES)])
        return opened

    return connect


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
