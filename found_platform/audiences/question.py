"""What is asked, as plain data: whom to reach, and how many. Nothing else belongs here, and nothing heavy is imported."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from found_platform.errors import BadInput
from found_platform.outcomes import Outcome, document

LEVELS = ("narrow", "balanced", "broad")
"""Sizes by past precision, see `sizing`."""


@dataclass(frozen=True)
class Question:
    """What is asked: a `sentence`, the name of a tuned `prompt`, or an `outcome` as a person states it.

    Attributes:
        phrases: a person's own rewriting of the sentence; None takes the rewriter's.
        where: a filter, see `scoring.filters`.
        mode: one of `scorers.modes()`; a prompt has none.
        horizon_days: how far ahead; None takes what the sentence says, or the home's.
        rank: by the chance of it, by affinity or by value; None takes what the sentence says.
        anyway: answer a sentence that was not understood too.
        purpose: what they are to be reached for: only who consents to it, see `privacy.suppression`.
    """

    sentence: str | None = None
    prompt: str | None = None
    phrases: tuple[str, ...] | None = None
    where: str | None = None
    mode: str = "auto"
    horizon_days: int | None = None
    outcome: Outcome | None = None
    rank: str | None = None
    anyway: bool = False
    purpose: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is asked, as plain data; what is not said is None."""
        outcome = None if self.outcome is None else document.as_data(self.outcome)
        return {**asdict(self), "outcome": outcome, "anyway": self.anyway or None}


@dataclass(frozen=True)
class Size:
    """How many users, said in one of three ways: the best `top`, a `level` of past precision, or all who score `min_score`.

    Raises BadInput for another number of ways than one, and for a value that is no size.
    """

    top: int | None = None
    level: str | None = None
    min_score: float | None = None

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.top, self.level, self.min_score)) != 1:
            raise BadInput("An audience has one size: say --top, --level or --min-score, and only one of them.")
        if self.top is not None and self.top < 1:
            raise BadInput(f"--top is {self.top}: ask for at least one user.")
        if self.level is not None and self.level not in LEVELS:
            raise BadInput(f"--level is {self.level!r}: choose {', '.join(LEVELS[:-1])} or {LEVELS[-1]}.")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise BadInput(f"--min-score is {self.min_score}: a lowest score is a finite number.")

    def __str__(self) -> str:
        """How many, in words."""
        if self.top is not None:
            return f"the best {self.top:,}"
        return self.level or f"a score of {self.min_score:g} or more"


TWENTY = Size(top=20)
"""Of a look-up that does not say how many."""
