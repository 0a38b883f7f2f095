"""How much each text of the past is what a demand is about. Nothing learned takes part: the frozen text space is asked.

A demand is one sentence and a subject is many texts: the texts nearest to the demand are asked for theirs in turn, and closeness is
counted on a scale on which those are 1, so that a demand in rare words is not met by fewer texts than one in common words. What a
text does not say its category may: "5 lb lean" is beef.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from found_platform.contract import CHANNELS
from found_platform.embedding import texts
from found_platform.index.past import Past
from found_platform.rewriting import opposites
from found_platform.rewriting.ground import words
from found_platform.scoring.population import Population

EXPANSION = 20
"""Texts nearest to a demand that speak for its subject."""

NEAREST = 10
"""Texts whose mean similarity is closeness 1."""

SAME = 0.55
"""Closeness at which a text is as likely about the demand as not. This, what stands around it and EXPANSION were chosen on a
development population of the simulator."""

SHARPNESS = 10.0

OF_ALL = 20
"""One text in this many may speak for a subject, and be the scale of closeness: of a shop's thirty texts not twenty are about one
thing. From 400 texts on this bounds nothing."""


@dataclass(frozen=True)
class Matching:
    """How close the texts (T,) of a population's past are: 1 as the closest ones, SAME is about the demand.

    `channels` (C,) bool are those in which it is meant to be done, for an amount of `min_amount` or more.
    """

    closeness: np.ndarray
    channels: np.ndarray = field(default_factory=lambda: np.ones(len(CHANNELS), bool))
    min_amount: float = 0.0

    @property
    def anyhow(self) -> bool:
        """Whether it does not matter how it is done."""
        return bool(self.channels.all()) and not self.min_amount

    def as_asked(self, events: Past) -> np.ndarray:
        """(N,) bool: which of some events are done in the way that is meant."""
        return self.channels[events.channel] & (events.amount >= self.min_amount)

    def weights(self, middle: float = SAME) -> np.ndarray:
        """(T,) how much a text counts, 0 to 1; one half at `middle`."""
        return 1 / (1 + np.exp(-SHARPNESS * (self.closeness - middle)))


def match(
    population: Population,
    wordings: Sequence[Sequence[str]],
    unwanted: Sequence[str] = (),
    channels: Sequence[str] = CHANNELS,
    min_amount: float = 0.0,
) -> Matching:
    """What a demand is about, less the texts that say its opposite or are rather about one of the `unwanted` phrases; done in one
    of `channels`, for an amount of `min_amount` or more.

    `wordings` are ways to say it, each a sentence or several items; what they find has equal say.
    """
    space = population.states.frozen_texts
    vectors = texts.frozen_phrases(population.model, [*chain(*wordings), *unwanted])  # at once: each time costs as much
    *meanings, against = np.split(vectors, np.cumsum([len(wording) for wording in wordings]))
    by_wording = [_closeness(_expanded(space, wording.mean(0))) for wording in meanings]
    closeness = np.mean(by_wording, 0)
    left_out = opposites.of(words(" ".join(chain(*wordings))), population.words)
    for phrase in against:
        left_out |= _closeness(_expanded(space, phrase)) > closeness
    closeness = np.where(_said(population, wordings), np.maximum(closeness, 1.0), closeness)
    return Matching(np.where(left_out, 0.0, closeness), np.isin(CHANNELS, channels), min_amount)


def _said(population: Population, wordings: Sequence[Sequence[str]]) -> np.ndarray:
    """(T,) bool: the texts that a wording says word for word. What an encoder makes of them, or of a sentence in a language that it
    does not know, is no reason to doubt them."""
    named = set(chain(*wordings))
    return np.fromiter((text in named for text in population.words), bool, len(population.words))


def _closeness(similarity: np.ndarray) -> np.ndarray:
    """Similarities (T,) on the scale on which the nearest are 1."""
    nearest = np.sort(similarity)[-_at_most(NEAREST, similarity) :]
    return similarity / max(float(nearest.mean()), 1e-3) if len(nearest) else similarity


def _expanded(space: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(T,) cosines with a query (K,) and the texts nearest to it together."""
    cosines = space @ _unit(query)
    near = np.argsort(-cosines)[: _at_most(EXPANSION, cosines)]
    weight = np.maximum(cosines[near], 1e-6)
    return space @ _unit(_unit(query) + weight @ space[near] / weight.sum()) if len(near) else cosines


def _at_most(count: int, texts: np.ndarray) -> int:
    return max(1, min(count, len(texts) // OF_ALL))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
