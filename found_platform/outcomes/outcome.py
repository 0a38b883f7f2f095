"""What people will do, as data: acts, how they are measured, among whom, within how many days, and how users are ranked by it."""

from itertools import permutations
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from found_platform.channels import channels

Rank = Literal["chance", "affinity", "value"]
RANKS: tuple[str, ...] = get_args(Rank)
"""`chance` of doing it; `affinity`, the expected share of what the user does; `value`, the expected amount."""

Quantity = Literal["times", "days", "total"]
MEASURES = ("times", "days", "total", "share", "more_than_before", "less_than_before")
COMPARED = ("more_than_before", "less_than_before")
MOST_STATEMENTS = 8

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Act(_Part):
    """What counts as doing it: an event for which all that is given holds. Nothing given is any act of the user's own.

    Attributes:
        about: phrases, of which the event's text resembles one.
        not_about: phrases that the text resembles less than those.
        channels: in which it is done; none means any.
        categories, statuses, payment_methods: exactly these, in any case of letters; none means any.
        returned: whether something is brought back; what is brought back never counts otherwise.
        min_amount: the least amount of one event, in the source's currency.
    """

    about: tuple[Words, ...] = ()
    not_about: tuple[Words, ...] = ()
    channels: tuple[str, ...] = ()
    categories: tuple[Words, ...] = ()
    statuses: tuple[Words, ...] = ()
    payment_methods: tuple[Words, ...] = ()
    returned: bool = False
    min_amount: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        names = [channel.name for channel in channels()]
        unknown = [name for name in self.channels if name not in names]
        if unknown:
            raise ValueError(f"there is no channel {unknown[0]!r}; there are {', '.join(names)}")
        both = {phrase.lower() for phrase in self.about} & {phrase.lower() for phrase in self.not_about}
        if both:
            raise ValueError(f"{min(both)!r} is both asked for and left out")
        return self

    @property
    def is_anything(self) -> bool:
        """Whether every act of the user's own counts."""
        return self == Act()

    def is_within(self, other: "Act") -> bool:
        """Whether every event that is this act is the other one too, as far as their words tell."""
        if self.returned != other.returned or self.min_amount < other.min_amount:
            return False
        if other.about and (set(self.about) - set(other.about) or not self.about):
            return False
        if set(other.not_about) - set(self.not_about):
            return False
        names = ("channels", "categories", "statuses", "payment_methods")
        pairs = [(set(getattr(self, name)), set(getattr(other, name))) for name in names]
        return all(not others or (mine and mine <= others) for mine, others in pairs)


class Statement(_Part):
    """That an act is done (or not), and how much of it: at least `times`, on at least so many `days`, for a `total` of at least so
    much, as a `share` of what the user does, `more_than_before` or `less_than_before`; without any of these, at all.

    Times that begin in the same minute are one time. `history` keeps users who never did it before (`first`), or who did (`again`).
    """

    do: Act = Act()
    times: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    total: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    share: float | None = Field(default=None, gt=0, le=1)
    more_than_before: Quantity | None = None
    less_than_before: Quantity | None = None
    negated: bool = False
    history: Literal["first", "again"] | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        measures = [name for name in MEASURES if getattr(self, name) is not None]
        if len(measures) > 1:
            raise ValueError(f"{' and '.join(measures)} are two measures: keep one, and join two statements for both")
        if self.share is not None and self.do.is_anything:
            raise ValueError("a share of what they do is a share of something: say what, by `about` or otherwise")
        return self

    @property
    def is_at_all(self) -> bool:
        """Whether doing it once is enough."""
        return all(getattr(self, name) is None for name in MEASURES)

    @property
    def measure(self) -> str | None:
        """Which of MEASURES it is measured by."""
        return next((name for name in MEASURES if getattr(self, name) is not None), None)

    def implies(self, other: "Statement") -> bool:
        """Whether whoever does this does the other too, negation left aside."""
        if not self.do.is_within(other.do):
            return False
        if other.measure is None:
            return self.less_than_before is None  # less may be none at all
        if self.measure != other.measure or (self.measure in ("share", *COMPARED) and self.do != other.do):
            return False
        mine, others = getattr(self, other.measure), getattr(other, other.measure)
        return mine == others if isinstance(mine, str) else mine >= others


class Among(_Part):
    """Of whom it is asked: users whom the filter `where` selects, and who `did` (or if `negated`, did not) an act in the last
    `last_days` days: at least `times`, on at least so many `days`, or for a `total` of at least so much; without these, at all.

    The filter is in the language of look-ups, see docs/targeting.md. Both hold at every past moment that is learned from;
    where the filter selects too few to learn from, others teach too.
    """

    where: str | None = None
    did: Act | None = None
    last_days: int | None = Field(default=None, ge=1)
    times: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    total: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    negated: bool = False

    @model_validator(mode="after")
    def _has_days(self) -> Self:
        if (self.did is None) != (self.last_days is None):
            raise ValueError("`did` and `last_days` belong together: what was done, and in how many days before")
        if self.negated and self.did is None:
            raise ValueError("`negated` says that something was not done: say what, by `did`")
        measures = [name for name in ("times", "days", "total") if getattr(self, name) is not None]
        if measures and self.did is None:
            raise ValueError(f"`{measures[0]}` says how much of something was done: say what, by `did`")
        if len(measures) > 1:
            raise ValueError(f"{' and '.join(measures)} are two measures: keep one")
        if self.days is not None and self.last_days is not None and self.days > self.last_days:
            raise ValueError(f"{self.days} days on which it was done do not fit into {self.last_days} days")
        return self


def _check_both(one: Statement, other: Statement) -> None:
    """Raises ValueError where nobody can do both."""
    if not one.negated and other.negated and one.implies(other):
        raise ValueError("the same is asked for and excluded: nobody can do both")
    if one.do == other.do and (one.history, other.history) == ("first", "again"):
        raise ValueError("the same is to be done for the first time and again: nobody can do both")
    is_compared = one.more_than_before is not None and one.more_than_before == other.less_than_before
    if one.do == other.do and is_compared and not one.negated and not other.negated:
        raise ValueError("the same is to be done more and less than before: nobody can do both")


class Outcome(_Part):
    """What is wanted: users who will do what the statements say, all of them (`and`) or any (`or`), within so many days.

    `within_days` None is the home's horizon. `rank` orders users by the chance of it, by the share of their acts that it will be,
    or by the amount they will spend on it.
    """

    will: tuple[Statement, ...] = Field(min_length=1, max_length=MOST_STATEMENTS)
    join: Literal["and", "or"] = "and"
    within_days: int | None = Field(default=None, ge=1, le=3650)
    among: Among = Among()
    rank: Rank = "chance"

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        first, is_joined = self.will[0], len(self.will) > 1
        if self.rank != "chance" and (is_joined or first.negated or not first.is_at_all):
            raise ValueError(f"ranking by {self.rank} takes one plain act: not negated, without a measure, and not joined")
        if self.rank == "affinity" and first.do.is_anything:
            raise ValueError("ranking by affinity asks which share of their acts something is: say what, by `about` or otherwise")
        for statement in self.will:
            if statement.days is not None and self.within_days is not None and statement.days > self.within_days:
                raise ValueError(f"{statement.days} days on which it is done do not fit into {self.within_days} days")
        if self.join == "and":
            for one, other in permutations(self.will, 2):
                _check_both(one, other)
        return self

    @property
    def names_texts(self) -> bool:
        """Whether texts can tell who is nearer to it: phrases name something that is to be done, and kept."""
        first = self.will[0]
        return bool(first.do.about) and not first.negated and not first.do.returned

    @property
    def is_about_goods(self) -> bool:
        """Whether it is one statement that phrases name the goods of: other phrases could stand there."""
        return len(self.will) == 1 and bool(self.will[0].do.about)

    @property
    def is_plain(self) -> bool:
        """Whether it is the chance of doing something that phrases name, once: what texts alone can answer."""
        only = self.will[0]
        return (
            len(self.will) == 1
            and self.rank == "chance"
            and bool(only.do.about)
            and only.is_at_all
            and not (only.negated or only.history or only.do.returned)
            and not (only.do.categories or only.do.statuses or only.do.payment_methods)
            and self.among.did is None
        )
