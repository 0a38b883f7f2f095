"""Traffic drift: what came in over a week, in a few figures, against the week 28 days earlier.

Feature drift looks at users; this looks at the source, and sees what averages over users hide: a channel that went silent, new
prices or units, texts nobody has seen before, a few accounts that make all the noise.

A figure has drifted where it moved by more than a factor that matters, and by more than chance moves it: where nothing changed, any
user's two weeks could as well have come in the other order, so swapping them at random (a permutation test with users as units)
shows what chance does to so many users and events.
"""

import datetime as dt
import math
from dataclasses import dataclass

import duckdb
import numpy as np

from found_platform import lake
from found_platform.contract import CHANNELS
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, Figure, not_judged
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources.config import SourceConfig

WEEK = dt.timedelta(days=7)
REFERENCE = dt.timedelta(days=28)

RATIO = 1.25
"""A figure that moves by no more than this factor, either way, is no drift."""
LOOSER = {"busiest_1pct": 1.5}
"""Figures with a factor of their own. Swaps understate chance for the busiest, of whom those who did more are not swapped: calm
logs moved by up to 1.45, and none of them by this much (docs/simulator.md)."""
COARSEST = 3.0
"""Where chance reaches this many times the factor, on a log scale (1.25 becomes 1.95), the week is too small to judge by."""
BUSIEST = 3
"""The place of `busiest_1pct` among the figures."""
BUSY = 5
"""Users whom the busiest hundredth has at least: the one or two busiest of a small source change from week to week."""
DRAWS, CHUNK = 4000, 100
"""Permutations: enough to know a quantile of one in a thousand; and how many at once."""
MAX_USERS = 20_000
"""Users that are permuted, at most: what chance does to more of them is less, and the factor that matters decides."""


def figures(settings: Settings, day: dt.date) -> list[Figure]:
    """The figures of the week that ends with `day`.

    - `users`: distinct users with events. `events_per_user`: their mean.
    - `share_CHANNEL`: the channel's share of the events, for each channel that the source has.
    - `price_level`: geometric mean, over texts paid for in both weeks, of the ratio of mean log amounts (1 in the reference).
    - `known_texts`: share of events whose text had occurred before the reference week.
    - `busiest_1pct`: share of the events that the busiest hundredth of the users, or the busiest five, made.

    Exposures are left out: they are the platform's own doing. All are not judged while the source is younger than two weeks and 28
    days.
    """
    config = source_config.of_home(settings)
    start = day + dt.timedelta(days=1) - WEEK
    channels = own_channels(config)
    names = ["users", "events_per_user", "known_texts", "busiest_1pct", *(f"share_{c}" for c in channels)]
    priced = ["price_level"] if has_amounts(config) else []
    if start - REFERENCE - WEEK < config.days[0]:
        age = (day - config.days[0]).days + 1
        return [
            not_judged(n, f"the source is {age} days old, and {(2 * WEEK + REFERENCE).days} are needed") for n in names + priced
        ]
    con = _events(settings, start)
    weeks = Weeks.of(con, channels)
    limits = weeks.limits(FALSE_ALARMS / (len(names) + len(priced)))
    values, references = weeks.figures()
    figures = [judged(n, v, r, limit) for n, v, r, limit in zip(names, values, references, limits, strict=True)]
    return figures + [_price_level(con, FALSE_ALARMS / (len(names) + 1)) for _ in priced]


def own_channels(config: SourceConfig) -> list[str]:
    """The channels that bring what users do themselves."""
    if config.simulator is not None:
        return list(CHANNELS)
    return [c for c in CHANNELS if any(c == channel and not e.exposure for channel, es in config.channels.items() for e in es)]


def has_amounts(config: SourceConfig) -> bool:
    """Whether the source brings amounts of what users do themselves."""
    return config.simulator is not None or any(
        "amount" in entry.columns and not entry.exposure for entries in config.channels.values() for entry in entries
    )


def _events(settings: Settings, start: dt.date) -> duckdb.DuckDBPyConnection:
    """A connection with `e`, the events of both weeks (`now` tells which), and `texts`, those known before the reference week."""
    con = lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")
    con.register("raw_events", lake.dataset(settings.lake, "raw_events"))
    con.register("behavior_text", lake.dataset(settings.lake, "behavior_text"))
    con.execute(
        "CREATE TEMP TABLE e AS SELECT event_date >= $start AS now, user_key, channel, text_id, amount FROM raw_events "
        "WHERE NOT exposure AND (event_date >= $start AND event_date < $end OR event_date >= $early AND event_date < $early_end)",
        {"start": start, "end": start + WEEK, "early": start - REFERENCE, "early_end": start + WEEK - REFERENCE},
    )
    con.execute("CREATE TEMP TABLE texts AS SELECT DISTINCT text_id FROM behavior_text WHERE event_date < ?", [start - REFERENCE])
    return con


@dataclass(frozen=True)
class Weeks:
    """What each user (U) did in the week and in the reference week: columns (U, 3 + C) active, events, events of known texts, and
    events by channel."""

    current: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, channels: list[str]) -> "Weeks":
        counts = [
            "1",
            "count(*)",
            "sum(CAST(text_id IN (FROM texts) AS INT))",
            *(f"count(*) FILTER (channel = '{c}')" for c in channels),
        ]
        columns = ", ".join(f"{count} AS c{i}" for i, count in enumerate(counts))
        rows = con.execute(f"SELECT user_key, now, {columns} FROM e GROUP BY user_key, now ORDER BY user_key").fetchnumpy()
        _, user = np.unique(np.asarray(rows["user_key"], str), return_inverse=True)
        sides = np.zeros((2, int(user.max(initial=-1)) + 1, len(counts)))
        sides[rows["now"].astype(int), user] = np.stack([rows[f"c{i}"].astype(float) for i in range(len(counts))], 1)
        return cls(sides[1], sides[0])

    def figures(self) -> tuple[np.ndarray, np.ndarray]:
        """The figures (F,) of the week and of the reference week, in the order of `figures`; NaN where there are no events."""
        return tuple(_figures(side.sum(0)[None], side[None, :, 1])[0] for side in (self.current, self.reference))  # pyright: ignore[reportReturnType]

    def limits(self, alarms: float) -> np.ndarray:
        """(F,) the factors that each figure moves by, or less, with the chance 1 - `alarms` where nothing changed; inf or NaN where
        that cannot be told."""
        current, reference = self.current[:MAX_USERS], self.reference[:MAX_USERS]  # in the order of keyed hashes: a fair sample
        rng = np.random.default_rng(0)
        moves = []
        for _ in range(DRAWS // CHUNK):
            swapped = rng.random((CHUNK, len(current))) < 0.5
            totals = current.sum(0) + swapped.astype(float) @ (reference - current)  # (CHUNK, 3 + C)
            events = np.where(swapped, reference[:, 1], current[:, 1])
            drawn = _figures(totals, events)
            others = _figures((current + reference).sum(0) - totals, (current + reference)[:, 1] - events)
            moves.append(_moved(drawn, others))
            moves[-1][:, BUSIEST] = self._busiest_by_chance(rng)
        return np.exp(np.quantile(np.concatenate(moves), 1 - alarms, axis=0, method="higher"))

    def _busiest_by_chance(self, rng: np.random.Generator) -> np.ndarray:
        """(CHUNK,) what swaps do to the busiest hundredth. Only users who did no more than in the reference week are swapped, each
        twice to stand for the others: a handful of accounts that make all the noise has a handful of orders, and would hide."""
        current, reference = self.current[:MAX_USERS, 1], self.reference[:MAX_USERS, 1]
        fell = np.tile(np.stack([current, reference])[:, current <= reference], 2)  # (2, U')
        swapped = rng.random((CHUNK, fell.shape[1])) < 0.5
        one, other = (np.where(swapped, *sides) for sides in (fell, fell[::-1]))
        return _moved(*(_busiest(events, (events > 0).sum(1)) for events in (one, other)))


def _figures(totals: np.ndarray, events: np.ndarray) -> np.ndarray:
    """(D, F) figures of totals (D, 3 + C) by column and of events (D, U) by user."""
    users, count, known_texts, channels = totals[:, 0], totals[:, 1], totals[:, 2], totals[:, 3:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.column_stack([users, count / users, known_texts / count, _busiest(events, users), channels / count[:, None]])


def _busiest(events: np.ndarray, users: np.ndarray) -> np.ndarray:
    """(D,) share of the events (D, U) by user that the busiest hundredth of the `users` (D,) made; NaN without events."""
    places = np.minimum(users, np.maximum(np.ceil(users / 100), BUSY)).astype(int)
    top = int(places.max())
    if not top:
        return np.full(len(events), np.nan)
    descending = np.sort(np.partition(-events, top - 1, axis=1)[:, :top], axis=1)
    most = np.take_along_axis(np.cumsum(-descending, axis=1), np.maximum(places - 1, 0)[:, None], axis=1)[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return most / events.sum(1)


def _moved(values: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The log of the factor between two figures, either way: infinite from or to 0, 0 between zeros, NaN where one is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = np.abs(np.log(values) - np.log(references))
    return np.where((values == 0) & (references == 0), 0.0, moved)


def judged(name: str, value: float, reference: float, chance: float) -> Figure:
    """A figure by its factor, and by the factor that chance alone reaches."""
    value, reference, chance = float(value), float(reference), float(chance)
    if math.isnan(value) or math.isnan(reference):
        week = "the week" if math.isnan(value) else "the reference week"
        return not_judged(name, f"no events in {week}", *(None if math.isnan(v) else v for v in (value, reference)))
    if value == reference == 0:
        return not_judged(name, "silent: nothing in either week", value, reference)
    factor = LOOSER.get(name, RATIO)
    moved = float(_moved(np.array(value), np.array(reference)))
    if not math.isfinite(chance):
        return not_judged(name, "too few users to tell a change from chance", value, reference)
    limit = max(factor, chance)
    if moved > math.log(limit):
        return Figure(name, value, reference, limit, DRIFTED)
    if math.log(limit) > COARSEST * math.log(factor):
        why = f"too few users: chance alone moves it by a factor of {math.floor(10 * factor**COARSEST) / 10:g} or more"
        return not_judged(name, why, value, reference)
    return Figure(name, value, reference, limit, PASSED)


def _price_level(con: duckdb.DuckDBPyConnection, alarms: float) -> Figure:
    """The price level, and what chance does to it: log amounts of one text in one week are taken to scatter alike for all texts."""
    from scipy.stats import norm

    row = con.execute(
        "WITH p AS (SELECT now, text_id, avg(ln(amount)) AS level, count(*) AS n, "
        "  coalesce(var_pop(ln(amount)), 0) * count(*) AS squares FROM e WHERE amount > 0 GROUP BY ALL), "
        "paired AS (SELECT a.level - b.level AS change, least(a.n, b.n) AS weight, 1 / a.n + 1 / b.n AS errors, "
        "  a.squares + b.squares AS squares, a.n + b.n - 2 AS freedom FROM p a JOIN p b USING (text_id) WHERE a.now AND NOT b.now) "
        "SELECT sum(change * weight) / sum(weight), sum(weight * weight * errors) / sum(weight) ** 2, sum(squares), sum(freedom) "
        "FROM paired",
    ).fetchone()
    assert row is not None
    level, errors, squares, freedom = row
    if level is None:
        return not_judged("price_level", "no text was paid for in both weeks")
    if not math.isfinite(level):
        return not_judged("price_level", "amounts of the weeks are no finite numbers")
    if not freedom:
        return not_judged("price_level", "too few payments to tell a change from chance", math.exp(level), 1.0)
    chance = norm.isf(alarms / 2) * math.sqrt(squares / freedom * errors)
    return judged("price_level", math.exp(level), 1.0, math.exp(min(chance, 700.0)))
