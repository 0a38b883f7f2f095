"""`aligned`, the paper's way (FOUND, section 4.4): the cosine of a user's aligned vector and the sentence."""

import numpy as np

from found_platform.contract import ACTIVITY_FEATURES, describe
from found_platform.embedding.sentences import embed_sentences
from found_platform.index.past import Past
from found_platform.index.states import learned_width
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import HABITS, Evidence, Weighed
from found_platform.scoring.population import Population
from found_platform.scoring.scorers.interface import Carried, Ranking


class Aligned:
    """The sentence as a query, or the mean of the queries of each phrase."""

    name, is_mode, rewrites, asks_log = "aligned", True, False, False

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`. Only the model of the population is read."""
        query = embed_sentences(population.model, list(demand.wordings)).mean(0)
        return Ranking(self.name, reason or "aligned cosine was asked for", query=query)

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`."""
        return carried_by_query(population, ranking, rows, events)


def carried_by_query(population: Population, ranking: Ranking, rows: np.ndarray, events: Past) -> Carried:
    """What carried the products of a query with stored vectors."""
    assert ranking.query is not None
    return Carried(event_values(population, ranking.query, events), _beside_texts(population, ranking.query, rows))


def event_values(population: Population, query: np.ndarray, events: Past) -> np.ndarray:
    """(N,) how near each event comes to a query, 0 where it is far: what it adds to the cosine. Exposures add nothing."""
    texts = population.states.learned_texts
    cosines = texts @ query[: texts.shape[1]]
    return np.maximum(cosines, 0)[events.text] * ~events.exposed


def _beside_texts(population: Population, query: np.ndarray, rows: np.ndarray) -> dict[int, tuple[float, list[Weighed]]]:
    """By row, what the aligned part of the stored vector adds to the score, and what the parts beside it do."""
    aligned, learned = population.model.config.dim, learned_width(population.model)
    if not learned or len(query) <= aligned:
        return {}
    products = population.vectors[rows, : len(query)] * query
    parts: dict[int, tuple[float, list[Weighed]]] = {}
    for i, row in enumerate(rows.tolist()):
        habits = float(products[i, aligned:learned].sum())
        rest: list[Weighed] = [(habits, HABITS)] if habits > 0 else []
        for place, feature in enumerate(ACTIVITY_FEATURES, learned):
            if place < len(query) and products[i, place] > 0:
                value = population.attributes[feature.name][row].as_py()
                rest.append((float(products[i, place]), Evidence("activity", f"{describe(feature.name)}: {value}", 0.0)))
        parts[row] = (max(0.0, float(products[i, :aligned].sum())), rest)
    return parts


SCORER = Aligned()
