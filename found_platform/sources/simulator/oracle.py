"""The oracle: every user's true probability of a scenario's outcome after a cutoff, given all that is true of them at the cutoff.

It knows a person's tastes, habits, hobbies and life events so far, and the wishes not paid yet; it does not know what has not
happened. Wishes are Poisson and thin independently, so the chance of *no* outcome is a product over what could bring one: wishes
for what was there before the cutoff, each life event and hobby that may still begin, exposures still to come, wishes already
made. The person may leave on any day. All of it is exact; nothing is simulated.
"""

import datetime as dt
from functools import lru_cache

import numpy as np

from found_platform.sources.simulator.days import (
    alive,
    campaign,
    hobby_wishes,
    rates,
    wishes,
)
from found_platform.sources.simulator.events import EVERYDAY_PAGES
from found_platform.sources.simulator.people import BLOCK, LEAVING, people
from found_platform.sources.simulator.world import DELAY, MAX_DELAY, triangle, world


@lru_cache(maxsize=1)
def known_rates(seed: int, block: int, start: dt.date, cutoff: int, horizon: int) -> np.ndarray:
    """(h, B, L) mean wishes of the days after the cutoff, of what had begun before it."""
    return np.stack([rates(seed, block, start, cutoff + x, begun_before=cutoff) for x in range(horizon)])


def wanting(seed: int, block: int, start: dt.date, cutoff: int, spec: dict) -> np.ndarray:
    """(B,) expected wishes in the horizon for the scenario's leaves and those alike, whether or not they come to anything.

    0 for users who are not there.
    """
    leaves = [world().index[name] for name in spec["leaves"] + spec["alike"]]
    mean = known_rates(seed, block, start, cutoff, spec["horizon_days"])[:, :, leaves].sum((0, 2))
    return mean * alive(people(seed, block), cutoff - 1)


def probability(seed: int, block: int, start: dt.date, cutoff: int, spec: dict) -> np.ndarray:
    """(B,) probability of the scenario's outcome in `[cutoff, cutoff + horizon)`; cutoff counts days from `start`.

    0 for users who have left by then, NaN for those who were not there yet.
    """
    w, p = world(), people(seed, block)
    horizon = spec["horizon_days"]
    leaves = np.array([w.index[name] for name in spec["leaves"]])
    if spec["outcome"] == "search":
        damp = np.where(w.everyday[leaves], EVERYDAY_PAGES, 1.0)
        chance, delay = p.searches[:, None] * damp, np.array([1.0])
    else:
        chance, delay = p.pays[:, leaves], DELAY  # (B, S)
    window = p.window_shopper[:, leaves] * 0.5 + 1  # wishes of window shoppers

    none = np.zeros((BLOCK, horizon + 1))  # log of the chance of no outcome in the first k days
    known_by_leaf = known_rates(seed, block, start, cutoff, horizon)[:, :, leaves]  # (h, B, S)
    arrivals = _delayed((known_by_leaf * chance).sum(2), delay)
    none[:, 1:] -= arrivals.cumsum(0).T
    for e, name in enumerate(w.life_events):
        none += _life_event(p, e, name, cutoff, horizon, leaves, chance * window, delay)
    none += _hobbies(p, horizon, leaves, chance * window, delay)
    none += _exposures(p, start, cutoff, horizon, leaves, chance, delay)
    if spec["outcome"] != "search":
        none += _pending(seed, block, start, cutoff, horizon, leaves)

    survive = (1 - LEAVE) ** np.arange(horizon + 1)  # still there after k days
    left_at = survive[:-1] * LEAVE  # left on day k
    nothing = (np.exp(none[:, :-1]) * left_at).sum(1) + np.exp(none[:, -1]) * survive[-1]
    chance_of_anything = np.where(alive(p, cutoff - 1), 1 - nothing, 0.0)
    return np.where(p.joins < cutoff, chance_of_anything, np.nan)


LEAVE = 1 - np.exp(-LEAVING)


def _delayed(mean: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """(h, ...) outcomes a day from wishes a day, by the distribution of the delay."""
    out = np.zeros_like(mean)
    for d, share in enumerate(delay[: len(mean)]):
        out[d:] += share * mean[: len(mean) - d]
    return out


def _life_event(
    p, e: int, name: str, cutoff: int, horizon: int, leaves: np.ndarray, chance: np.ndarray, delay: np.ndarray
) -> np.ndarray:
    """Log chance (B, h+1) of nothing by day k from a life event that has not begun by the cutoff."""
    phases = [
        (np.flatnonzero(leaves == leaf), first, last, peak) for leaf, first, last, peak in world().phases(name) if leaf in leaves
    ]
    if not phases:
        return np.zeros((BLOCK, horizon + 1))
    q = p.hazard[:, e]
    total = np.zeros((BLOCK, horizon + 1))
    begun_before = np.zeros((BLOCK, 1))
    for onset in range(horizon):
        mean = np.zeros((BLOCK, horizon))
        for column, first, last, peak in phases:
            shape = _delayed(peak * triangle(np.arange(horizon) - onset, first, last) * (np.arange(horizon) >= onset), delay)
            mean += np.outer(p.energy * chance[:, column[0]], shape)
        nothing = np.exp(-np.concatenate([np.zeros((BLOCK, 1)), mean.cumsum(1)], 1))
        total += ((1 - q) ** onset * q)[:, None] * np.where(np.arange(horizon + 1) > onset, nothing, 1.0)
        begun_before += ((1 - q) ** onset * q)[:, None]
    total += 1 - begun_before
    return np.where((p.onset[:, e] >= cutoff)[:, None], np.log(total), 0.0)


def _hobbies(p, horizon: int, leaves: np.ndarray, chance: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Log chance (B, h+1) of nothing by day k from hobbies taken up after the cutoff."""
    q = world().raw["hobby"]["rate"] / 365
    out = np.zeros((BLOCK, horizon + 1))
    other = 1 - p.hobby_taste[:, leaves].sum(1)
    for onset in range(horizon):
        shape = _delayed(hobby_wishes(np.arange(horizon) - onset), delay).cumsum()
        nothing = np.ones((BLOCK, horizon + 1)) * other[:, None]
        for s in range(len(leaves)):
            mean = np.outer(p.energy * chance[:, s], np.concatenate([[0.0], shape]))
            nothing += p.hobby_taste[:, leaves[s], None] * np.exp(-mean)
        out += np.log(1 - q + q * nothing)
    return out


def _exposures(
    p, start: dt.date, cutoff: int, horizon: int, leaves: np.ndarray, chance: np.ndarray, delay: np.ndarray
) -> np.ndarray:
    """Log chance (B, h+1) of nothing by day k from campaigns after the cutoff."""
    out = np.zeros((BLOCK, horizon + 1))
    reached = np.concatenate([[0.0], np.cumsum(delay), np.ones(horizon)])  # paid within n days
    for day in range(horizon):
        ad = campaign(start, cutoff + day)
        column = np.flatnonzero(leaves == ad.leaf)
        if len(column):
            within = np.array([reached[max(0, k - day)] for k in range(horizon + 1)])
            out += np.log1p(-np.outer(ad.reach * ad.strength * p.persuadable * chance[:, column[0]], within))
    return out


def _pending(seed: int, block: int, start: dt.date, cutoff: int, horizon: int, leaves: np.ndarray) -> np.ndarray:
    """Log chance (B, h+1) that none of the wishes made before the cutoff and not paid by then is paid by day k."""
    p = people(seed, block)
    out = np.zeros((BLOCK, horizon + 1))
    for age in range(1, MAX_DELAY + 1):
        earlier, _ = wishes(seed, block, start, cutoff - age)
        open_ = (
            np.isin(earlier.leaf, leaves)
            & ~((earlier.pays_after >= 0) & (earlier.pays_after < age))
            & ~world().everyday[earlier.leaf]
        )
        user, chance = earlier.user[open_], p.pays[earlier.user[open_], earlier.leaf[open_]]
        later = np.zeros(horizon + 1)
        tail = DELAY[age:][:horizon]
        later[1 : len(tail) + 1] = tail
        by_day = later.cumsum()  # (h+1,) paid in the first k days, if it is paid at all
        by_day[len(tail) + 1 :] = by_day[len(tail)]
        share = chance[:, None] * by_day / (1 - chance * DELAY[:age].sum())[:, None]
        np.add.at(out, user, np.log1p(-share))
    return out
