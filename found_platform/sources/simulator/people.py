"""People: everything about a user that does not change from day to day, drawn a block of users at a time.

A block is always drawn whole, so a user is the same whatever the population's size, and whatever the number of shards.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from found_platform.sources.simulator.world import BANDS, TILT, world

BLOCK = 1024
DEEP_PAST = 900
"""Days before the first day in which a life event may have begun."""

PERSON, HOBBY, WISH, EVENT = range(4)
"""Streams of random numbers: each (seed, stream, block, day) has its own, so any day can be drawn alone."""

LEAVING = 1 / 900  # a day, for everybody


def rng(seed: int, stream: int, block: int, day: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream, block, day + 100_000])))


@dataclass(frozen=True)
class People:
    """A block of users, B rows each. Days count from the population's first day and may be negative."""

    bands: dict[str, np.ndarray]  # (B,) position in BANDS
    activity: np.ndarray  # (B,) wishes a day for what they always like
    budget: np.ndarray  # (B,)
    taste: np.ndarray  # (B, L) share of the wishes, rows sum to 1
    pays: np.ndarray  # (B, L) probability that a wish ends in a payment
    window_shopper: np.ndarray  # (B, L) bool: wishes for it and never buys
    searches: np.ndarray  # (B,) probability that a wish shows as a search
    browses: np.ndarray  # (B,) mean number of pages a wish
    apps: np.ndarray  # (B,) probability of a visit in the shop's app
    weekday: np.ndarray  # (B, 7) factor, mean 1
    payday: np.ndarray  # (B,) day of the month after which they spend
    bill_day: np.ndarray  # (B, L) day of the month on which the bill of a monthly leaf comes
    joins: np.ndarray  # (B,) first day
    leaves: np.ndarray  # (B,) first day without them
    onset: np.ndarray  # (B, E) first trace of each life event
    hazard: np.ndarray  # (B, E) its probability a day, while it has not begun
    hobby_taste: np.ndarray  # (B, L) which hobby a new one is
    persuadable: np.ndarray  # (B,) probability that an exposure makes a wish
    profile: dict[str, np.ndarray]  # numeric attributes

    @cached_property
    def energy(self) -> np.ndarray:
        """(B,) how strongly a life event or hobby shows: the active do more of everything."""
        return np.clip(self.activity / 0.7, 0.35, 2.5)


@lru_cache(maxsize=4)
def people(seed: int, block: int) -> People:
    """The users of a block."""
    w, g = world(), rng(seed, PERSON, block)
    size, leaves = BLOCK, len(w.leaves)
    bands = {"age_band": g.choice(6, size, p=[0.13, 0.22, 0.20, 0.18, 0.14, 0.13])}
    bands["income_band"] = np.clip((g.normal(0, 0.8, size) + 0.25 * (bands["age_band"] - 1.5)).round() + 1, 0, 2).astype(int)
    bands["city_tier"] = g.choice(3, size, p=[0.35, 0.35, 0.30])
    tilt = np.ones((size, leaves))
    for i, leaf in enumerate(w.raw["leaves"].values()):
        for band, value in leaf.get("tilt", {}).items():
            tilt[bands[band] == BANDS[band].index(value), i] *= TILT

    departments = np.exp(g.normal(0, 0.9, (size, w.department.max() + 1)))[:, w.department]  # a taste for a whole department
    liking = g.gamma(w.spread, 1.0, (size, leaves)) / w.spread * w.weight * departments ** (1 / (1 + w.spread)) * tilt * ~w.everyday
    liking = liking / liking.sum(1, keepdims=True)
    habits = g.dirichlet(np.full(w.everyday.sum(), 2.0), size)
    share = g.beta(4, 5, size)[:, None]  # of wishes that are everyday
    taste = 0.02 / leaves + 0.98 * (1 - share) * liking
    taste[:, w.everyday] += 0.98 * share * habits

    budget = np.exp(g.normal(0, 0.35, size) + 0.35 * (bands["income_band"] - 1))
    affords = np.clip(budget[:, None] ** np.where(w.price > 100, 0.6, 0.15), 0.3, 1.8)
    kind = g.choice(3, size, p=[0.73, 0.15, 0.12])  # mixed, only pays, only clicks
    window = g.random((size, leaves)) < w.window
    pays = np.clip(w.conversion * affords, 0, 0.98) * ~window * (kind != 2)[:, None]
    show = kind != 1
    activity = np.exp(g.normal(-1.15, 0.75, size)) * np.where(g.random(size) < 0.05, 4.0, 1.0)  # a heavy tail
    joins = np.where(g.random(size) < 0.15, g.integers(1, 365, size), -DEEP_PAST)
    leaving = np.floor(g.exponential(1 / LEAVING, size)).astype(int) + np.maximum(joins, 0) + 1

    rates = np.empty((size, len(w.life_events)))
    for e, name in enumerate(w.life_events):
        spec = w.raw["life_events"][name]
        rates[:, e] = spec["rate"] / 365
        for band, factors in spec["factor"].items():
            for value, factor in factors.items():
                rates[bands[band] == BANDS[band].index(value), e] *= factor
    with np.errstate(divide="ignore"):
        onset = np.minimum(np.floor(g.exponential(1.0, rates.shape) / rates), 10**6).astype(int) - DEEP_PAST
    hobby = (taste + 0.05) * w.hobbies * tilt
    debts = (onset[:, w.life_events.index("debt")] < 0) | (g.random(size) < 0.1)
    profile = {
        "account_age_days": np.maximum(30, np.where(joins > 0, 30, g.gamma(2.0, 600, size))).astype(int),
        "balance": np.round(1800 * budget**1.5 * np.exp(g.normal(0, 0.8, size)) * np.where(debts, 0.35, 1.0), 2),
        "irregularities": g.poisson(np.where(debts, 1.1, 0.12)),
    }
    return People(
        bands=bands,
        activity=activity,
        budget=budget,
        taste=taste,
        pays=pays,
        window_shopper=window,
        searches=np.where(g.random(size) < 0.3, 0.0, g.beta(3, 3, size)) * show,
        browses=g.gamma(1.5, 0.8, size) * show,
        apps=np.where(g.random(size) < 0.4, 0.0, g.beta(2, 4, size)) * show,
        weekday=g.dirichlet(5 * w.week, size) * 7,
        payday=g.choice([1, 15, 25], size),
        bill_day=g.integers(1, 29, (size, leaves)),
        joins=joins,
        leaves=leaving,
        onset=onset,
        hazard=1 - np.exp(-rates),
        hobby_taste=hobby / hobby.sum(1, keepdims=True),
        persuadable=g.beta(1, 5, size),
        profile=profile,
    )


def known_attributes(seed: int, block: int) -> dict[str, np.ma.MaskedArray]:
    """The profile table's columns for a block, a tenth of the values unknown."""
    p, g = people(seed, block), rng(seed, PERSON, block, 1)
    table = {band: np.array(values)[p.bands[band]] for band, values in BANDS.items()} | p.profile
    return {name: np.ma.masked_array(values, g.random(BLOCK) < 0.1) for name, values in table.items()}
