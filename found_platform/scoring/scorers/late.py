"""`late`: late interaction. The demand asks each event before anything is averaged."""

from typing import TYPE_CHECKING

import numpy as np

from found_platform.cache import single_flight
from found_platform.contract import CHANNELS, SEARCH
from found_platform.embedding.sentences import embed_sentences
from found_platform.index.past import Past
from found_platform.scoring import everybody
from found_platform.scoring.demand import Demand
from found_platform.scoring.parts import Part
from found_platform.scoring.population import Population
from found_platform.scoring.scorers.interface import Carried, Ranking

if TYPE_CHECKING:
    from models.found import LateInteraction


class Late:
    """How much everybody did that resembles what is asked, newer weighing more; on a log scale."""

    name, is_mode, rewrites, asks_log = "late", True, True, False

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`."""
        return Ranking(self.name, reason or "late interaction was asked for", scores(population, demand))

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`."""
        return Carried(_weights_of(population, events) * _text_values(population, demand)[events.text])


def scores(population: Population, demand: Demand) -> np.ndarray:
    """(U,) the sums of the values of everybody's events, on a log scale."""
    by_text = _text_values(population, demand)
    sums = everybody.joined(population, lambda part: part.past.sum_by_user(_weights(part) * by_text[part.past.text]))
    return np.log(sums + 0.05)


def event_values(population: Population, demand: Demand) -> np.ndarray:
    """(N,) what each event of the past adds to its user's score."""
    return _event_weights(population) * _text_values(population, demand)[population.past.text]


def _text_values(population: Population, demand: Demand) -> np.ndarray:
    """(T,) what a text is worth: the mean over the wordings, and nothing where it is nearer to what is left out."""
    head, texts = _head(population), population.states.learned_texts
    cosines = texts @ embed_sentences(population.model, list(demand.wordings)).T  # (T, P)
    values = (1 / (1 + np.exp(-head.sharpness.item() * (cosines - head.floor.item())))).mean(1)
    if demand.unwanted:
        against = texts @ embed_sentences(population.model, list(demand.unwanted)).T
        values[against.max(1) > cosines.max(1)] = 0.0
    return values


def _head(population: Population) -> "LateInteraction":
    """The model's own; a frozen-text model has the one that training starts from."""
    from models.found import Found, LateInteraction

    return population.model.late if isinstance(population.model, Found) else LateInteraction(len(CHANNELS), CHANNELS.index(SEARCH))


def _weights(population: Population) -> np.ndarray:
    """(N,) see `_weights_of`; of a part of the users they are not kept."""
    return _weights_of(population, population.past) if isinstance(population, Part) else _event_weights(population)


@single_flight(2)
def _event_weights(population: Population) -> np.ndarray:
    return _weights_of(population, population.past)


def _weights_of(population: Population, past: Past) -> np.ndarray:
    """(N,) float32 what an event counts by channel, age, and whether it was done to the user; see `LateInteraction`."""
    import torch

    head = _head(population)
    with torch.inference_mode():
        channel = head.channel.numpy()[past.channel] + head.exposed.item() * past.exposed
        age = past.day - 0.5 - past.happened
        return np.exp(channel).astype(np.float32) * (
            np.exp(-age / head.decay.exp().item()) + torch.sigmoid(head.steady).item()
        ).astype(np.float32)


SCORER = Late()
