"""The answers of look-ups: the users who were chosen, and everybody as they were scored.

What belongs here: what is read of an answer. What does not: asking (`lookup`), and how many are chosen (`sizing`).
"""

from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from found_platform.audiences.question import Question
from found_platform.index import Publication
from found_platform.outcomes import Outcome
from found_platform.rewriting import Rewriting
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import Evidence
from found_platform.scoring.heads import OperatingPoint
from found_platform.scoring.population import Population
from found_platform.scoring.replayed import Backtest
from found_platform.scoring.scorers import Ranking


@dataclass(frozen=True)
class FoundUser:
    """One user of an answer. `score` is of the mode: an inner product, or log-odds in replay, where `probability` is calibrated.

    `expected` is there where users are ranked by affinity (the share of their acts) or by value (the amount).
    """

    user_id: str
    score: float
    probability: float | None = None
    expected: float | None = None
    evidence: list[Evidence] | None = None


@dataclass(frozen=True)
class Audience:
    """The answer. `exact` is false where the vector index answered; `rewriting` is what the sentence was understood as: the mode
    `aligned` asks it as it stands, and a prompt has none. `outcome` is what was asked, as plain data; in words it is the key
    `asked` of a document. `warning` says why it may be no answer to the sentence; `note` why there is nobody, where that is so."""

    query: str
    rewriting: Rewriting | None
    mode: str
    reason: str
    exact: bool
    as_of: str
    model_version: str
    index_version: str
    count: int
    users: list[FoundUser] = field(default_factory=list)
    note: str | None = None
    outcome: dict[str, Any] | None = None
    outcome_in_words: str | None = field(default=None, metadata={"key": "asked"})
    warning: str | None = None

    def as_dict(self) -> dict[str, Any]:
        rewritten = None if self.rewriting is None else self.rewriting.as_dict()
        content = asdict(replace(self, rewriting=None))
        return {**{f.metadata.get("key", f.name): content[f.name] for f in fields(self)}, "rewriting": rewritten}


@dataclass(frozen=True)
class Gate:
    """One condition on who can be chosen. `passed` is (U,) bool, whether or not an earlier gate keeps a user out.

    `name` is `history`, `filter`, `asked` (did before what the demand asks of them), `consent`, `suppression` or `exclusions`.
    """

    name: str
    passed: np.ndarray


@dataclass(frozen=True)
class Scored:
    """Everybody who may be targeted, best first.

    Attributes:
        rows: (N,) where the users stand in the population; `keys` are theirs.
        scores: (N,) of the mode.
        probabilities: (N,) calibrated, in replay; None where users are ranked by something else than a chance.
        expected: (N,) the share of their acts, or the amount, where they are ranked by it.
        backtest: how a past window was predicted, in replay.
        curve: operating points in that window, of the users whom the filter selects.
        within: (U,) bool: the users whom the curve is about, as they are now.
        base: users with any history.
        selected: those of them whom the filter selects.
        gates: what everybody has to pass to be among the `rows`, in order.
    """

    question: Question
    published: Publication
    population: Population
    ranking: Ranking
    demand: Demand
    rewriting: Rewriting | None
    rows: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None
    expected: np.ndarray | None
    backtest: Backtest | None
    curve: tuple[OperatingPoint, ...]
    within: np.ndarray
    base: int
    selected: int
    gates: tuple[Gate, ...]

    @property
    def nobody(self) -> str | None:
        """Why nobody can be chosen, in a sentence; None where somebody can."""
        if len(self.rows):
            return None
        if not self.selected:
            where = joined_filter(self.question, self.demand.outcome)
            asked_of = f"matches the filter {where!r}" if where else "did what the demand asks of them before"
            return f"Nobody {asked_of}; {self.base:,} users have a history."
        who = f"the {self.selected:,} users {'whom it is asked of' if self.selected < self.base else 'with a history'}"
        return f"None of {who} can be chosen: they are excluded, suppressed, or have not consented."

    @property
    def mode(self) -> str:
        return self.ranking.mode

    @property
    def reason(self) -> str:
        return self.ranking.reason

    @cached_property
    def keys(self) -> list[str]:
        return self.population.keys.take(self.rows)


def joined_filter(question: Question, outcome: Outcome | None) -> str | None:
    """The filter of a question and that of the outcome it asks, both; None without any."""
    parts = [part for part in (question.where, outcome.among.where if outcome else None) if part]
    return " AND ".join(f"({part})" for part in parts) if len(parts) > 1 else parts[0] if parts else None
