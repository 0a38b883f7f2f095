"""Which events of the past an act counts, and how much of it everybody did in a window.

What belongs here: an act of an outcome as events with weights, and the measures of a statement over them. What does not: what is
known of users beforehand (`rhythm`), and learning from it (`replay`).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.index.past import VALUES, Past
from found_platform.outcomes import Act, Statement
from found_platform.scoring import matching
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population

COUNTS = 0.5
"""An event of this weight or more counts as doing it."""

TRACE = 0.3
"""A text that matches less is taken as not matching."""

FEW_ACTS = 5
"""Events in a window for a share of them to mean something."""

PLURALS = {"category": "categories", "status": "statuses", "payment_method": "payment_methods"}


@dataclass(frozen=True, eq=False)
class Doing:
    """An act as events: of the user's own, each (N,) with the weight, 0 to 1, with which it counts.

    `kept` is the base of shares: all own events of the channels in which the act is done.
    """

    events: Past
    weights: np.ndarray
    kept: Past

    @cached_property
    def certain(self) -> "Doing":
        """The events that count, with a weight of 1."""
        sure = self.weights >= COUNTS
        return self if sure.all() else Doing(self.events.at(sure), np.ones(int(sure.sum())), self.kept)

    def of_users(self, chosen: np.ndarray) -> "Doing":
        """The events of the users who are `chosen` (U,) bool."""
        mine = chosen[self.events.user]
        return Doing(self.events.at(mine), self.weights[mine], self.kept)

    def between(self, start: int, end: int) -> "Doing":
        """The events of the days from `start` to before `end`."""
        rows = (self.events.happened >= start) & (self.events.happened < end)
        return Doing(self.events.at(rows), self.weights[rows], self.kept)

    def times(self) -> np.ndarray:
        """(U,) distinct minutes in which it was done."""
        events = self.certain.events
        return _distinct(events, (events.happened.astype(np.int64) << 11) + events.minute)

    def days(self) -> np.ndarray:
        """(U,) distinct days on which it was done."""
        events = self.certain.events
        return _distinct(events, events.happened.astype(np.int64))

    def total(self) -> np.ndarray:
        """(U,) the sum of the amounts."""
        return self.certain.events.sum_by_user(self.certain.events.amount)

    def share(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """(U,) which share of the acts of these days it was, 0 without any, and (U,) how many acts there were."""
        rows = (self.kept.happened >= start) & (self.kept.happened < end)
        acts = np.bincount(self.kept.user[rows], minlength=self.kept.users)
        window = self.between(start, end)
        return window.events.sum_by_user(window.weights) / np.maximum(acts, 1), acts


def _distinct(events: Past, moments: np.ndarray) -> np.ndarray:
    """(U,) how many different moments (N,) the events of each user have."""
    if not len(moments):
        return np.zeros(events.users)
    first = int(moments.min())
    width = int(moments.max()) - first + 1
    pairs = np.unique(events.user.astype(np.int64) * width + (moments - first))
    return np.bincount(pairs // width, minlength=events.users)


def match(population: Population, act: Act) -> Matching | None:
    """What texts an act is about; None where it is about anything."""
    if not act.about:
        return None
    return matching.match(population, [act.about], act.not_about, act.channels or CHANNELS, act.min_amount)


def resolve(population: Population, act: Act, texts: Matching | None) -> Doing:
    """The events that an act counts. `texts` says which texts it is about; None where it is about anything.

    Raises BadInput for a category, status or payment method that is not in the data.
    """
    states = population.states
    source = states.returned if act.returned else states.past
    rows = ~source.exposed
    if act.channels:
        rows &= np.isin(CHANNELS, act.channels)[source.channel]
    in_channels = rows.copy()
    if act.min_amount:
        rows &= source.amount >= act.min_amount
    for column in VALUES:
        values = getattr(act, PLURALS[column])
        if values:
            rows &= np.isin(getattr(source, column), _places(column, values, states.values[column]))
    weights = None
    if texts is not None:
        by_text = texts.weights()
        weights = by_text[source.text]
        rows &= weights > TRACE
    kept = states.past.at(in_channels) if not act.returned else states.past.at(~states.past.exposed)
    events = kept if rows is in_channels else source.at(rows)
    return Doing(events, np.ones(len(events.user)) if weights is None else weights[rows], kept)


def _places(column: str, requested: tuple[str, ...], values: list[str]) -> list[int]:
    """Where the values that are asked for stand among those there are."""
    by_name: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        by_name.setdefault(value.lower(), []).append(place)
    missing = [value for value in requested if value.lower() not in by_name]
    if missing:
        import difflib

        near = difflib.get_close_matches(missing[0].lower(), by_name, 3) or list(by_name)[:5]
        existing = f"there are {', '.join(values[by_name[n][0]] for n in near)}" if values else "the data has none"
        raise BadInput(f"No event before the cutoff has the {column.replace('_', ' ')} {missing[0]!r}: {existing}.")
    return [place for value in requested for place in by_name[value.lower()]]


def measured(statement: Statement, doing: Doing, day: int, days: int, horizon_days: int) -> np.ndarray:
    """(U,) bool: for whom the statement came true in the `days` from `day` on, `not` left aside.

    A number that was meant for `horizon_days` is asked in proportion of a shorter window.
    """
    part = min(1.0, days / horizon_days)
    window = doing.between(day, day + days)
    if statement.times is not None:
        return window.times() >= max(1, round(statement.times * part))
    if statement.days is not None:
        return window.days() >= max(1, round(statement.days * part))
    if statement.total is not None:
        return window.total() >= statement.total * part
    if statement.share is not None:
        share, acts = doing.share(day, day + days)
        return (share >= statement.share) & (acts > 0)
    if statement.more_than_before is not None:
        before = doing.between(day - days, day)
        return getattr(window, statement.more_than_before)() > getattr(before, statement.more_than_before)()
    if statement.less_than_before is not None:
        before = doing.between(day - days, day)
        return getattr(window, statement.less_than_before)() < getattr(before, statement.less_than_before)()
    return window.certain.events.max_by_user(window.certain.weights) > 0


def earlier(doing: Doing, day: int) -> np.ndarray:
    """(U,) bool: who had done it before a day, as far as was known then."""
    events = doing.certain.events
    return np.bincount(events.user[events.known < day], minlength=events.users) > 0
