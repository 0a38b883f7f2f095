"""Drift of what a saved audience's model says of its members.

What belongs here: which two refreshes are compared, and how far their scores may lie apart. Raw scores of two model versions mean
different things and are never compared; probabilities are of the same event whoever says them. Nothing passes that was not judged,
but the first of its specification, which is what later ones are compared with.
"""

import datetime as dt

import numpy as np
import pyarrow as pa

from found_platform.audiences import membership
from found_platform.audiences.membership import Refresh
from found_platform.monitoring import stability, traffic
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, REFERENCE_DAYS, Figure, not_judged
from found_platform.settings import Settings

SCORES, PROBABILITIES = "scores", "probabilities"


def of_audience(settings: Settings, refresh: Refresh) -> Figure:
    """How far the predictions of an audience's members lie from those four weeks before, or from the oldest that can be compared.

    That is an earlier refresh of the same specification and mode, by the same model version or with probabilities. The one just
    before would not do: what moves a little every week never moves much in one.
    """
    rows = membership.members(settings, refresh)
    earlier = [
        each
        for each in membership.history(settings, refresh.audience)
        if each.refresh < refresh.refresh and each.spec_version == refresh.spec_version
    ]
    if not earlier:
        return Figure(SCORES, None, None, None, PASSED, "it is the first refresh of its kind: later ones are compared with it")
    enough = refresh.as_of - dt.timedelta(days=REFERENCE_DAYS)
    far = [each for each in earlier if each.as_of <= enough]
    near = [each for each in earlier if each.as_of > enough]
    for reference in [*far, *reversed(near)]:
        if reference.mode != refresh.mode:
            continue
        before = membership.members(settings, reference)
        chances = _has_chances(rows) and _has_chances(before)
        if chances or reference.model_version == refresh.model_version:
            compare, column = (level, "probability") if chances else (distance, "score")
            return compare(PROBABILITIES if chances else SCORES, *(t[column].to_numpy() for t in (rows, before)))
    return not_judged(
        SCORES,
        f"scores of mode {refresh.mode} by model version {refresh.model_version} mean something else than those of the refreshes "
        "before; the next refresh is compared with this one",
    )


def _has_chances(rows: pa.Table) -> bool:
    return rows.num_rows > 0 and rows["probability"].null_count == 0


def level(name: str, current: np.ndarray, reference: np.ndarray, alarms: float = FALSE_ALARMS) -> Figure:
    """The factor between the mean chances of two samples (N,) and (M,).

    Not their PSI: chances are calibrated anew in the newest past window of each publication, and its error moves all members
    alike, which swapping members never shows. Of a law that stays, those who do it in a window are as many as the chances add up
    to, give or take Poisson's error; that of both windows is what chance does to the factor.
    """
    from scipy.stats import norm

    if (why := _why_not(name, current, reference)) is not None:
        return why
    if not (current.sum() > 0 and reference.sum() > 0):
        return not_judged(name, "all of them are zero")
    chance = norm.isf(alarms / 2) * np.sqrt(1 / current.sum() + 1 / reference.sum())
    return traffic.judged(name, round(float(current.mean() / reference.mean()), 4), 1.0, float(np.exp(min(chance, 700.0))))


def distance(name: str, current: np.ndarray, reference: np.ndarray, alarms: float = FALSE_ALARMS) -> Figure:
    """The PSI of two samples (N,) and (M,), with the limit of `stability`."""
    if (why := _why_not(name, current, reference)) is not None:
        return why
    places, labels = stability.bins(current, reference)
    counts = [np.bincount(place, minlength=len(labels)) for place in places]
    value, limit = float(stability.psi(*counts)), stability.limit(counts[0], counts[1], alarms)
    return Figure(name, round(value, 4), 0.0, round(limit, 4), DRIFTED if value > limit else PASSED)


def _why_not(name: str, current: np.ndarray, reference: np.ndarray) -> Figure | None:
    """What cannot be judged, and why; None where it can."""
    if min(len(current), len(reference)) < stability.FEWEST:
        return not_judged(name, f"{len(current)} members now and {len(reference)} before, and {stability.FEWEST} are needed")
    if not (np.isfinite(current).all() and np.isfinite(reference).all()):
        return not_judged(name, f"some {name} are not finite")
    return None
