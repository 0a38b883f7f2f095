"""FOUND without one of its parts: table 5 of the paper, without training anew (see `models.ablation`)."""

from functools import partial

import numpy as np

from found_platform.embedding.sentences import embed_sentences
from found_platform.evaluation.methods.interface import Probe, Question, ZeroShot
from found_platform.evaluation.population import Population

PARTS = {
    "behavior": "events",
    "table": "profile attributes and activity",
    "searches": "searches",
    "fusion": "what attention fuses: the frozen start of the aligned part stays",
}


def _vectors(part: str, population: Population) -> np.ndarray | None:
    """(U, K + d) the learned part of everybody's vectors; None where another model than FOUND made them."""
    from models.ablation import users_without
    from models.found import Found

    model = population.model
    if not isinstance(model, Found):
        return None
    vectors = population.trained(f"without_{part}", lambda: population.by_model(partial(users_without, model, part)))
    return vectors[:, : model.config.learned]


def _cosine(part: str, population: Population, question: Question) -> np.ndarray | None:
    vectors = _vectors(part, population)
    if vectors is None:
        return None
    queries = embed_sentences(population.model, question.demands)
    return queries @ vectors[:, : queries.shape[1]].T


def _features(part: str, population: Population) -> np.ndarray | None:
    vectors = _vectors(part, population)
    if vectors is None:
        return None
    activity = [] if part == "table" else [population.standard_activity]
    return population.standard(vectors, *activity)


METHODS = (
    *(
        ZeroShot(f"without_{part}", f"`aligned` without {about}", partial(_cosine, part), own=True, slow=True)
        for part, about in PARTS.items()
    ),
    *(
        Probe(f"without_{part}", f"`found` without {about}", partial(_features, part), own=True, slow=True)
        for part, about in PARTS.items()
    ),
)
