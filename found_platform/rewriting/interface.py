"""What a rewriting is, and who makes one."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from found_platform.outcomes import Outcome, document


@dataclass(frozen=True)
class Match:
    """Something of the lake that a demand is about."""

    text: str  # a distinct text of events, or a category
    kind: str  # "text" | "category"
    similarity: float  # cosine with the part of the demand that names it, the centre of the lake removed from both
    events: int  # before the cutoff that carry it
    negated: bool  # the demand leaves it out


@dataclass(frozen=True)
class Rewriting:
    """A demand in the language of the templates. A person may edit `sentences` and `phrases` before they are used."""

    demand: str
    sentences: tuple[str, ...]  # one a kind of template that fits; empty where nothing resembles the demand
    phrases: tuple[str, ...]  # the items in them
    unwanted: tuple[str, ...]  # items that the demand leaves out
    matches: tuple[Match, ...]  # the closest first, wanted before unwanted
    kinds: tuple[str, ...]  # of templates that the demand's verbs ask for; empty where they do not say how
    horizon_days: int | None  # where the demand says when
    min_amount: float | None  # where the demand says how much at least
    confidence: float  # 0 to 1: that the lake holds what the demand is about
    note: str  # what the person should know; empty where there is nothing to say
    by: str  # "grounded" | "llm:NAME"
    outcome: Outcome | None = None  # what is asked of users; None where the demand was not understood
    doubt: str = ""  # why an answer would not be one to this demand; empty where it was understood

    def as_dict(self) -> dict[str, Any]:
        content = asdict(self)
        return content | {"outcome": None if self.outcome is None else document.as_data(self.outcome)}


class Rewriter(Protocol):
    """Turns demands into rewritings."""

    def rewrite(self, demand: str) -> Rewriting:
        """Raises BadInput for an empty or overlong demand."""
        ...
