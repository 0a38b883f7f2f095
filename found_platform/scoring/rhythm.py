"""What a user's past acts of a kind say of those to come: how many, how much, how lately and how regularly, as features.

Recency, frequency and monetary value (RFM) in several windows, the rhythm of the days on which it was done, and how the windows
before went that are as long as the one asked for. Only what was known by the moment counts.
"""

import numpy as np

from found_platform.scoring.acts import COUNTS, WeightedEvents, distinct

BACK = (14, 28, 60, 91, 182, 365, 100_000)
"""Days back over which is counted."""

WINDOWS = 3
"""Windows of the asked length before the moment."""


def backs(span_days: int) -> tuple[int, ...]:
    """Those of BACK that differ in a log of so many days."""
    return (*(back for back in BACK[:-1] if back < span_days), BACK[-1])


def names(among: tuple[int, ...] = BACK) -> tuple[str, ...]:
    """The names of the columns, in their order, for these days back."""
    return (
        *(f"{what}_{back}" for back in among for what in ("events", "amount", "days")),
        *(f"{what}_window_{i + 1}" for i in range(WINDOWS) for what in ("events", "amount", "days")),
        *("recency", "tenure", "mean_gap", "gap_deviation", "recency_over_gap", "silence"),
    )


def features(doing: WeightedEvents, day: int, days: int, first_day: int, among: tuple[int, ...] = BACK) -> np.ndarray:
    """(U, len(names(among))) float32, on a log scale, of everybody at 00:00 of a day, for a window of `days`.

    Who never did it has a recency and a gap as long as the log, which begins on `first_day`.
    """
    events, weights = doing.events, doing.weights
    in_time = events.known < day
    if not in_time.all():
        rows = np.flatnonzero(in_time)
        events, weights = events.at(rows), weights[rows]
    age = day - events.happened  # 1 the day before
    is_plain = bool((weights == 1).all())
    amounts = events.amount if is_plain else weights * events.amount
    sure = slice(None) if is_plain else weights >= COUNTS
    count, active, moments = distinct(events.user[sure], events.happened[sure], events.users)
    days_of = day - moments
    columns = []
    spans = [(0, back) for back in among] + [(i * days, (i + 1) * days) for i in range(WINDOWS)]
    for after, until in spans:
        rows = np.flatnonzero((age > after) & (age <= until))
        user = events.user[rows]
        columns.append(np.bincount(user, weights=None if is_plain else weights[rows], minlength=events.users))
        columns.append(np.bincount(user, weights=amounts[rows], minlength=events.users))
        columns.append(np.bincount(active[(days_of > after) & (days_of <= until)], minlength=events.users))
    longest = day - first_day + 1
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
    gaps, owner = np.abs(age[1:] - age[:-1])[same], user[1:][same]
    squares = np.bincount(owner, weights=(gaps - gap[owner]) ** 2, minlength=len(gap))
    return np.sqrt(squares / np.maximum(count - 1, 1)) * (count > 2)
