"""Activity: how much a user did and how long ago, whatever is asked. What does not beat it has read nothing."""

import numpy as np

from found_platform.contract import ACTIVITY_FEATURES
from found_platform.evaluation.methods.interface import Probe, Question, ZeroShot
from found_platform.evaluation.population import Population


def _column(population: Population, name: str) -> np.ndarray:
    return population.activity[:, [f.name for f in ACTIVITY_FEATURES].index(name)]


def _count(population: Population, question: Question) -> np.ndarray:
    return np.tile(_column(population, "events_lookback"), (len(question.demands), 1))


def _recency(population: Population, question: Question) -> np.ndarray:
    return np.tile(-_column(population, "days_since_last"), (len(question.demands), 1))


METHODS = (
    ZeroShot("activity_count", "the number of a user's events", _count),
    ZeroShot("recency", "how lately a user did anything", _recency),
    Probe("activity", "a linear probe of the activity aggregates", lambda population: population.standard_activity, few_shot=True),
)
