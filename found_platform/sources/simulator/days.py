"""What a block of people does on a day: wishes, and the events they show as.

A wish for a leaf shows on its day as a search, page clicks and app visits, as the person's habits have it, and perhaps, some days
later, as a payment. Payments of a day come from the wishes of the 14 days up to it; any day can be drawn alone.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from found_platform.sources.simulator.people import BLOCK, HOBBY, WISH, People, people, rng
from found_platform.sources.simulator.world import DELAY, MAX_DELAY, triangle, world

HOBBY_MEMORY = 150
"""Days after which a hobby has faded away."""

DAYS_A_MONTH = 30.4
PAYDAY = (1.35, 0.85)  # factor of the wishes in the ten days after payday, and in the other days


@dataclass(frozen=True)
class Wishes:
    """The wishes of a day, a row each. `pays_after` is the delay of the payment in days, -1 where there is none."""

    user: np.ndarray
    leaf: np.ndarray
    pays_after: np.ndarray


def calendar(start: dt.date, day: int) -> dt.date:
    return start + dt.timedelta(days=day)


@dataclass(frozen=True)
class Campaign:
    """What is advertised in a week. It reaches everybody alike, so that its effect can be measured."""

    leaf: int
    reach: float
    strength: float


def campaign(start: dt.date, day: int) -> Campaign:
    """The campaign of the week that the day is in."""
    spec, week = world().raw["campaign"], calendar(start, day).toordinal() // 7
    leaves = np.flatnonzero(~world().everyday)
    return Campaign(int(leaves[week * 7919 % len(leaves)]), spec["reach"], spec["strength"][week % len(spec["strength"])])


def cycle(p: People, start: dt.date, day: int) -> np.ndarray:
    """(B,) factor of a person's own week and month."""
    date = calendar(start, day)
    since = (date.day - p.payday) % 30
    return p.weekday[:, date.weekday()] * np.where(since < 10, *PAYDAY)


@lru_cache(maxsize=2 * HOBBY_MEMORY)
def new_hobbies(seed: int, block: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Users who take up a hobby on a day, and its leaf."""
    p, g = people(seed, block), rng(seed, HOBBY, block, day)
    who = np.flatnonzero(g.random(BLOCK) < world().raw["hobby"]["rate"] / 365)
    edges = p.hobby_taste[who].cumsum(1)
    return who, (g.random(len(who))[:, None] > edges).sum(1).clip(max=edges.shape[1] - 1)


def hobby_wishes(age: np.ndarray) -> np.ndarray:
    """Wishes a day of a hobby of this age in days, for a person of energy 1."""
    spec = world().raw["hobby"]
    return np.where((age >= 0) & (age < HOBBY_MEMORY), spec["wishes"] * 0.5 ** (np.maximum(age, 0) / spec["half_life"]), 0.0)


def rates(seed: int, block: int, start: dt.date, day: int, begun_before: int | None = None) -> np.ndarray:
    """(B, L) mean wishes of a day, exposures aside.

    With `begun_before`, only what had begun before that day counts: life events and hobbies that begin later are left out.
    """
    w, p = world(), people(seed, block)
    date = calendar(start, day)
    when = np.where(w.monthly, (p.bill_day == date.day) * DAYS_A_MONTH, cycle(p, start, day)[:, None])
    rate = p.activity[:, None] * when * p.taste * w.season[date.month - 1] + w.steady
    for e, name in enumerate(w.life_events):
        begun = p.onset[:, e] < (begun_before if begun_before is not None else day + 1)
        for leaf, first, last, peak in w.phases(name):
            rate[:, leaf] += p.energy * peak * triangle(day - p.onset[:, e], first, last) * begun
    first_days = range(day - HOBBY_MEMORY + 1, min(day, day if begun_before is None else begun_before - 1) + 1)
    begun = [new_hobbies(seed, block, d) for d in first_days]
    age = np.repeat([day - d for d in first_days], [len(who) for who, _ in begun])
    who, leaf = (np.concatenate(parts) for parts in zip(*begun, strict=True))
    np.add.at(rate, (who, leaf), p.energy[who] * hobby_wishes(age))
    return rate * (p.window_shopper * 0.5 + 1)


def alive(p: People, day: int) -> np.ndarray:
    return (p.joins <= day) & (day < p.leaves)


@lru_cache(maxsize=2 * (MAX_DELAY + 2))
def wishes(seed: int, block: int, start: dt.date, day: int) -> tuple[Wishes, np.ndarray]:
    """The wishes of a block on a day, and the users that the day's campaign reached."""
    p, g = people(seed, block), rng(seed, WISH, block, day)
    present = alive(p, day)
    rate = rates(seed, block, start, day) * present[:, None]
    counts = g.poisson(rate)
    user, leaf = np.nonzero(counts)
    user, leaf = np.repeat(user, counts[user, leaf]), np.repeat(leaf, counts[user, leaf])
    ad = campaign(start, day)
    exposed = np.flatnonzero((g.random(BLOCK) < ad.reach) & present)
    persuaded = exposed[g.random(len(exposed)) < ad.strength * p.persuadable[exposed]]
    user = np.concatenate([user, persuaded])
    leaf = np.concatenate([leaf, np.full(len(persuaded), ad.leaf)])
    delay = np.where(world().everyday[leaf], 0, g.choice(MAX_DELAY + 1, len(user), p=DELAY))
    paid = g.random(len(user)) < p.pays[user, leaf]
    return Wishes(user, leaf, np.where(paid, delay, -1)), exposed
