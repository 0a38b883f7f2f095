"""How much each text of the past is what a demand is about. Nothing learned takes part: the frozen text space is asked.

A demand is one sentence and a subject is many texts: the texts nearest to the demand are asked for theirs in turn, and closeness is
counted on a scale on which those are 1, so that a demand in rare words is not met by fewer texts than one in common words. What a
text does not say its category may: "5 lb lean" is beef.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from found_platform.contract import CHANNELS
from found_platform.scoring.past import Past
from found_platform.scoring.population import Population
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    import torch

CATEGORY = 0.5
"""Weight of the category's name beside a text's own words. Chosen on two development populations of the simulator."""

EXPANSION = 20
"""Texts nearest to a demand that speak for its subject."""

NEAREST = 10
"""Texts whose mean similarity is closeness 1."""

SAME = 0.55
"""Closeness at which a text is as likely about the demand as not. This, what stands around it and EXPANSION were chosen on a
development population of the simulator."""

SHARPNESS = 10.0


@dataclass(frozen=True)
class Matching:
    """How close the texts (T,) of a population's past are: 1 as the closest ones, SAME is about the demand.

    `channels` (C,) bool are those in which it is meant to be done, and `least` is the amount that it must have.
    """

    closeness: np.ndarray
    channels: np.ndarray = field(default_factory=lambda: np.ones(len(CHANNELS), bool))
    least: float = 0.0

    @property
    def anyhow(self) -> bool:
        """Whether it does not matter how it is done."""
        return bool(self.channels.all()) and not self.least

    def as_asked(self, events: Past) -> np.ndarray:
        """(N,) bool: which of some events are done in the way that is meant."""
        return self.channels[events.channel] & (events.amount >= self.least)

    def weights(self, middle: float = SAME) -> np.ndarray:
        """(T,) how much a text counts, 0 to 1; one half at `middle`."""
        return 1 / (1 + np.exp(-SHARPNESS * (self.closeness - middle)))


def match(
    population: Population,
    wordings: Sequence[Sequence[str]],
    unwanted: Sequence[str] = (),
    channels: Sequence[str] = CHANNELS,
    least: float = 0.0,
) -> Matching:
    """What a demand is about, less the texts that are rather about one of the `unwanted` phrases; done in one of `channels`, for
    an amount of `least` or more.

    `wordings` are ways to say it, each a sentence or several items; what they find has equal say.
    """
    space = texts(population)
    vectors = _asked(population, [*chain(*wordings), *unwanted])  # at once: each time costs as much
    *heard, against = np.split(vectors, np.cumsum([len(wording) for wording in wordings]))
    found = [_closeness(_expanded(space, wording.mean(0))) for wording in heard]
    closeness = np.mean(found, 0)
    for phrase in against:
        closeness = np.where(_closeness(_expanded(space, phrase)) > closeness, 0.0, closeness)
    return Matching(closeness, np.isin(CHANNELS, channels), least)


def _closeness(similarity: np.ndarray) -> np.ndarray:
    """Similarities (T,) on the scale on which the nearest are 1."""
    nearest = np.sort(similarity)[-NEAREST:]
    return similarity / max(float(nearest.mean()), 1e-3) if len(nearest) else similarity


def _expanded(space: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(T,) cosines with a query (K,) and the texts nearest to it together."""
    cosines = space @ _unit(query)
    near = np.argsort(-cosines)[:EXPANSION]
    weight = np.maximum(cosines[near], 1e-6)
    return space @ _unit(_unit(query) + weight @ space[near] / weight.sum()) if len(near) else cosines


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


@lru_cache(maxsize=2)
def texts(population: Population) -> np.ndarray:
    """(T, K) the texts of the past with their categories in the frozen space, of unit length."""
    import torch

    own = _frozen(population, torch.from_numpy(population.text_vectors))
    names = sorted({c for c in population.categories if c is not None})
    if not names:
        return own
    place = {name: i for i, name in enumerate(names)}
    vectors = np.vstack([_asked(population, names), np.zeros(own.shape[1], np.float32)])
    both = own + CATEGORY * vectors[[place.get(c, -1) if c is not None else -1 for c in population.categories]]
    return both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9)


def _asked(population: Population, phrases: Sequence[str]) -> np.ndarray:
    """(P, K) phrases in the same space."""
    import torch

    from models.found import Found

    model = population.model
    tower = model.event_tower if isinstance(model, Found) else None
    if not phrases:
        return np.empty((0, 1), np.float32)
    encoder = text_vectors.encoder(model.config.encoder)  # one that is loaded in inference mode could never be tuned through
    with torch.inference_mode():
        vectors = tower(list(phrases)).float() if tower else torch.from_numpy(encoder.encode(list(phrases)))
    return _frozen(population, vectors)


def _frozen(population: Population, vectors: "torch.Tensor") -> np.ndarray:
    """Text vectors (N, E) in the space that the model started from (N, K), of unit length."""
    import torch
    from torch.nn import functional as F

    from models.found import Found

    model = population.model
    with torch.inference_mode():
        centred = vectors - model.center
        return F.normalize(F.linear(centred, model.start) if isinstance(model, Found) else centred, dim=-1).numpy()
