"""Drift of what a saved audience's model says of its members.

What belongs here: which two refreshes are compared, and how far their scores may lie apart. Raw scores of two model versions mean
different things and are never compared; probabilities are of the same event whoever says them. Nothing passes that was not judged,
but the first of its kind, which is what later ones are compared with.
"""

import numpy as np

from found_platform.audiences import membership
from found_platform.audiences.membership import Refresh
from found_platform.monitoring import stability
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, Figure, not_judged
from found_platform.settings import Settings

SCORES, PROBABILITIES = "scores", "probabilities"


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
