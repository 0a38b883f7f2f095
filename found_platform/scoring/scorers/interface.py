"""What a scorer is: it ranks everybody for a demand, and says what carried a score."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from found_platform.index.past import Past
from found_platform.scoring import everybody
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import Weighed
from found_platform.scoring.population import Population
from found_platform.scoring.replayed import Replayed


@dataclass(frozen=True)
class Ranking:
    """How everybody is scored, by the scorer that answered and for what reason; higher is better.

    Either `everybody` (U,) has the scores, or they are the products of `query` (D,) with the first D places of the stored vectors,
    plus `bias`, so that the index can answer. `replayed` is there where past windows answered. `about` (U,) bool are the users of
    whom it is asked; None for everybody.
    """

    mode: str
    reason: str
    everybody: np.ndarray | None = None
    query: np.ndarray | None = None
    bias: float = 0.0
    replayed: Replayed | None = None
    about: np.ndarray | None = None

    def of(self, population: Population) -> np.ndarray:
        """(U,) the scores of everybody in a population."""
        if self.everybody is not None:
            return self.everybody
        assert self.query is not None
        query, bias = self.query, np.float32(self.bias)
        return everybody.joined(population, lambda users: users.vectors[:, : len(query)] @ query + bias)

    def rankable(self, population: Population) -> np.ndarray:
        """(U,) bool: who can be ranked. Where the log answers, whoever ever did anything; where vectors do, who did something in
        the lookback, for a vector holds nothing older."""
        if self.everybody is None:
            return population.has_history
        return population.has_history | (population.states.volume(population.past.day) > 0)


@dataclass(frozen=True)
class Carried:
    """What carried the scores of some users.

    Attributes:
        events: (N,) what each of their events added.
        others: by row of the population, what the events of a user weigh together, and what else is weighed beside them; empty
            where there is nothing but events.
    """

    events: np.ndarray
    others: dict[int, tuple[float, list[Weighed]]] = field(default_factory=dict)


class Scorer(Protocol):
    """One way to score. A module of this package with a scorer called SCORER is all that a new one takes.

    Attributes:
        name: what it is asked by, and what an answer calls it.
        is_mode: whether a person may ask for it by name.
        rewrites: whether a sentence is rewritten for it; else it is asked as it stands.
        asks_log: whether it answers what no text tells: who will not, or bring back, or do anything at all.
    """

    name: str
    is_mode: bool
    rewrites: bool
    asks_log: bool

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """Scores everybody. Where it cannot answer, a scorer that can takes its place, and the reason of the ranking says so.

        Args:
            reason: why this scorer was chosen, where it was not asked for.
        """
        ...

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """What carried the scores of the users at `rows`, whose `events` (N,) are those at `places` of the past."""
        ...
