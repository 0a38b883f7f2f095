"""Drift of what a model says: vectors of users within one model version, and the scores of a saved audience.

What belongs here: which two samples are compared, and how far they may lie apart. Vectors and raw scores of two model versions mean
different things and are never compared; probabilities are of the same event whoever says them. Nothing passes that was not judged,
but the first of its kind, which is what later ones are compared with.
"""

import datetime as dt

import numpy as np

from found_platform.audiences import membership
from found_platform.audiences.membership import Refresh
from found_platform.embedding import users
from found_platform.monitoring import stability
from found_platform.monitoring.drift import REFERENCE_DAYS
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, Figure, not_judged
from found_platform.settings import Settings

PRACTICAL_SHIFT = 0.2
"""A shift of the mean by up to this share of the spread is no drift, however surely it is no chance: Cohen's small effect."""
DRAWS = 2_000
MOST_USERS = 2_000
"""Whose vectors are compared: keyed hashes are in order, so the first ones are a fair sample."""

VECTORS, SCORES, PROBABILITIES = "vectors", "scores", "probabilities"


def of_vectors(settings: Settings, version: str, cutoff: dt.date) -> Figure:
    """How far the vectors of held-out users moved in the four weeks before a cutoff, by the model version of that cutoff.

    Held-out users alone have vectors at past cutoffs that the model has not learned from.
    """
    days = [day for day in users.past_cutoffs(settings, cutoff) if (cutoff - day).days >= REFERENCE_DAYS]
    reference = next((day for day in days if users.are_kept(settings, version, day)), None)
    if reference is None:
        return not_judged(VECTORS, f"version {version} has no vectors {REFERENCE_DAYS} days before {cutoff} or earlier")
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
    moved = (current - reference).astype(np.float64)
    spread = float(np.sqrt(np.concatenate([current, reference]).astype(np.float64).var(0).sum()))
    if spread == 0:
        return not_judged(VECTORS, "all vectors are the same")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DRAWS, len(moved)))
    chance = np.linalg.norm(signs @ moved, axis=1) / len(moved) / spread
    limit = max(PRACTICAL_SHIFT, float(np.quantile(chance, 1 - alarms, method="higher")))
    value = float(np.linalg.norm(moved.mean(0)) / spread)
    return Figure(VECTORS, round(value, 4), 0.0, round(limit, 4), DRIFTED if value > limit else PASSED)


def of_audience(settings: Settings, refresh: Refresh) -> Figure:
    """How far the predictions of an audience's members lie from those at the newest earlier refresh that can be compared: of the
    same specification and mode, by the same model version, or as probabilities."""
    rows = membership.members(settings, refresh)
    has_chances = rows.num_rows > 0 and rows["probability"].null_count == 0
    for earlier in membership.history(settings, refresh.audience):
        if earlier.refresh >= refresh.refresh or (earlier.spec_version, earlier.mode) != (refresh.spec_version, refresh.mode):
            continue
        before = membership.members(settings, earlier)
        chances = has_chances and before.num_rows > 0 and before["probability"].null_count == 0
        if chances or earlier.model_version == refresh.model_version:
            column = "probability" if chances else "score"
            return distance(PROBABILITIES if chances else SCORES, *(t[column].to_numpy() for t in (rows, before)))
    return Figure(SCORES, None, None, None, PASSED, "it is the first refresh of its kind: later ones are compared with it")


def distance(name: str, current: np.ndarray, reference: np.ndarray, alarms: float = FALSE_ALARMS) -> Figure:
    """The PSI of two samples (N,) and (M,), with the limit of `stability`."""
    if min(len(current), len(reference)) < stability.FEWEST:
        return not_judged(name, f"{len(current)} members now and {len(reference)} before, and {stability.FEWEST} are needed")
    if not (np.isfinite(current).all() and np.isfinite(reference).all()):
        return not_judged(name, f"some {name} are not finite")
    places, labels = stability.bins(current, reference)
    counts = [np.bincount(place, minlength=len(labels)) for place in places]
    value, limit = float(stability.psi(*counts)), stability.limit(counts[0], counts[1], alarms)
    return Figure(name, round(value, 4), 0.0, round(limit, 4), DRIFTED if value > limit else PASSED)


def sentence(figure: Figure) -> str:
    """What became of it, for a check."""
    if figure.value is None:
        return figure.why if figure.state == PASSED else f"not judged: {figure.why}"
    word = "moved by" if figure.drifted else "are within their limit: moved by"
    return f"{figure.name} {word} {figure.value:g}, and {figure.limit:g} is the limit"
