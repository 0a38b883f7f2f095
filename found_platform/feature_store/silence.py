"""The rows of the silent, made again from those of a grid day (`features.silence` says who has no row of their own).

Who has no row on a day that was made, and one on its grid day, is silent on that day: zeros, no ages, as many more days since the
first event as lie between, and the attributes of the grid day. What belongs here: these values, in SQL and for an engine, and a
day's rows with them. What does not: which row a moment sees (`point_in_time`, `as_expression`).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import datetime as dt
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from found_platform import contract, daily, lake
from found_platform.contract import ACTIVITY_FEATURES, SINCE_GRID_DAY, SPARSE, grid_day, snapshot_time
from found_platform.lake import quote
from found_platform.settings import Settings

if TYPE_CHECKING:
    import ibis.expr.types as ir

PERIOD = dt.timedelta(days=contract.SILENCE_GRID - 1)
"""How long before a day its grid day may lie."""
BEFORE = contract.SILENCE_GRID * 30_000
"""Days that are added to those since 1970, so that none has a number below 0."""
ROWS = 65_536
GROWS = "days_since_first"
UNKNOWN = frozenset(f.name for f in ACTIVITY_FEATURES if f.name == "mean_gap_lookback" or f.name.startswith("days_since_last"))
COUNTED = frozenset(f.name for f in ACTIVITY_FEATURES) - UNKNOWN - {GROWS}
TIMES = ("event_timestamp", "created_timestamp")


def since_grid(moment: str) -> str:
    """In SQL: the days between the grid day and the day that a moment (TIMESTAMPTZ at 00:00) ends."""
    return SINCE_GRID_DAY.format(day=f"CAST(epoch_ms(epoch_ms({moment})) AS DATE) - 1")


def column(name: str, row: str, days: str) -> str:
    """In SQL: a column of a row, or of the silence that has lasted `days` since it, where these are not 0."""
    value = f"{row}.{quote(name)}"
    if name in COUNTED:
        return f"CASE WHEN {days} = 0 THEN {value} ELSE 0 END"
    if name in UNKNOWN:
        return f"CASE WHEN {days} = 0 THEN {value} END"
    if name in TIMES:
        return f"{value} + to_hours(24 * {days})"
    if name == "event_date":
        return f"CAST({value} + CAST({days} AS INTEGER) AS DATE)"
    return f"{value} + {days}" if name == GROWS else value


def value(name: str, column: "ir.Value", days: "ir.IntegerColumn") -> "ir.Value":
    """The same of a feature for an engine."""
    import ibis

    if name in COUNTED or name in UNKNOWN:
        other = ibis.literal(0) if name in COUNTED else ibis.null()
        return ibis.ifelse(days == 0, column, other.cast(column.type()))
    return column + days if name == GROWS else column


def rows_of(settings: Settings, day: dt.date, columns: Sequence[str], *, versions: bool = False) -> pa.RecordBatchReader:
    """Everybody's rows of a day as they were known when it was over, or all `versions`; none where the day was not made."""
    folder = settings.lake
    grid = grid_day(day)
    about = lake.open_table(folder, SPARSE)
    schema = pa.schema(about.schema().to_arrow())
    con = lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")
    paths = [f["path"] for f in lake.files_of(about) if _has(f, {grid, day})]
    if not paths:
        return pa.RecordBatchReader.from_batches(pa.schema([schema.field(c) for c in columns]), [])
    con.execute(f"CREATE TEMP VIEW t AS SELECT * FROM {lake.scan_of(con, about, lake.path(folder, SPARSE), paths)}")
    of_day = f"event_date = DATE '{day}'"
    in_time = of_day if versions else f"{of_day} AND created_timestamp <= TIMESTAMPTZ '{snapshot_time(day).isoformat()}'"
    query = f"SELECT {', '.join(f't.{quote(c)}' for c in columns)} FROM t WHERE {in_time}"
    if grid < day:
        since = str((day - grid).days)
        query += (
            f" UNION ALL SELECT {', '.join(column(c, 't', since) for c in columns)} FROM t "
            f"ANTI JOIN (SELECT user_key FROM t WHERE {of_day} AND created_timestamp = event_timestamp) AS own USING (user_key) "
            f"WHERE event_date = DATE '{grid}' AND created_timestamp = event_timestamp "
            f"AND EXISTS (SELECT 1 FROM t WHERE {of_day})"
        )
    return con.execute(query).to_arrow_reader(ROWS).cast(pa.schema([schema.field(c) for c in columns]))


def _has(file: dict, days: Collection[dt.date]) -> bool:
    first, last = daily.days_of_file(file)
    return any(first <= day <= last for day in days)


def stand_alone(settings: Settings, first: dt.date) -> None:
    """Writes everybody into every day from one on."""
    folder = settings.lake
    last = daily.last_day(folder, SPARSE) or first
    schema = pa.schema(lake.open_table(folder, SPARSE).schema().to_arrow())
    for day in contract.days_between(first, last + dt.timedelta(days=1)):
        if day == grid_day(day):
            continue
        rows = rows_of(settings, day, schema.names, versions=True)
        daily.replace_days(folder, SPARSE, rows, day, day + dt.timedelta(days=1), schema=schema)
