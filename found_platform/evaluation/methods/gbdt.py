"""Gradient boosting on hand-made aggregates: what most teams run today."""

from found_platform.evaluation.classifiers import boosting
from found_platform.evaluation.methods.interface import Probe
from found_platform.evaluation.population import Population


def _aggregates(population: Population) -> object:
    return population.aggregates


METHODS = (
    Probe(
        "gbdt_aggregates",
        "boosted trees on activity, counts and sums by category, and the profile",
        _aggregates,
        classifier=boosting,
    ),
)
