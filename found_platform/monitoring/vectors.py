"""Drift of users' vectors within one model version.

What belongs here: which two days are compared, and how far the vectors may lie apart. Those of two model versions mean different
things and are never compared.
"""

import datetime as dt

import numpy as np

from found_platform.embedding import users
from found_platform.monitoring import stability
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, REFERENCE_DAYS, Figure, not_judged
from found_platform.settings import Settings
from found_platform.sources import config

PRACTICAL_SHIFT = 0.2
"""A shift of the mean by up to this share of the spread is no drift, however surely it is no chance: Cohen's small effect."""
HISTORY = 56
"""Days of history that there are at the earlier day, at least, or as many as features look back: while histories are still
filling, everybody's vector moves one way. In calm homes it was by .26 from 42 days of history, by .13 from 71, by .10 from 92."""
DRAWS = 2_000
MOST_USERS = 2_000
"""Whose vectors are compared: keyed hashes are in order, so the first ones are a fair sample."""

VECTORS = "vectors"


def moved(settings: Settings, version: str, cutoff: dt.date) -> Figure:
    """How far the vectors of held-out users moved in the four weeks before a cutoff, by the model version of that cutoff.

    Held-out users alone have vectors at past cutoffs that the model has not learned from.
    """
    days = [day for day in users.past_cutoffs(settings, cutoff) if (cutoff - day).days >= REFERENCE_DAYS]
    reference = next((day for day in days if users.are_kept(settings, version, day)), None)
    if reference is None:
        return not_judged(VECTORS, f"version {version} has no vectors {REFERENCE_DAYS} days before {cutoff} or earlier")
    needed = min(HISTORY, settings.lookback_days)
    if (history := (reference - config.of_home(settings).days[0]).days) < needed:
        return not_judged(VECTORS, f"the source was {history} days old at {reference}, and {needed} are needed")
    now, then = (_vectors(settings, version, day) for day in (cutoff, reference))
    both = sorted(now.keys() & then.keys())[:MOST_USERS]
    if not both:
        return not_judged(VECTORS, f"no held-out user had a history at {cutoff} and at {reference}")
    return shift(np.stack([now[key] for key in both]), np.stack([then[key] for key in both]))


def _vectors(settings: Settings, version: str, day: dt.date) -> dict[bytes, np.ndarray]:
    """By user key, of held-out users with a history."""
    keys, vectors, events = users.load(settings, version, day, held_out=True)
    return {bytes(keys.array[i]): vectors[i] for i in np.flatnonzero(events > 0)}


def shift(current: np.ndarray, reference: np.ndarray, alarms: float = FALSE_ALARMS) -> Figure:
    """The distance of two means over the spread, of vectors (N, D) of the same users at two days.

    The limit is what swapping the two days of users at random exceeds with the chance `alarms`, where that is more than matters.
    """
    if len(current) < stability.FEWEST:
        return not_judged(VECTORS, f"{len(current)} users had a history on both days, and {stability.FEWEST} are needed")
    if not (np.isfinite(current).all() and np.isfinite(reference).all()):
        return not_judged(VECTORS, "some vectors are not finite")
    moves = (current - reference).astype(np.float64)
    spread = float(np.sqrt(np.concatenate([current, reference]).astype(np.float64).var(0).sum()))
    if spread == 0:
        return not_judged(VECTORS, "all vectors are the same")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DRAWS, len(moves)))
    chance = np.linalg.norm(signs @ moves, axis=1) / len(moves) / spread
    limit = max(PRACTICAL_SHIFT, float(np.quantile(chance, 1 - alarms, method="higher")))
    value = float(np.linalg.norm(moves.mean(0)) / spread)
    return Figure(VECTORS, round(value, 4), 0.0, round(limit, 4), DRIFTED if value > limit else PASSED)
