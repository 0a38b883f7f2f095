"""The scorers, by name: each is a module of this package, and a new look-up mode is one file more."""

import importlib
import pkgutil
from functools import cache

import numpy as np

from found_platform.scoring import evidence
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import Evidence
from found_platform.scoring.population import Population
from found_platform.scoring.scorers.interface import Carried, Ranking, Scorer

__all__ = ["DEFAULT", "Carried", "Ranking", "Scorer", "explain", "get", "modes", "rank"]

DEFAULT = "auto"


@cache
def _registry() -> dict[str, Scorer]:
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {module.SCORER.name: module.SCORER for module in modules if hasattr(module, "SCORER")}


def get(name: str) -> Scorer:
    """A scorer by its name. Raises KeyError."""
    return _registry()[name]


def modes() -> tuple[str, ...]:
    """The names that a person may ask for, the default first."""
    names = (scorer.name for scorer in _registry().values() if scorer.is_mode)
    return tuple(sorted(names, key=lambda name: (name != DEFAULT, name)))


def rank(population: Population, demand: Demand, mode: str, horizon_days: int) -> Ranking:
    """Scores everybody in a mode. Where it cannot answer, the one that can takes its place, and `reason` says so."""
    return get(mode).rank(population, demand, horizon_days)


def explain(population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray) -> dict[str, list[Evidence]]:
    """By user key, what carried the scores of the users at `rows`, the largest share first. Nobody else's events are read."""
    if not len(rows):
        return {}
    places = population.past.of_users(rows)
    events = population.past.at(places)
    carried = get(ranking.mode).carried(population, ranking, demand, rows, places, events)
    return evidence.reasons(population, rows, events, carried.events, carried.others)
