"""Writes days of the lake: raw events from staging, and each feature table from the raw events of its lookback alone.

A day is computed from raw events, never from yesterday's snapshot, so days can be written in any order, alone or as a range.
"""

import contextlib
import datetime as dt

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError
from tqdm import tqdm

from found_platform import contract, daily, engine, lake, row_hash
from found_platform.engine import Engine
from found_platform.engine.duck import ROWS_AT_ONCE, DuckDB
from found_platform.errors import JobFailed
from found_platform.features.inputs import Inputs
from found_platform.lake import Written
from found_platform.lake_place import Place
from found_platform.privacy.retention import kept_from
from found_platform.settings import Settings
from found_platform.sources import growth

SHARE, VALUE_BYTES = 0.5, 8
"""Of DuckDB's memory, what the rows of a chunk may take, and what a value takes: the rest is for what the rows are made from. It is
an estimate: DuckDB writes to disk what does not fit, and a chunk that fails all the same is computed in halves."""

OUT_OF_MEMORY = "Out of Memory Error"

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
    columns = ", ".join(contract.EVENTS.names)
    rows = f"SELECT {columns} FROM staged WHERE {_days(start, end)} ORDER BY event_date, channel, user_key, event_time"
    files = growth.staged_files(settings.staging)
    with contextlib.closing(engine.of(settings) if files else DuckDB(settings)) as opened:
        if files:
            opened.parquet("staged", files, contract.EVENTS)
        else:  # a folder for each day, by an earlier version
            opened.view("staged", f"SELECT * FROM {growth.staged(settings.staging)}")
        version = daily.replace_days(settings.lake, "raw_events", rows, start, end, schema=contract.EVENTS, replace=opened.replace)
        user_days(opened, settings.lake, start, end)
    return _written(settings, "raw_events", version, start, end, timer, {})


def user_days(opened: Engine, folder: Place, start: dt.date, end: dt.date) -> None:
    """Writes the table `user_days` of the days `[start, end)` from their raw events."""
    opened.table("raw_events", days=(start, end))
    # a day begins after its first moment: 00:00 belongs to the day before, as far as knowing goes
    rows = (
        "SELECT DISTINCT event_date, user_key, greatest(event_date, CAST(arrived_at - INTERVAL 1 MICROSECOND AS DATE)) "
        f"AS known_day FROM raw_events WHERE {_days(start, end)} ORDER BY event_date, user_key, known_day"
    )
    daily.replace_days(folder, "user_days", rows, start, end, schema=contract.USER_DAYS, replace=opened.replace)


def _days(start: dt.date, end: dt.date) -> str:
    return f"event_date >= DATE '{start}' AND event_date < DATE '{end}'"


def raw_profile(settings: Settings) -> Written:
    """Takes the staged profile into the lake; rows keep their `as_of`."""
    timer = lake.Timer()
    path = settings.staging / "profile.parquet"
    attributes = contract.profile_schema(settings.home)
    keys = [pa.field("user_key", pa.string()), pa.field("fold", pa.int8()), pa.field("as_of", contract.TIMESTAMP)]
    profile_schema = pa.schema([*keys, *attributes])
    file = pq.ParquetFile(path, pre_buffer=False) if path.exists() else None
    count = file.metadata.num_rows if file else 0
    batches = file.iter_batches(ROWS_AT_ONCE, columns=profile_schema.names) if file else iter(())
    rows = pa.RecordBatchReader.from_batches(profile_schema, (lake.cast(batch, profile_schema) for batch in batches))
    version = lake.replace(settings.lake, "raw_profile", rows, schema=profile_schema)
    size, content = lake.size(settings.lake, "raw_profile"), row_hash.of_table(settings.lake, "raw_profile")
    return Written("raw_profile", version, count, size, timer.seconds, {}, {"": (count, content)})


def feature(settings: Settings, table: str, start: dt.date, end: dt.date) -> Written:
    """Computes and writes the days `[start, end)` of one feature table, and the grid day that they rest on where there is none.

    Days go into chunks as large as memory allows, each one query and one atomic commit. Where no event asks for a row nothing is
    computed, and rows of before go. Raises JobFailed where not even one day fits in the memory that DuckDB may take; the days
    before it are written.
    """
    timer = lake.Timer()
    target = schema(settings, table)
    version = lake.create(settings.lake, table, target)
    if table == contract.SPARSE and _lacks_grid_day(settings, start):
        feature(settings, table, contract.grid_day(start), contract.grid_day(start) + dt.timedelta(days=1))
    inputs = Inputs(settings, table, start, end)
    with contextlib.closing(inputs), tqdm(total=(end - start).days, desc=table, unit="day", disable=None, leave=False) as bar:
        most = inputs.engine.memory * SHARE / _row_bytes(settings, target)
        while start < end:
            days, until = inputs.chunk(start, most)
            try:
                version = _replace(settings, inputs, target, days, start, until) or version
            except (duckdb.OutOfMemoryException, DeltaError) as error:  # the latter while rows are read, which it then hides
                if OUT_OF_MEMORY not in str(error):
                    raise
                if len(days) == 1:
                    raise JobFailed(
                        f"{table} of {days[0]} does not fit in {settings.duckdb_memory}: set FOUND_DUCKDB_MEMORY to more and run "
                        f"it again; days that are done stay. {str(error).splitlines()[0]}"
                    ) from None
                most = sum(inputs.rows[day] for day in days) / 2
                continue
            bar.update((until - start).days)
            start = until
    return _written(settings, table, version, inputs.start, end, timer, inputs.versions)


def _lacks_grid_day(settings: Settings, day: dt.date) -> bool:
    """Whether somebody was known by the grid day that a day rests on, and it was not made."""
    grid = contract.grid_day(day)
    if (
        kept_from(settings) is not None
        or grid == day
        or not daily.has_days(settings.lake, "user_days", dt.date.min, grid + dt.timedelta(days=1))
    ):
        return False
    of_grid = lake.days_where(grid, grid + dt.timedelta(days=1))
    return not lake.dataset(settings.lake, contract.SPARSE).scanner(columns=["user_key"], filter=of_grid).head(1).num_rows


def _replace(
    settings: Settings, inputs: Inputs, target: pa.Schema, days: list[dt.date], start: dt.date, end: dt.date
) -> int | None:
    """Replaces the days `[start, end)`, of which only `days` have rows, and returns the new version; None where none had any."""
    if days:
        query = inputs.query(days)
        return daily.replace_days(settings.lake, inputs.table, query, start, end, schema=target, replace=inputs.engine.replace)
    if daily.has_days(settings.lake, inputs.table, start, end):
        return daily.replace_days(settings.lake, inputs.table, target.empty_table(), start, end, schema=target)
    return None


def _row_bytes(settings: Settings, target: pa.Schema) -> int:
    """About how much memory a row takes, with lists that are a quarter full."""
    longest = {"search_text_ids": settings.search_length, "search_times": settings.search_length}
    lists = sum(longest.get(f.name, settings.sequence_length) // 4 for f in target if pa.types.is_list(f.type))
    return VALUE_BYTES * (len(target) + lists)


def _written(
    settings: Settings, table: str, version: int, start: dt.date, end: dt.date, timer: lake.Timer, versions: dict[str, int]
) -> Written:
    hashes = daily.day_hashes(settings.lake, table, start, end)
    days = {str(d): hashes.get(str(d), (0, "0" * 16)) for d in contract.days_between(start, end)}
    size = daily.size_of_days(settings.lake, table, start, end)
    return Written(table, version, sum(n for n, _ in days.values()), size, timer.seconds, versions, days)
