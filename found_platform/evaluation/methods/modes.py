"""The look-up modes as a person gets them.

Each but `auto` and `outcome` sees the demand as it is written; `auto` is what a look-up does: it rewrites, and chooses a mode;
`outcome` is asked what a person stated.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from found_platform import outcomes
from found_platform.evaluation.methods.interface import Question, ZeroShot
from found_platform.evaluation.population import Population
from found_platform.evaluation.thresholds import average, average_chance
from found_platform.outcomes import document
from found_platform.scoring import scorers
from found_platform.scoring.demand import Demand


def _ranked(population: Population, demands: Iterable[Demand], mode: str, horizon_days: int) -> np.ndarray:
    """(D, U), NaN for those whom a look-up leaves out."""
    rankings = [scorers.rank(population, demand, mode, horizon_days) for demand in demands]
    return np.stack([np.where(r.rankable(population), r.of(population), np.nan) for r in rankings])


def _as_written(mode: str, population: Population, question: Question) -> np.ndarray:
    return _ranked(population, map(Demand, question.demands), mode, question.horizon_days)


def _auto(population: Population, question: Question) -> np.ndarray:
    demands = [_ranked_by(Demand.of(population.rewritten(demand)), question.rank) for demand in question.demands]
    return _ranked(population, demands, "auto", question.horizon_days)


def _outcome(population: Population, question: Question) -> np.ndarray | None:
    if question.outcome is None:
        return None
    demand = _ranked_by(Demand.of_outcome(question.outcome), question.rank)
    scores = _ranked(population, [demand], "auto", question.horizon_days)
    return np.repeat(scores, len(question.demands), 0)


def _ranked_by(demand: Demand, rank: str | None) -> Demand:
    """The demand, ranked as a scenario asks; a demand that was not understood stays as it is."""
    if rank is None or demand.outcome is None:
        return demand
    return replace(demand, outcome=outcomes.parse({**document.as_data(demand.outcome), "rank": rank}))


ABOUT = {
    "aligned": "cosine of the demand and the part of a user's vector that is aligned with descriptions of the future",
    "late": "late interaction: the best match of the demand among a user's events",
    "replay": "past windows answer: who did it before, by what was known then",
}

IN_LOG_ODDS = ("replay", "auto", "outcome")
"""Methods whose scores are log-odds wherever past windows answer."""


def _method(name: str, about: str, scores: Callable[[Population, Question], np.ndarray | None]) -> ZeroShot:
    threshold = average_chance if name in IN_LOG_ODDS else average
    return ZeroShot(name, about, scores, own=True, threshold=threshold, by_training_seed=name in ("aligned", "late"), says_who=True)


METHODS = (
    *(_method(mode, about, partial(_as_written, mode)) for mode, about in ABOUT.items()),
    _method("auto", "what a look-up does: the demand rewritten, the mode chosen", _auto),
    _method("outcome", "what a look-up does with the outcome that the scenario states", _outcome),
)
