"""What is seen to before a long run: that the engine is there, is new enough, sees the lake, and computes what DuckDB computes."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import contextlib
import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import ibis
import pyarrow as pa

from found_platform import lake, row_hash
from found_platform.engine.duck import DuckDB
from found_platform.engine.interface import SAME_FILES, Engine
from found_platform.engine.portable import bucket, cents, exact, microseconds
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings

if TYPE_CHECKING:
    from found_platform.engine.spark_connect import SparkConnect

OLDEST = (4, 0)
"""Of Spark Connect: before it a query cannot hand over Arrow tables."""

EDGE = dt.datetime(2024, 3, 31, 1, 30, 0, 999_999, tzinfo=dt.UTC)
"""A time that does not exist in Berlin, with a fraction that a cast would round up."""

SCHEMA = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("amount", pa.float64()),
    ]
)


def check(settings: Settings) -> str:
    """What computes the features of a home, in a line. Raises BadInput with a sentence on what does not hold.

    On an engine beside DuckDB a small table is made in the home, read, rewritten and removed.
    """
    if settings.engine == "duckdb":
        return f"DuckDB {duckdb.__version__} in this process, within {settings.duckdb_memory}"
    from found_platform.engine.spark_connect import SparkConnect

    try:
        with contextlib.closing(SparkConnect(settings)) as remote:
            return checked(settings, remote)
    except JobFailed as error:
        raise BadInput(f"{error} Set FOUND_ENGINE=duckdb, or use an engine that can.") from None


def checked(settings: Settings, remote: "SparkConnect") -> str:
    """As `check`, of an engine that is open."""
    version = str(remote.session.version)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise BadInput(
            f"The engine {remote.name} speaks Spark {version}, which is too old: it must be {'.'.join(map(str, OLDEST))} or newer."
        )
    # by what it does, not by what its setting says
    (moment,) = (
        remote.read(f"SELECT unix_micros(CAST('{EDGE:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP)) AS t").read_all()["t"].to_pylist()
    )
    if moment != round(EDGE.timestamp() * 1_000_000):
        zone = remote.session.conf.get("spark.sql.session.timeZone")
        raise BadInput(
            f"The engine {remote.name} reads times in the zone {zone}, not in UTC: start it with spark.sql.session.timeZone=UTC."
        )
    home = settings.home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir=home))
    try:
        _probe(settings.model_copy(update={"home": folder}), remote)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"Spark {version} at {remote.name}: UTC, reads and writes the lake, and computes what DuckDB computes"


def _probe(settings: Settings, remote: "SparkConnect") -> None:
    """Two days of edges, computed and written by both."""
    day = EDGE.date()
    amounts = [None, 0.0, 1.005, -1.005, 2.0**20 - 1, 2.0**20, 3.0, 1e14 + 0.3]
    data = pa.table(
        {
            "event_date": [day + dt.timedelta(days=i % 2) for i in range(len(amounts))],
            "user_key": ["a", "b"] * (len(amounts) // 2),
            "event_time": [EDGE + dt.timedelta(microseconds=i) for i in range(len(amounts))],
            "amount": amounts,
        },
        schema=SCHEMA,
    )
    lake.replace(settings.lake, "probe", data, schema=SCHEMA)
    remote_lake = remote.of(settings)
    try:
        remote_lake.table("probe")
        count = remote_lake.read("SELECT count(*) AS n FROM probe").read_all()["n"].to_pylist()
    except JobFailed as error:
        raise BadInput(f"The engine {remote.name} cannot read {settings.lake}: {SAME_FILES} {error}") from None
    if count != [len(amounts)]:
        raise BadInput(
            f"The engine {remote.name} sees {count[0]} rows in {settings.lake / 'probe'}, where {len(amounts)} are: {SAME_FILES}"
        )
    with contextlib.closing(DuckDB(settings)) as local:
        answers = [_answers(engine) for engine in (local, remote_lake)]
    if answers[0] != answers[1]:
        raise BadInput(
            f"The engine {remote.name} computes other rows than DuckDB: {answers[1]} where DuckDB has {answers[0]}. "
            "Use the version that constraints.txt names."
        )
    before = row_hash.of_table(settings.lake, "probe")
    days = f"event_date >= '{day}' AND event_date < '{day + dt.timedelta(days=1)}'"
    remote_lake.replace(settings.lake, "probe", "SELECT * FROM probe", schema=SCHEMA, predicate=days)
    if row_hash.of_table(settings.lake, "probe") != before:
        raise BadInput(f"The engine {remote.name} writes other rows than it was given: use the version that constraints.txt names.")


def _answers(engine: Engine) -> list[dict]:
    engine.table("probe")
    rows = ibis.table(ibis.Schema.from_pyarrow(SCHEMA), name="probe")
    event = ibis.struct({"time": microseconds(rows.event_time), "bucket": bucket(rows.amount)})
    by_user = rows.group_by("user_key").agg(total=cents(exact(rows.amount).sum()), events=event.collect())
    listed = by_user.mutate(events=by_user.events.sort()).order_by("user_key")
    return engine.read(listed.mutate(events=listed.events.map(lambda e: e.bucket))).read_all().to_pylist()
