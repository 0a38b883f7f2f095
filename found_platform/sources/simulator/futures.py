"""What may follow a cutoff: payments and returns of a block, drawn many times from all that is true of it at the cutoff.

Whether somebody pays at all has a probability in closed form (`oracle`). On how many days, for how much in total, or which share
of it, has none, so its probability is the part of many futures in which it comes true. A future knows a person's tastes, habits,
hobbies and life events so far, and the wishes not paid yet; what has not happened is drawn as the simulator draws it.
"""

import datetime as dt
from collections.abc import Iterator

import numpy as np

from found_platform.sources.simulator.acts import Ledger, return_chances, return_days, to_be_returned
from found_platform.sources.simulator.days import alive, campaign, hobby_wishes, wishes
from found_platform.sources.simulator.oracle import LEAVE, known_rates
from found_platform.sources.simulator.people import BLOCK, people, rng
from found_platform.sources.simulator.world import DELAY, MAX_DELAY, triangle, world

FUTURE = 5
"""The stream of random numbers of futures, which no event is drawn from."""

FUTURES = 400
"""Futures of each user: a probability is off by .025 at most on the mean, which costs an AUC less than .001."""


def draw(seed: int, block: int, start: dt.date, cutoff: int, horizon: int, count: int = FUTURES) -> Ledger:
    """Payments and returns of `[cutoff, cutoff + horizon)` in `count` futures; owner `f * BLOCK + user` is a user in one."""
    p, g = people(seed, block), rng(seed, FUTURE, block, cutoff)
    gone_after = np.where(alive(p, cutoff - 1), g.geometric(LEAVE, (count, BLOCK)) - 1, 0)  # (F, B) days that they stay
    wished = [*_wished(seed, block, start, cutoff, horizon, count, g)]
    future, user, leaf, day = (np.concatenate(column) for column in zip(*wished, strict=True))
    delay = np.where(world().everyday[leaf], 0, g.choice(MAX_DELAY + 1, len(leaf), p=DELAY))
    pending = _pending(seed, block, start, cutoff, count, g)
    future, user, leaf, day = (np.concatenate(pair) for pair in zip((future, user, leaf, day + delay), pending, strict=True))
    rows = day < np.minimum(horizon, gone_after[future, user])
    future, user, leaf, day = future[rows], user[rows], leaf[rows], day[rows]
    amount = np.round(world().price[leaf] * p.budget[user] * np.exp(g.normal(0, 0.4, len(leaf))), 2)
    back = g.random(len(leaf)) < return_chances(seed, block)[user, leaf]
    returns = [future[back], user[back], leaf[back], day[back] + g.choice(return_days(), int(back.sum()))]
    earlier = _returns_of_before(seed, block, start, cutoff, count, g)
    returns = [np.concatenate(pair) for pair in zip(returns, earlier, strict=True)]
    rows = returns[3] < np.minimum(horizon, gone_after[returns[0], returns[1]])
    returns = [column[rows] for column in returns]
    owner = np.concatenate([future, returns[0]]) * BLOCK + np.concatenate([user, returns[1]])
    returned = np.repeat([False, True], [len(future), len(returns[0])])
    amounts = np.concatenate([amount, np.zeros(len(returns[0]))])
    return Ledger(owner, np.concatenate([leaf, returns[2]]), np.concatenate([day, returns[3]]), amounts, returned)


Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Future, user, leaf, and days after the cutoff."""


def _wished(seed: int, block: int, start: dt.date, cutoff: int, horizon: int, count: int, g: np.random.Generator) -> Iterator[Rows]:
    """Wishes after the cutoff that will be paid: of what is there, of life events and hobbies that begin, of exposures to come."""
    w, p = world(), people(seed, block)
    bounds = (known_rates(seed, block, start, cutoff, horizon) * p.pays).cumsum()  # over day, user and leaf
    place = np.searchsorted(bounds, g.random(g.poisson(bounds[-1] * count)) * bounds[-1], side="right")
    day, user, leaf = np.unravel_index(np.minimum(place, len(bounds) - 1), (horizon, BLOCK, len(w.leaves)))
    yield g.integers(count, size=len(place)), user, leaf, day
    paid = p.pays * (p.window_shopper * 0.5 + 1) * p.energy[:, None]
    days = np.arange(horizon)
    for e, name in enumerate(w.life_events):
        open_ = np.flatnonzero((p.onset[:, e] >= cutoff) & (p.hazard[:, e] > 0))
        onset = g.geometric(p.hazard[open_, e], (count, len(open_))) - 1
        future, column = np.nonzero(onset < horizon)
        user, onset = open_[column], onset[future, column]
        for leaf, first, last, peak in w.phases(name):
            mean = peak * triangle(days - onset[:, None], first, last) * (days >= onset[:, None]) * paid[user, leaf][:, None]
            yield _counted(g, mean, future, user, np.full(len(user), leaf))
    begun = g.binomial(1, w.raw["hobby"]["rate"] / 365, (count, BLOCK, horizon)) > 0
    future, user, onset = np.nonzero(begun)
    leaf = (g.random(len(user))[:, None] > p.hobby_taste.cumsum(1)[user]).sum(1).clip(max=len(w.leaves) - 1)
    yield _counted(g, hobby_wishes(days - onset[:, None]) * paid[user, leaf][:, None], future, user, leaf)
    for day in range(horizon):
        ad = campaign(start, cutoff + day)
        chance = ad.reach * ad.strength * p.persuadable * p.pays[:, ad.leaf]
        future, user = np.nonzero(g.random((count, BLOCK)) < chance)
        yield future, user, np.full(len(user), ad.leaf), np.full(len(user), day)


def _counted(g: np.random.Generator, mean: np.ndarray, future: np.ndarray, user: np.ndarray, leaf: np.ndarray) -> Rows:
    """As many rows as a Poisson draw of each mean (N, h) says."""
    counts = g.poisson(mean)
    row, day = np.nonzero(counts)
    row, day = np.repeat(row, counts[row, day]), np.repeat(day, counts[row, day])
    return future[row], user[row], leaf[row], day


def _pending(seed: int, block: int, start: dt.date, cutoff: int, count: int, g: np.random.Generator) -> Rows:
    """Wishes of before the cutoff, neither paid nor forgotten by then, that will be paid."""
    p, parts = people(seed, block), []
    for age in range(1, MAX_DELAY + 1):
        earlier, _ = wishes(seed, block, start, cutoff - age)
        is_paid = (earlier.pays_after >= 0) & (earlier.pays_after < age)
        open_ = np.flatnonzero(~is_paid & ~world().everyday[earlier.leaf])
        user, leaf = earlier.user[open_], earlier.leaf[open_]
        chance = p.pays[user, leaf]
        later = chance * DELAY[age:].sum() / (1 - chance * DELAY[:age].sum())
        future, row = np.nonzero(g.random((count, len(user))) < later)
        delay = g.choice(np.arange(age, MAX_DELAY + 1), len(row), p=DELAY[age:] / DELAY[age:].sum())
        parts.append((future, user[row], leaf[row], delay - age))
    future, user, leaf, day = (np.concatenate(column) for column in zip(*parts, strict=True))
    return future, user, leaf, day


def _returns_of_before(seed: int, block: int, start: dt.date, cutoff: int, count: int, g: np.random.Generator) -> Rows:
    """What was paid before the cutoff, not sent back by then, and will be."""
    days, parts = return_days(), []
    for age in range(1, int(days[-1]) + 1):
        user, leaf, after = to_be_returned(seed, block, start, cutoff - age)
        open_ = np.flatnonzero((after == 0) | (after >= age))
        user, leaf = user[open_], leaf[open_]
        chance, left = return_chances(seed, block)[user, leaf], days[days >= age]
        later = chance * len(left) / len(days) / (1 - chance * (1 - len(left) / len(days)))
        future, row = np.nonzero(g.random((count, len(user))) < later)
        parts.append((future, user[row], leaf[row], g.choice(left, len(row)) - age))
    future, user, leaf, day = (np.concatenate(column) for column in zip(*parts, strict=True))
    return future, user, leaf, day
