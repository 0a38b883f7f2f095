"""What people will do, as data: acts, how they are measured, among whom, within how many days, and how users are ranked by it."""

from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from found_platform.channels import channels

Rank = Literal["chance", "affinity", "value"]
RANKS: tuple[str, ...] = get_args(Rank)
"""`chance` of doing it; `affinity`, the expected share of what the user does; `value`, the expected amount."""

Quantity = Literal["times", "days", "total"]
MEASURES = ("times", "days", "total", "share", "more_than_before", "less_than_before")
MOST_STATEMENTS = 8


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

    about: tuple[str, ...] = ()
    not_about: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    payment_methods: tuple[str, ...] = ()
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
        return self

    @property
    def is_at_all(self) -> bool:
        """Whether doing it once is enough."""
        return all(getattr(self, name) is None for name in MEASURES)


class Among(_Part):
    """Of whom it is asked: users whom the filter `where` selects, and who `did` (or if `negated`, did not) an act in the last
    `last_days` days.

    The filter is in the language of look-ups, see docs/targeting.md. Both hold at every past moment that is learned from.
    """

    where: str | None = None
    did: Act | None = None
    last_days: int | None = Field(default=None, ge=1)
    negated: bool = False

    @model_validator(mode="after")
    def _has_days(self) -> Self:
        if (self.did is None) != (self.last_days is None):
            raise ValueError("`did` and `last_days` belong together: what was done, and in how many days before")
        if self.negated and self.did is None:
            raise ValueError("`negated` says that something was not done: say what, by `did`")
        return self


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
        if self.join == "and":
            plain = [statement.model_copy(update={"negated": False}) for statement in self.will if statement.negated]
            if any(statement in plain for statement in self.will if not statement.negated):
                raise ValueError("the same is asked for and excluded: nobody can do both")
        return self

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
