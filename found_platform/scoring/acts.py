"""Which events of the past an act counts, and how much of it everybody did in a window.

What belongs here: an act of an outcome as events with weights, and the measures of a statement over them. What does not: what is
known of users beforehand (`rhythm`), and learning from it (`replay`).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from found_platform.cache import single_flight
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.index.past import VALUES, Past
from found_platform.outcomes import Act, Among, Statement
from found_platform.scoring import matching
from found_platform.scoring.matching import Matching
from found_platform.scoring.parts import Part
from found_platform.scoring.population import Population

COUNTS = 0.5
"""An event of this weight or more counts as doing it."""

TRACE = 0.3
"""A text that matches less is taken as not matching."""

FEW_ACTS = 5
"""Events in a window for a share of them to mean something."""

PLURALS = {"category": "categories", "status": "statuses", "payment_method": "payment_methods"}


@dataclass(frozen=True, eq=False)
class WeightedEvents:
    """Events of the users' own, each (N,) with the weight, 0 to 1, with which it counts."""

    events: Past
    weights: np.ndarray

    @cached_property
    def sure(self) -> np.ndarray:
        """(N,) bool: which events count as doing it."""
        return self.weights >= COUNTS

    def of_users(self, rows: np.ndarray) -> "WeightedEvents":
        """The events of the users at `rows` (R,), ascending, who are users 0 to R - 1 of it. Nobody else's are read."""
        return WeightedEvents(self.events.of_only(rows), self.weights[self.events.of_users(rows)])

    def between(self, start: int, end: int) -> "Window":
        """What was done on the days from `start` to before `end`."""
        return Window(self, np.flatnonzero((self.events.happened >= start) & (self.events.happened < end) & self.sure))

    def weight_between(self, start: int, end: int) -> np.ndarray:
        """(U,) the weights of what was done on the days from `start` to before `end`."""
        rows = np.flatnonzero((self.events.happened >= start) & (self.events.happened < end))
        return np.bincount(self.events.user[rows], weights=self.weights[rows], minlength=self.events.users)


@dataclass(frozen=True, eq=False)
class Doing(WeightedEvents):
    """An act as weighted events. `share_base` is the base of shares: all own events of the channels in which the act is done."""

    share_base: Past

    def share(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """(U,) which share of the acts of these days it was, 0 without any, and (U,) how many acts there were."""
        acts = count_between(self.share_base, start, end)
        return self.weight_between(start, end) / np.maximum(acts, 1), acts


@dataclass(frozen=True, eq=False)
class Window:
    """The events at `rows` (M,) of a doing, which all count: what was done in some days. Columns are read as they are asked."""

    doing: WeightedEvents
    rows: np.ndarray

    @property
    def _user(self) -> np.ndarray:
        return self.doing.events.user[self.rows]

    def at_all(self) -> np.ndarray:
        """(U,) bool: who did it."""
        did = np.zeros(self.doing.events.users, bool)
        did[self._user] = True
        return did

    def times(self) -> np.ndarray:
        """(U,) distinct minutes in which it was done."""
        events = self.doing.events
        moments = (events.happened[self.rows].astype(np.int64) << 11) + events.minute[self.rows]
        return distinct(self._user, moments, events.users)[0]

    def days(self) -> np.ndarray:
        """(U,) distinct days on which it was done."""
        return distinct(self._user, self.doing.events.happened[self.rows], self.doing.events.users)[0]

    def total(self) -> np.ndarray:
        """(U,) the sum of the amounts."""
        return np.bincount(self._user, weights=self.doing.events.amount[self.rows], minlength=self.doing.events.users)


def count_between(events: Past, start: int, end: int) -> np.ndarray:
    """(U,) how many events there were on the days from `start` to before `end`."""
    return np.bincount(events.user[(events.happened >= start) & (events.happened < end)], minlength=events.users)


def distinct(user: np.ndarray, moments: np.ndarray, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(U,) how many different moments (N,) each user's events have, and user and moment (M,) of each, in order.

    Events come by user and mostly by time, so that nothing is sorted where they do.
    """
    if not len(moments):
        return np.zeros(users, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    first = int(moments.min())
    width = int(moments.max()) - first + 1
    pairs = user.astype(np.int64) * width + (moments - first)
    steps = np.diff(pairs)
    each = pairs[np.concatenate([[True], steps > 0])] if (steps >= 0).all() else np.unique(pairs)
    owner, moment = np.divmod(each, width)
    return np.bincount(owner, minlength=users), owner, moment + first


def match(population: Population, act: Act) -> Matching | None:
    """What texts an act is about; None where it is about anything."""
    if not act.about:
        return None
    return matching.match(population, [act.about], act.not_about, act.channels or CHANNELS, act.min_amount)


def resolve(population: Population, act: Act, texts: Matching | None) -> Doing:
    """The events that an act counts. `texts` says which texts it is about; None where it is about anything.

    Raises BadInput for a category, status or payment method that is not in the data.
    """
    if texts is None:
        return _anything(population, act)
    plain = Act(channels=act.channels, returned=act.returned)
    base = _anything(population, plain)
    by_text = texts.weights()
    rows = _as_asked(population, base.events, act) & (by_text > TRACE)[base.events.text]
    events = base.events.at(np.flatnonzero(rows))
    return Doing(events, by_text[events.text], base.share_base)


def base_of(act: Act) -> Act:
    """What an act is a share of: all that is done in its channels."""
    return Act() if act.returned else Act(channels=act.channels)


def _anything(population: Population, act: Act) -> Doing:
    """The events of an act that is about no texts; of a part of the users they are not kept."""
    return _of_ways(population, act) if isinstance(population, Part) else _of_anything(population, act)


@single_flight(8)
def _of_anything(population: Population, act: Act) -> Doing:
    """The events of an act that is about no texts, kept for the demands that follow."""
    return _of_ways(population, act)


def _of_ways(population: Population, act: Act) -> Doing:
    states = population.states
    source = states.returned if act.returned else states.past
    rows = ~source.exposed & _as_asked(population, source, act)
    events = source if rows.all() else source.at(np.flatnonzero(rows))
    base = base_of(act)
    kept = events if act == base else _anything(population, base).events
    return Doing(events, np.ones(len(events.user)), kept)


def _as_asked(population: Population, events: Past, act: Act) -> np.ndarray:
    """(N,) bool: which events are done in the way that an act asks for."""
    rows = np.ones(len(events.user), bool)
    if act.channels:
        rows &= np.isin(CHANNELS, act.channels)[events.channel]
    if act.min_amount:
        rows &= events.amount >= act.min_amount
    for column in VALUES:
        values = getattr(act, PLURALS[column])
        if values:
            rows &= np.isin(getattr(events, column), _places(column, values, population.states.values[column]))
    return rows


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
    window = doing.between(day, day + days)
    if statement.share is not None:
        share, acts = doing.share(day, day + days)
        return (share >= statement.share) & (acts > 0)
    if statement.more_than_before is not None:
        before = doing.between(day - days, day)
        return getattr(window, statement.more_than_before)() > getattr(before, statement.more_than_before)()
    if statement.less_than_before is not None:
        before = doing.between(day - days, day)
        return getattr(window, statement.less_than_before)() < getattr(before, statement.less_than_before)()
    return measured_in(statement, window, min(1.0, days / horizon_days))


def measured_in(statement: Statement | Among, window: Window, part: float = 1.0) -> np.ndarray:
    """(U,) bool: who did as much of it in a window as is asked; a number is asked for this `part` of it."""
    if statement.times is not None:
        return window.times() >= max(1, round(statement.times * part))
    if statement.days is not None:
        return window.days() >= max(1, round(statement.days * part))
    if statement.total is not None:
        return window.total() >= statement.total * part
    return window.at_all()


def earlier(doing: Doing, day: int) -> np.ndarray:
    """(U,) bool: who had done it before a day, as far as was known then."""
    did = np.zeros(doing.events.users, bool)
    did[doing.events.user[(doing.events.known < day) & doing.sure]] = True
    return did
