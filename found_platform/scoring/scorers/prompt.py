"""`prompt`: a few-shot head tuned on seed users is itself a query; it is asked by the name of the prompt and not as a mode."""

from dataclasses import dataclass, field

import numpy as np

from found_platform.index.past import Past
from found_platform.scoring.demand import Demand
from found_platform.scoring.few_shot import FewShotHead
from found_platform.scoring.population import Population
from found_platform.scoring.scorers.aligned import carried_by_query
from found_platform.scoring.scorers.interface import Carried, Ranking


@dataclass(frozen=True)
class TunedDemand(Demand):
    """A demand that a head was tuned for."""

    head: FewShotHead | None = field(default=None, kw_only=True)


class Prompt:
    """A tuned head; its `reason` comes from whoever loaded it."""

    name, is_mode, rewrites, asks_log = "prompt", False, False, False

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`. The demand is a TunedDemand; nobody is read."""
        assert isinstance(demand, TunedDemand)
        assert demand.head is not None
        return Ranking(self.name, reason or "a tuned prompt was asked for", query=demand.head.query, bias=demand.head.bias)

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`."""
        return carried_by_query(population, ranking, rows, events)


SCORER = Prompt()
