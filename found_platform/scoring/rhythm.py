"""What a user's past acts of a kind say of those to come: how many, how much, how lately and how regularly, as features.

Recency, frequency and monetary value (RFM) in several windows, the rhythm of the days on which it was done, and how the windows
before went that are as long as the one asked for. Only what was known by the moment counts.
"""

import numpy as np

from found_platform.scoring.acts import COUNTS, Doing

BACK = (14, 28, 60, 91, 182, 365, 100_000)
"""Days back over which is counted."""

WINDOWS = 3
"""Windows of the asked length before the moment."""

FEATURES = (
    *(f"{what}_{back}" for back in BACK for what in ("events", "amount", "days")),
    *(f"{what}_window_{i + 1}" for i in range(WINDOWS) for what in ("events", "amount", "days")),
    *("recency", "tenure", "mean_gap", "gap_deviation", "recency_over_gap", "silence"),
)
"""The names of the columns, in their order."""


def features(doing: Doing, day: int, days: int, first_day: int) -> np.ndarray:
    """(U, len(FEATURES)) float32, on a log scale, of everybody at 00:00 of a day, for a window of `days`.

    Who never did it has a recency and a gap as long as the log, which begins on `first_day`.
    """
    in_time = doing.events.known < day
    events, weights = doing.events.at(in_time), doing.weights[in_time]
    age = day - events.happened  # 1 the day before
    width = 1 << 16
    sure = weights >= COUNTS
    active, days_of = np.divmod(np.unique(events.user[sure].astype(np.int64) * width + (age[sure] & (width - 1))), width)
    columns = []
    spans = [(0, back) for back in BACK] + [(i * days, (i + 1) * days) for i in range(WINDOWS)]
    for after, until in spans:
        within = (age > after) & (age <= until)
        columns.append(events.sum_by_user(weights * within))
        columns.append(events.sum_by_user(weights * events.amount * within))
        columns.append(np.bincount(active[(days_of > after) & (days_of <= until)], minlength=events.users))
    longest = day - first_day + 1
    count = np.bincount(active, minlength=events.users)
    recency = np.full(events.users, longest)
    np.minimum.at(recency, active, days_of)
    tenure = np.zeros(events.users)
    np.maximum.at(tenure, active, days_of)
    gap = np.where(count > 1, (tenure - recency) / np.maximum(count - 1, 1), np.where(count == 1, tenure, longest))
    columns += [recency, tenure, gap, _deviation(active, days_of, gap, count), recency / np.maximum(gap, 1.0)]
    columns.append(np.maximum(recency - gap, 0))
    return np.log1p(np.stack(columns, 1)).astype(np.float32)


def _deviation(user: np.ndarray, age: np.ndarray, gap: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(U,) the standard deviation of the gaps between days (ordered by user and age), 0 where there are fewer than two gaps."""
    same = user[1:] == user[:-1]
    gaps, owner = (age[1:] - age[:-1])[same], user[1:][same]
    squares = np.bincount(owner, weights=(gaps - gap[owner]) ** 2, minlength=len(gap))
    return np.sqrt(squares / np.maximum(count - 1, 1)) * (count > 2)
