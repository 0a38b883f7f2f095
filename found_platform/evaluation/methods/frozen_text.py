"""The text encoder as it is, untrained: a user is the mean of the texts of their events."""

import numpy as np

from found_platform.embedding.sentences import embed_sentences
from found_platform.evaluation.methods.interface import Probe, Question, ZeroShot
from found_platform.evaluation.population import Population


def _cosine(population: Population, question: Question) -> np.ndarray:
    return embed_sentences(population.frozen_text, question.demands) @ population.frozen_vectors.T


METHODS = (
    ZeroShot("frozen_text", "cosine of the demand and the mean of a user's texts, by the text encoder as it is", _cosine),
    Probe(
        "frozen_text",
        "a linear probe of that mean",
        lambda population: population.standard(population.frozen_vectors),
        few_shot=True,
    ),
    Probe(
        "frozen_text_activity",
        "a linear probe of that mean beside the activity aggregates",
        lambda population: population.standard(population.frozen_vectors, population.standard_activity),
    ),
)
