"""TF-IDF: words counted, nothing learned."""

from typing import Any

import numpy as np

from found_platform.evaluation.methods.interface import Probe, Question, ZeroShot
from found_platform.evaluation.population import Population


def _overlap(population: Population, question: Question) -> np.ndarray:
    words, vocabulary = population.word_vectors
    return (vocabulary.transform(question.demands) @ words.T).toarray()


def _beside_activity(population: Population) -> Any:
    import scipy.sparse as sp

    words, _ = population.word_vectors
    return sp.hstack([words, sp.csr_matrix(population.standard_activity)]).tocsr()


METHODS = (
    ZeroShot("tfidf", "words that the demand and a user's texts share, weighted by how rare they are", _overlap),
    Probe("tfidf_activity", "a linear probe of the weighted words beside the activity aggregates", _beside_activity, few_shot=True),
)
