"""Traffic drift: what came in over a week, in a few figures, against the week 28 days earlier.

Feature drift looks at users; this looks at the source, and sees what averages over users hide: a channel that went silent, new
prices or units, texts nobody has seen before, a few accounts that make all the noise.
"""

import datetime as dt
import math
from dataclasses import dataclass

from found_platform import lake
from found_platform.contract import CHANNELS
from found_platform.settings import Settings
from found_platform.sources import config as source_config

WEEK = dt.timedelta(days=7)
REFERENCE = dt.timedelta(days=28)

RATIO = 1.25
"""A figure that moves by more than this factor, either way, is called a drift."""
LOOSER = {"busiest_1pct": 2.0}
"""Figures with a factor of their own: a hundredth of the users is few."""
ENOUGH = 200
"""Events a week that a figure must rest on: below, chance alone moves it as much."""


@dataclass(frozen=True)
class Figure:
    """One figure of a week and of its reference; None where the data cannot tell."""

    name: str
    value: float | None
    reference: float | None

    @property
    def drifted(self) -> bool:
        if self.value is None or self.reference is None or self.value == self.reference:
            return False
        if min(self.value, self.reference) <= 0:
            return True
        return abs(math.log(self.value / self.reference)) > math.log(LOOSER.get(self.name, RATIO))


def figures(settings: Settings, day: dt.date) -> list[Figure]:
    """The figures of the week that ends with `day`; empty while the source is younger than two weeks and 28 days.

    - `users`: distinct users with events. `events_per_user`: their mean.
    - `share_CHANNEL`: the channel's share of the events.
    - `price_level`: geometric mean, over texts paid for in both weeks, of the ratio of mean log amounts (1 in the reference).
    - `known_texts`: share of events whose text had occurred before the reference week.
    - `busiest_1pct`: share of the events that the busiest hundredth of the users made.

    Exposures are left out: they are the platform's own doing. A figure that rests on fewer than `ENOUGH` events is None.
    """
    end = day + dt.timedelta(days=1)
    start = end - WEEK
    first = source_config.of_home(settings).days[0]
    if start - REFERENCE - WEEK < first:
        return []
    con = lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")
    con.register("raw_events", lake.dataset(settings.lake, "raw_events"))
    con.execute(
        "CREATE TEMP TABLE e AS SELECT event_date >= $start AS now, user_key, channel, text_id, amount FROM raw_events "
        "WHERE NOT exposure AND (event_date >= $start AND event_date < $end OR event_date >= $early AND event_date < $early_end)",
        {"start": start, "end": end, "early": start - REFERENCE, "early_end": end - REFERENCE},
    )
    con.register("known", lake.dataset(settings.lake, "behavior_text"))
    rows = con.execute(
        "WITH texts AS (SELECT DISTINCT text_id FROM known WHERE event_date < ?), "
        "busy AS (SELECT now, count(*) AS n, ntile(100) OVER (PARTITION BY now ORDER BY count(*) DESC, user_key) AS part "
        "  FROM e GROUP BY now, user_key), "
        "busiest AS (SELECT now, sum(n) FILTER (part = 1) / sum(n) AS share FROM busy GROUP BY now) "
        "SELECT now, count(*), count(DISTINCT user_key), avg(CAST(text_id IN (FROM texts) AS INT)), any_value(share), "
        + ", ".join(f"avg(CAST(channel = '{c}' AS INT))" for c in CHANNELS)
        + " FROM e JOIN busiest USING (now) GROUP BY now",
        [start - REFERENCE],
    ).fetchall()
    prices = con.execute(
        "WITH p AS (SELECT now, text_id, avg(ln(amount)) AS level, count(*) AS n FROM e WHERE amount > 0 GROUP BY ALL), "
        "paired AS (SELECT a.level - b.level AS change, least(a.n, b.n) AS weight FROM p a JOIN p b USING (text_id) "
        "  WHERE a.now AND NOT b.now) "
        "SELECT exp(sum(change * weight) / sum(weight)), sum(weight) FROM paired",
    ).fetchone()
    weeks = {now: row for now, *row in rows}
    if len(weeks) < 2 or min(row[0] for row in weeks.values()) < ENOUGH:
        return []
    names = ["users", "events_per_user", "known_texts", "busiest_1pct", *(f"share_{c}" for c in CHANNELS)]

    def values(now: bool) -> list[float]:
        events, users, *rest = weeks[now]
        return [float(users), events / users, *map(float, rest)]

    found = [Figure(n, v, r) for n, v, r in zip(names, values(True), values(False), strict=True)]
    assert prices is not None
    level = prices[0] if (prices[1] or 0) >= ENOUGH else None
    return [*found, Figure("price_level", level, 1.0)]
