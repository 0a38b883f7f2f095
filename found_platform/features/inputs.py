"""What a run of a feature table reads: pinned tables as views of one connection, and how much of which day is in them.

What belongs here: opening the tables once for a whole run, on the home's engine, and cutting its days into chunks that fit in
memory. What does not: what a table's rows are (`tabular`, `sequence`, `text`), writing them (`write`).
"""

import datetime as dt
import functools
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa

from found_platform import contract, engine, lake, spill
from found_platform.contract import SEARCH, snapshot_time
from found_platform.features.late_arrivals import late_users
from found_platform.features.sequence import behavior_sequence, search_text
from found_platform.features.tabular import daily_sums, user_tabular
from found_platform.features.tabular_days import FEW
from found_platform.features.text import behavior_text
from found_platform.privacy.retention import kept_from
from found_platform.settings import Settings


class Inputs:
    """The inputs of one run of a feature table over the days `[start, end)`."""

    def __init__(self, settings: Settings, table: str, start: dt.date, end: dt.date):
        self.table, self.start, self.end = table, start, end
        self._settings = settings
        names = ("raw_events", "user_days", "raw_profile") if table == "user_tabular" else ("raw_events", "user_days")
        self.versions = {name: lake.version(settings.lake, name) for name in names}
        self.engine = engine.of(settings)
        since = start - dt.timedelta(days=settings.lookback_days - 1)
        for name, pinned in self.versions.items():
            self.engine.table(name, pinned, (since, end) if name == "raw_events" else None)

        self._sums: list[Path] = []

    def close(self) -> None:
        self.engine.close()
        for folder in self._sums:
            shutil.rmtree(folder, ignore_errors=True)

    @functools.cached_property
    def rows(self) -> dict[dt.date, int]:
        """About how many rows the table has of each day; a day that is not among them has none."""
        if self.table == "user_tabular":
            new = self._counts(
                "SELECT day, count(*) AS n FROM (SELECT user_key, min(event_date) AS day FROM user_days "
                f"WHERE event_date < DATE '{self.end}' GROUP BY user_key) AS seen GROUP BY day"
            )
            seen = sum(count for day, count in new.items() if day < self.start)
            days = contract.days_between(self.start, self.end)
            rows_by_day = zip(days, itertools.accumulate(new.get(day, 0) for day in days), strict=True)
            return {day: seen + count for day, count in rows_by_day if seen + count}
        kind = {"search_text": "=", "behavior_sequence": "<>"}.get(self.table)
        of_kind = f"AND channel {kind} '{SEARCH}'" if kind else ""
        return self._counts(
            f"SELECT event_date, count(*) AS n FROM raw_events WHERE event_date >= DATE '{self.start}' "
            f"AND event_date < DATE '{self.end}' {of_kind} GROUP BY event_date"
        )

    def _counts(self, query: str) -> dict[dt.date, int]:
        """The first two columns of a query, in the order of the first."""
        days, counts = (column.to_pylist() for column in self.engine.read(query).read_all().columns)
        return dict(sorted(zip(days, counts, strict=True)))

    @functools.cached_property
    def _late(self) -> dict[dt.date, dt.date]:
        """Days with events that were not known on their own day, and the last day on which one of them became known."""
        query = (
            "SELECT event_date, max(known_day) AS known FROM user_days "
            f"WHERE known_day > event_date AND event_date < DATE '{self.end}' GROUP BY event_date"
        )
        days, arrivals = (column.to_pylist() for column in self.engine.read(query).read_all().columns)
        return dict(zip(days, arrivals, strict=True))

    def chunk(self, start: dt.date, most: float) -> tuple[list[dt.date], dt.date]:
        """The next days with rows from `start` on, as many as have `most` rows together but one at least, and the day up to which
        that is all: the first day of the next chunk, or the end of the run. No days where none has rows from `start` on."""
        days, size = [], 0
        for day, count in self.rows.items():
            if day >= start and days and size + count > most:
                return days, day
            if day >= start:
                days, size = [*days, day], size + count
        return days, self.end

    def query(self, days: list[dt.date]) -> ir.Table:
        """The rows of these days, which lie within those of the run, in the order in which they are written."""
        settings, first, last = self._settings, days[0], days[-1]
        since = first - dt.timedelta(days=settings.lookback_days - 1)
        self.engine.rows("days", _days(days, settings.lookback_days))
        self.engine.rows("span", pa.table({"first": pa.array([first], pa.date32()), "last": pa.array([last], pa.date32())}))
        self.engine.view("events", f"SELECT * FROM raw_events WHERE event_date BETWEEN DATE '{since}' AND DATE '{last}'")
        self.engine.view("seen", f"SELECT * FROM user_days WHERE event_date <= DATE '{last}'")
        # of an event that was known by the first of the days, nobody asks when that was
        late = any(day <= last and newest_arrival > max(day, first) for day, newest_arrival in self._late.items())
        length = settings.search_length if self.table == "search_text" else settings.sequence_length
        profile = tuple((f.name, str(f.type)) for f in contract.profile_schema(settings.home))
        tabular = self.table == "user_tabular"
        few = len(days) <= (FEW if tabular else 1)
        if tabular:
            grid = contract.grid_day(first)
            self.engine.view("news", f"SELECT * FROM user_days WHERE known_day > DATE '{grid}' AND event_date <= DATE '{last}'")
        everybody = tabular and kept_from(settings) is not None
        apart = tabular and not few and self.engine.dialect != "duckdb"  # DuckDB computes once what stands in a query ten times
        if apart:
            self._keep_sums(daily_expression(late))
        return expression(
            self.table, length, settings.lookback_days, late, profile if tabular else (), few=few, everybody=everybody, apart=apart
        )

    def _keep_sums(self, sums: ir.Table) -> None:
        """Names the sums of days `daily`, as files that go when this is closed."""
        folder, schema = spill.folder(self._settings.home / "tmp"), sums.schema().to_pyarrow()
        self._sums.append(folder)
        self.engine.write(sums, folder, schema=schema, by="user")
        if paths := sorted(folder.glob("*.parquet")):
            self.engine.parquet("daily", paths, schema)
        else:
            self.engine.rows("daily", schema.empty_table())


ORDER = ("event_date", "user_key", "text_id", "created_timestamp")
"""Rows are written in this order, as far as a table has these columns."""


@functools.lru_cache(32)
def expression(
    table: str,
    length: int,
    lookback: int,
    has_late: bool,
    profile: tuple[tuple[str, str], ...],
    *,
    few: bool = False,
    everybody: bool = False,
    apart: bool = False,
) -> ir.Table:
    """A feature table over `events`, `seen` (rows of `user_days`), `raw_profile`, `days` and `span`.

    `few` days are computed in another way than a range: so many as `tabular_days.FEW`, of lists of events a lone one.
    `everybody`: whether the silent have a row on every day. They do where days were let go: who was known by a grid day may have
    been forgotten since. `apart`: whether what `daily_expression` gives is the table `daily`.
    """
    attributes = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in profile])
    keys = [("user_key", pa.string()), ("fold", pa.int8()), ("as_of", contract.TIMESTAMP)]
    events, seen, span = _tables()
    days = engine.table_of("days", _days([], lookback).schema)
    late = late_users(seen, span) if has_late else None
    sums = engine.table_of("daily", daily_expression(has_late).schema().to_pyarrow()) if apart else None
    build: dict[str, Callable[[], ir.Table]] = {
        "behavior_text": lambda: behavior_text(events, days),
        "behavior_sequence": lambda: behavior_sequence(events, days, length, lookback, late, lone=few),
        "search_text": lambda: search_text(events, days, length, lookback, late, lone=few),
        "user_tabular": lambda: user_tabular(
            events,
            seen,
            engine.table_of("raw_profile", pa.schema([*keys, *attributes])),
            days,
            span,
            lookback,
            late,
            few=few,
            news=None if everybody else engine.table_of("news", contract.USER_DAYS),
            daily=sums,
        ),
    }
    result = build[table]()
    return result.order_by(*[k for k in ORDER if k in result.columns])


@functools.lru_cache(2)
def daily_expression(has_late: bool) -> ir.Table:
    """The sums of days that a range of `user_tabular` is made from, over the same tables."""
    events, seen, span = _tables()
    return daily_sums(events, seen, late_users(seen, span) if has_late else None)


def _tables() -> tuple[ir.Table, ir.Table, ir.Table]:
    span = engine.table_of("span", pa.schema([("first", pa.date32()), ("last", pa.date32())]))
    return engine.table_of("events", contract.EVENTS), engine.table_of("seen", contract.USER_DAYS), span


def _days(days: list[dt.date], lookback: int) -> pa.Table:
    return pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "first_day": pa.array([d - dt.timedelta(days=lookback - 1) for d in days], pa.date32()),
            "event_timestamp": pa.array([snapshot_time(d) for d in days], contract.TIMESTAMP),
        }
    )
