"""What a demand says about acts, as data: `acts` reads it, `outcome` makes statements of it."""

from dataclasses import dataclass
from typing import Literal

from found_platform.outcomes.outcome import Rank

ACTIVE_DAYS = 28
"""Days in which somebody who is "active" did something, at least; over a longer horizon, as many as that."""


@dataclass(frozen=True)
class Before:
    """What the users who are meant did in the last `days` days: `clause` says it, or nothing does. None is the demand's horizon.

    Where no clause says it, it is what they will do or no longer do; with `is_anything`, any act. It was done at least `times`, or
    on at least `on_days`; an amount of the clause is meant `in_total`.
    """

    clause: str
    days: int | None
    negated: bool = False
    is_anything: bool = False
    is_all: bool = False  # the demand says nothing of what is to come
    times: int | None = None
    on_days: int | None = None
    in_total: bool = False
    returned: bool = False  # it was brought back
    words: str = ""  # the clause with all that it says
    unheeded: str = ""  # what of it is denied, where the rest is not
    never: bool = False  # it was not done in all of the past
    is_ever: bool = False  # all of the past is meant
    is_some: bool = False  # it was done at least once
    is_who: bool = False  # it says who they are, by "with" and no time: a trait perhaps, and nothing that was done
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Acts:
    """The parts of a demand that are about acts."""

    negated: bool = False
    times: int | None = None
    days: int | None = None
    is_total: bool = False  # an amount is meant in total
    is_once: bool = False  # an amount is meant for one event
    share: float | None = None
    more: Literal["times", "total"] | None = None
    less: Literal["times", "total"] | None = None
    every: int | None = None  # days of which each must have one
    per: int | None = None  # days of which each must have `times`
    span: int | None = None  # days that "more than last month" compares
    history: Literal["first", "again"] | None = None
    returned: bool = False
    before: Before | None = None
    rank: Rank | None = None
    lapse: bool = False  # who is here now and will be no longer
    leaves: bool = False  # altogether, whatever they did before
    is_back: bool = False  # who was here comes back, whatever they do
    is_anything: bool = False  # whatever is done counts
    manner: str = ""  # the words that were taken out and may say in which way something is done
    most: int | None = None  # times, at most
    most_days: int | None = None
    is_some: bool = False  # beside such a limit: at least once
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the demand says nothing about acts."""
        return self == Acts()


@dataclass(frozen=True)
class Limit:
    """How often something is done at most, and perhaps at least: times, or `on_days`; in each of `per` days."""

    most: int
    least: int | None = None
    on_days: bool = False
    per: int | None = None
