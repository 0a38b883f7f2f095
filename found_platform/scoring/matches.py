"""What users did so far that texts match, newer and closer matches weighing more, as features.

Only what was known by the moment counts. Which texts match, and how closely, is said by `matching`.
"""

import numpy as np

from found_platform.index.past import Past
from found_platform.scoring.matching import SAME, Matching

STRICT, WIDE = SAME + 0.1, SAME - 0.15
"""Middles with which matches are counted, see `Matching.weights`."""

BACK = (28, 90, 100_000)
"""Days back over which matches are counted."""

FEW, COMMON = 3, 10.0
"""A share of matches among so few events more than there are; shares enter on the scale of counts."""

DECAYS = (20.0, 60.0)
"""Days over which a match fades."""


def features(generous: Past, matching: Matching, day: int, volume: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """(N, M) float32, logs: what users did, and what was done to them, that matches, as far as it was known by a day.

    They are the users at `rows` (N,), ascending, or everybody; `volume` (U,) counts all that each did.
    """
    if rows is not None:
        generous, volume = generous.of_only(rows), volume[rows]
    columns = []
    before = generous.at(~generous.exposed & (generous.known < day))
    age = day - before.happened
    lately = [np.flatnonzero(age <= days) for days in BACK]
    fading = [np.exp(-age / decay) for decay in DECAYS]
    for middle in (STRICT, WIDE):
        weights = matching.weights(middle)[before.text]
        columns += [_of_some(before, weights, places) for places in lately]
        columns += [before.sum_by_user(weights * fade) for fade in fading]
        columns.append(COMMON * before.sum_by_user(weights) / (volume + FEW))
    if not matching.anyhow:
        weights_as_asked = matching.weights(WIDE)[before.text] * matching.as_asked(before)
        columns += [_of_some(before, weights_as_asked, places) for places in lately]
    exposures = generous.at(generous.exposed & (generous.known < day))
    columns.append(exposures.sum_by_user(matching.weights(WIDE)[exposures.text]))
    return np.log(np.stack(columns, 1) + 0.05).astype(np.float32)


def _of_some(events: Past, weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(U,) the sum of the `weights` (N,) of each user's events at some places: the others, which add nothing, are passed over."""
    if len(places) == len(weights):
        return events.sum_by_user(weights)
    return np.bincount(events.user[places], weights=weights[places], minlength=events.users)
