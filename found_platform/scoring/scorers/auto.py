"""`auto` chooses, it does not blend: replay where the past holds enough of what is asked, else late interaction, and the aligned
cosine where no text of the lake resembles the demand."""

import numpy as np

from found_platform.index.past import Past
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import aligned, replay
from found_platform.scoring.scorers.interface import Carried, Ranking


class Auto:
    """Leaves the ranking to another scorer, which the ranking names."""

    name, is_mode, rewrites, asks_log = "auto", True, True, True

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`."""
        if demand.note:
            nothing = f"{demand.note}, so no text of it can be matched"
            return aligned.SCORER.rank(population, demand, horizon_days, reason=nothing)
        return replay.SCORER.rank(population, demand, horizon_days)

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`: as the scorer has it that answered."""
        from found_platform.scoring import scorers

        return scorers.get(ranking.mode).carried(population, ranking, demand, rows, places, events)


SCORER = Auto()
