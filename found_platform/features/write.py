"""Writes days of the lake: raw events from staging, and each feature table from the raw events of its lookback alone.

A day is computed from raw events, never from yesterday's snapshot, so days can be written in any order, alone or as a range.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError
from tqdm import tqdm

from found_platform import contract, lake
from found_platform.contract import snapshot_time
from found_platform.errors import JobFailed
from found_platform.features.sequence import behavior_sequence, search_text
from found_platform.features.tabular import user_tabular
from found_platform.features.text import behavior_text
from found_platform.lake import Written
from found_platform.settings import Settings

CHUNK_DAYS = 30
"""Days computed in one query at most, and fewer where they do not fit in memory. Each chunk is one atomic commit."""

OUT_OF_MEMORY = "Out of Memory Error"

ORDER = ("event_date", "user_key", "text_id", "created_timestamp")
"""Rows are written in this order, as far as a table has these columns."""

TABLES = ("behavior_text", "behavior_sequence", "search_text", "user_tabular")


def schema(settings: Settings, table: str) -> pa.Schema:
    """The schema of a daily table in this home; `user_tabular` ends with the home's profile attributes."""
    return {
        "raw_events": contract.EVENTS,
        "behavior_text": contract.BEHAVIOR_TEXT,
        "behavior_sequence": contract.snapshot_schema(contract.SEQUENCE_FEATURES),
        "search_text": contract.snapshot_schema(contract.SEARCH_FEATURES),
        "user_tabular": contract.snapshot_schema((*contract.ACTIVITY_FEATURES, *contract.profile_schema(settings.home))),
    }[table]


def raw_events(settings: Settings, start: dt.date, end: dt.date) -> Written:
    """Takes the staged rows of the days `[start, end)` into the lake."""
    timer = lake.Timer()
    folders = [settings.staging / "events" / f"event_date={day}" for day in contract.days_between(start, end)]
    files = [str(file) for folder in folders for file in folder.glob("*.parquet")]
    if files:
        con = lake.connect(settings.duckdb_memory)
        columns = ", ".join(contract.EVENTS.names)
        data = con.execute(
            f"SELECT {columns} FROM read_parquet(?, hive_partitioning=true) ORDER BY event_date, channel, user_key, event_time",
            [files],
        ).to_arrow_table()
    else:
        data = contract.EVENTS.empty_table()
    version = lake.replace_days(
        settings.lake,
        "raw_events",
        data.cast(contract.EVENTS),
        start,
        end,
        schema=contract.EVENTS,
        partition_by=("event_date", "channel"),
    )
    user_days(settings.lake, data, start, end)
    return _written(settings, "raw_events", version, start, end, timer, {})


def user_days(folder: Path, events: pa.Table, start: dt.date, end: dt.date) -> None:
    """Writes the table `user_days` of the days `[start, end)` beside their raw events."""
    con = lake.connect()
    con.register("events", events)
    # a day begins after its first moment: 00:00 belongs to the day before, as far as knowing goes
    data = con.execute(
        "SELECT DISTINCT event_date, user_key, greatest(event_date, CAST(arrived_at - INTERVAL 1 MICROSECOND AS DATE)) "
        "AS known_day FROM events ORDER BY ALL"
    ).to_arrow_table()
    lake.replace_days(folder, "user_days", data.cast(contract.USER_DAYS), start, end, schema=contract.USER_DAYS)


def raw_profile(settings: Settings) -> Written:
    """Takes the staged profile into the lake; rows keep their `as_of`."""
    timer = lake.Timer()
    path = settings.staging / "profile.parquet"
    attributes = contract.profile_schema(settings.home)
    keys = [pa.field("user_key", pa.string()), pa.field("fold", pa.int8()), pa.field("as_of", contract.TIMESTAMP)]
    profile_schema = pa.schema([*keys, *attributes])
    data = pq.read_table(path).select(profile_schema.names).cast(profile_schema) if path.exists() else profile_schema.empty_table()
    version = lake.replace(settings.lake, "raw_profile", data, schema=profile_schema)
    size, content = lake.size(settings.lake, "raw_profile"), lake.table_hash(settings.lake, "raw_profile")
    return Written("raw_profile", version, data.num_rows, size, timer.seconds, {}, {"": (data.num_rows, content)})


def feature(settings: Settings, table: str, start: dt.date, end: dt.date) -> Written:
    """Computes and writes the days `[start, end)` of one feature table.

    Raises JobFailed where not even one day fits in the memory that DuckDB may take; the days before it are written.
    """
    timer = lake.Timer()
    versions = {"raw_events": lake.version(settings.lake, "raw_events")}
    if table == "user_tabular":
        versions |= {name: lake.version(settings.lake, name) for name in ("raw_profile", "user_days")}
    target = schema(settings, table)
    version = -1
    days = contract.days_between(start, end)
    days_written, size = 0, CHUNK_DAYS
    with tqdm(total=len(days), desc=table, unit="day", disable=None, leave=False) as bar:
        while days_written < len(days):
            chunk = days[days_written : days_written + size]
            expression = _expression(settings, table, chunk, versions)
            ordered = expression.select(*target.names).order_by(*[k for k in ORDER if k in target.names])
            try:
                data = ordered.to_pyarrow_batches().cast(target)
                version = lake.replace_days(settings.lake, table, data, chunk[0], chunk[-1] + dt.timedelta(days=1), schema=target)
            except (duckdb.OutOfMemoryException, DeltaError) as error:  # the latter while rows are read, which it then hides
                if OUT_OF_MEMORY not in str(error):
                    raise
                if len(chunk) == 1:
                    raise JobFailed(
                        f"{table} of {chunk[0]} does not fit in {settings.duckdb_memory}: set FOUND_DUCKDB_MEMORY to more and run "
                        f"it again; days that are done stay. {str(error).splitlines()[0]}"
                    ) from None
                size = len(chunk) // 2
                continue
            days_written += len(chunk)
            bar.update(len(chunk))
    return _written(settings, table, version, start, end, timer, versions)


def _expression(settings: Settings, table: str, chunk: list[dt.date], versions: dict[str, int]) -> ir.Table:
    con = lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")
    backend = ibis.duckdb.from_connection(con)
    for name, pinned in versions.items():
        lake.view(con, name, settings.lake, name, pinned)
    con.register("snapshot_days", _days(chunk, settings.lookback_days))
    days = backend.table("snapshot_days")
    since = chunk[0] - dt.timedelta(days=settings.lookback_days - 1)
    events = backend.table("raw_events")
    events = events.filter(events.event_date >= since, events.event_date <= chunk[-1])
    late_days = _days_with_late_events(settings, versions["raw_events"], chunk[0])
    ever, lately = (any(first <= d <= chunk[-1] for d in late_days) for first in (dt.date.min, since))

    def known_users() -> ir.Table:
        user_days = backend.table("user_days")
        return user_days.filter(user_days.event_date <= chunk[-1])

    build: dict[str, Callable[[], ir.Table]] = {
        "behavior_text": lambda: behavior_text(events, days),
        "behavior_sequence": lambda: behavior_sequence(events, days, settings.sequence_length, lately),
        "search_text": lambda: search_text(events, days, settings.search_length, lately),
        "user_tabular": lambda: user_tabular(events, known_users(), backend.table("raw_profile"), days, chunk[0], ever),
    }
    return build[table]()


def _days_with_late_events(settings: Settings, version: int, first: dt.date) -> set[dt.date]:
    """Days with events that were not known on their own day nor by the first day of the chunk.

    By the files' statistics, which hold times to the millisecond.
    """
    files = lake.files(settings.lake, "raw_events", version)
    days = [(dt.date.fromisoformat(str(f["partition.event_date"])), f.get("max.arrived_at")) for f in files]
    margin = dt.timedelta(milliseconds=1)
    return {d for d, last in days if last is None or last.replace(tzinfo=dt.UTC) + margin > snapshot_time(max(d, first))}


def _days(days: list[dt.date], lookback: int) -> pa.Table:
    return pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "first_day": pa.array([d - dt.timedelta(days=lookback - 1) for d in days], pa.date32()),
            "event_timestamp": pa.array([snapshot_time(d) for d in days], contract.TIMESTAMP),
        }
    )


def _written(
    settings: Settings, table: str, version: int, start: dt.date, end: dt.date, timer: lake.Timer, versions: dict[str, int]
) -> Written:
    where = lake.days_where(start, end)
    hashes = lake.row_hashes(settings.lake, table, "event_date", where)
    days = {str(d): hashes.get(str(d), (0, "0" * 16)) for d in contract.days_between(start, end)}
    sizes = lake.size_by(settings.lake, table, "event_date")
    size = sum(sizes.get(day, 0) for day in days)
    return Written(table, version, sum(n for n, _ in days.values()), size, timer.seconds, versions, days)
