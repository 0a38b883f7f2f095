"""What a scan says of a source as a whole, before any work: implausible days, and the horizon that its rhythm allows.

What belongs here: questions to the table `scanned`, and the sentences that follow from the answers. What does not: single rows
(`rows`), what a home already holds (`staging`).
"""

import datetime as dt
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from found_platform.contract import HELD_OUT_FOLD, MIN_HELD_OUT
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import scan, totals
from found_platform.sources.totals import Asked

GAP_DAYS = 365
"""Days without a row from which a handful of rows beyond them may be slips: 1970-01-01, a year typed wrong by a digit."""
HANDFUL = 0.01
"""Share of the rows that is a handful, and one row of at least `FEW_ROWS` is too. A log whose first years were thin has more, or no
gap."""
FEW_ROWS = 20
STRETCH = 1.5
"""The days must grow by this factor before anybody is asked: a home of ten years is not much larger for an eleventh."""

HORIZONS = (7, 14, 28, 56, 91, 182)
"""Days a model may look ahead where nobody says: one week to half a year."""
ENOUGH = 30
"""Held-out users who act again, from which the verdict of the gate no longer hangs on a few people."""
ENOUGH_SHARE = 0.2
"""Or this share of the held-out users, in a source with few users."""


def days(con: duckdb.DuckDBPyConnection) -> dict[dt.date, int]:
    """Good rows of each UTC day that has any, oldest first."""
    return dict(
        con.execute(
            f"SELECT day, CAST(sum(n) AS BIGINT) FROM {totals.table(con, 'row_counts')} WHERE reason IS NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )


def core(rows: dict[dt.date, int]) -> tuple[dt.date, dt.date]:
    """First and last day of the rows without a handful that lies a long gap away, at either end; `rows` is ordered by day."""
    dates, total = list(rows), sum(rows.values())
    handful = max(HANDFUL * total, 1 if total >= FEW_ROWS else 0)
    first, last = 0, len(dates) - 1
    before = after = 0
    for i in range(len(dates) - 1):
        before += rows[dates[i]]
        if before <= handful and (dates[i + 1] - dates[i]).days > GAP_DAYS:
            first = i + 1
    for i in range(len(dates) - 1, first, -1):
        after += rows[dates[i]]
        if after <= handful and (dates[i] - dates[i - 1]).days > GAP_DAYS:
            last = i - 1
    return dates[first], dates[last]


def check_days(con: duckdb.DuckDBPyConnection) -> None:
    """Raises BadInput where a handful of rows stretches the days implausibly, naming them and the `span:` that decides."""
    rows = days(con)
    if not rows:
        return
    first, last = core(rows)
    whole, inner = (max(rows) - min(rows)).days + 1, (last - first).days + 1
    if whole < STRETCH * inner or whole == inner:
        return
    day = "CAST(event_time AT TIME ZONE 'UTC' AS DATE)"
    far = con.execute(
        f"SELECT file, row_number, CAST({day} AS VARCHAR) "
        f"FROM {scan.numbered(f'reason IS NULL AND {day} NOT BETWEEN ? AND ?')} ORDER BY event_time, file, row_number LIMIT 3",
        [first, last],
    ).fetchall()
    count = sum(n for day, n in rows.items() if not first <= day <= last)
    examples = "; ".join(f"{file}, row {number:,}: {day}" for file, number, day in far)
    today = dt.datetime.now(dt.UTC).date()
    open_end = all(day <= last or day > today for day in rows)
    end = "" if open_end else f", end: {last + dt.timedelta(days=1)}"
    raise BadInput(
        f"{count:,} of {sum(rows.values()):,} rows {'is' if count == 1 else 'are'} dated far from all others ({examples}"
        f"{'; …' if count > len(far) else ''}) and would make {whole:,} days of {inner:,}. If that is a slip, write "
        f"`span: {{start: {first}{end}}}` into the source file, and {'it is' if count == 1 else 'they are'} left aside; if it is "
        f"true, write `span: {{start: {min(rows)}, end: {max(rows) + dt.timedelta(days=1)}}}`."
    )


@dataclass(frozen=True)
class Rhythm:
    """Who acts again within a horizon: users with an event of their own before the window `[cutoff - horizon, cutoff)` and in it.

    Attributes:
        past_days: days of data before the window.
        with_history: held-out users with an event before the window.
        held_out: of those, the ones who act in the window.
        learning: users of the other folds who act before it and in it.
    """

    horizon_days: int
    cutoff: dt.date
    past_days: int
    with_history: int
    held_out: int
    learning: int

    @property
    def start(self) -> dt.date:
        """The first day of the window."""
        return self.cutoff - dt.timedelta(days=self.horizon_days)

    @property
    def enough(self) -> bool:
        """Whether enough held-out users act again for a verdict that does not hang on a few."""
        return self.judged and (self.held_out >= ENOUGH or self.held_out >= ENOUGH_SHARE * self.with_history)

    @property
    def judged(self) -> bool:
        """Whether the gate can judge a trained model at all."""
        return min(self.held_out, self.learning) >= MIN_HELD_OUT

    def sentence(self) -> str:
        """Why no model is trained, where the gate could not judge one."""
        return (
            f"Only {self.held_out:,} held-out and {self.learning:,} other users acted both before {self.start} and in the "
            f"{self.horizon_days} days from then on, and a trained model can be judged on {MIN_HELD_OUT} of each at least: none is "
            "trained, and the frozen-text model with replay serves. More users, or more days, change that."
        )


def rhythms(asked: Asked, span: list[dt.date], cutoff: dt.date | None, horizons: Iterable[int]) -> list[Rhythm]:
    """The rhythm of each horizon that fits between the first day and the cutoff, shortest first.

    Args:
        asked: who answers what is asked of all rows of the scan.
        span: first day of the data, and the day after the last.
        cutoff: None is the end of the data less the horizon.
    """
    first, end = span
    windows = [(h, cutoff or end - dt.timedelta(days=h)) for h in sorted(set(horizons))]
    windows = [(h, until) for h, until in windows if until - dt.timedelta(days=h) > first]
    if not windows:
        return []
    acts = []
    for i, (horizon, until) in enumerate(windows):
        start, end_of = (f"CAST('{day}T00:00:00Z' AS {{moment}})" for day in (until - dt.timedelta(days=horizon), until))
        acts += [
            f"coalesce(bool_or(event_time < {start} AND arrived_at <= {start}), false) AS before{i}",
            f"coalesce(bool_or(event_time >= {start} AND event_time < {end_of} AND arrived_at <= {end_of}), false) AS within{i}",
        ]
    users = f"SELECT user_id, {', '.join(acts)} FROM scanned WHERE reason IS NULL AND NOT exposure GROUP BY user_id"
    schema = pa.schema([(f"{name}{i}", pa.int64()) for i in range(len(windows)) for name in COUNTED])
    counts = asked.per_batch(users, functools.partial(_count, schema=schema), schema)
    sums = [sum(column.to_pylist()) for column in counts.columns]
    return [Rhythm(h, until, (until - first).days - h, *sums[3 * i : 3 * i + 3]) for i, (h, until) in enumerate(windows)]


COUNTED = ("with_history", "held_out", "learning")
"""What is counted of each horizon, as `Rhythm` has it."""


def _count(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Of each batch of users a row of counts."""
    for batch in batches:
        held_out = np.array([keys.fold(user) == HELD_OUT_FOLD for user in batch["user_id"].to_pylist()], bool)
        counts: list[int] = []
        for i in range(len(schema) // len(COUNTED)):
            before, within = (batch[f"{name}{i}"].to_numpy(zero_copy_only=False).astype(bool) for name in ("before", "within"))
            counts += map(int, ((held_out & before).sum(), (held_out & before & within).sum(), (~held_out & before & within).sum()))
        yield pa.RecordBatch.from_arrays([pa.array([count], pa.int64()) for count in counts], schema=schema)


def check_cutoff(horizon_days: int, span: list[dt.date], cutoff: dt.date | None) -> dt.date:
    """The cutoff that is asked for, or the data's end less the horizon. Raises BadInput where the data leave no past before it.

    Args:
        span: first day of the data, and the day after the last.
    """
    first, end = span
    count = (end - first).days
    last, horizon = end - dt.timedelta(days=1), dt.timedelta(days=horizon_days)
    earliest = first + horizon + dt.timedelta(days=1)
    day = cutoff or end - horizon
    if earliest > (end if cutoff else day):
        raise BadInput(
            f"The data holds {count} day{'s' if count != 1 else ''}, from {first} to {last}: too few for a past and a horizon of "
            f"{horizon_days} days; bring {2 * horizon_days + 1} days or more, or set FOUND_HORIZON_DAYS to less."
        )
    if not earliest <= day <= end:
        raise BadInput(
            f"The cutoff {day} does not fit the data, which goes from {first} to {last}: choose a day from {earliest} (the first "
            f"day and a horizon of {horizon_days} days) to {end}."
        )
    return day


def horizons(settings: Settings, *, new: bool) -> tuple[int, ...]:
    """The horizons to choose from: those of `HORIZONS` for a new home for which nobody has set one, else the one that is set."""
    free = new and "horizon_days" not in settings.model_fields_set
    return (*HORIZONS, settings.horizon_days) if free else (settings.horizon_days,)


def with_horizon(settings: Settings, horizon_days: int) -> Settings:
    """The settings with this horizon. With one that is longer than the default, users are looked back on for twice as long."""
    if horizon_days <= settings.horizon_days:
        return settings.model_copy(update={"horizon_days": horizon_days})
    longer = {name: max(getattr(settings, name), 2 * horizon_days) for name in ("lookback_days", "training_days")}
    unset = {name: days for name, days in longer.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={"horizon_days": horizon_days, **unset})


def choose(measured: list[Rhythm], default: int) -> Rhythm | None:
    """The horizon of a home for which nobody has set one; None where none fits.

    It is the profile's, unless too few held-out users act again within it: then the shortest longer one within which enough do.
    Data too short for the profile's take the longest that leaves as many days before its window, or else the shortest.
    """
    longer = [r for r in measured if r.horizon_days >= default]
    if not longer:
        roomy = [r for r in measured if r.past_days >= r.horizon_days]
        return (roomy or measured[:1] or [None])[-1]
    return next((r for r in longer if r.enough), longer[0])


def horizon_sentence(chosen: Rhythm, measured: list[Rhythm], default: int) -> str:
    """Why a horizon other than the profile's was chosen; empty where it is the profile's."""
    if chosen.horizon_days == default:
        return ""
    usual = next((r for r in measured if r.horizon_days == default), None)
    why = (
        f"of {usual.with_history:,} held-out users known by {usual.start} only {usual.held_out:,} act again within {default} days, "
        f"and {chosen.held_out:,} of {chosen.with_history:,} within {chosen.horizon_days}"
        if usual
        else f"the data are too short for a past and {default} days ahead"
    )
    return f"The horizon is {chosen.horizon_days} days: {why}. FOUND_HORIZON_DAYS sets another before a home is made."
