"""The text model alone: a user's newest texts as one document."""

from itertools import pairwise

import numpy as np
from tqdm import tqdm

from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population
from found_platform.training_data import text_vectors

TEXTS = 24
"""Newest texts of a document: about what the encoder reads of it."""


def documents(population: Population) -> list[str]:
    """(U,) each user's newest texts, the newest first."""
    past = population.past
    own = past.at(~past.exposed)
    order = np.lexsort((-own.minute.astype(int), -own.happened, own.user))
    user, text, words = own.user[order], own.text[order], population.words
    starts = np.searchsorted(user, np.arange(own.users + 1))
    return ["; ".join(words[t] for t in text[a : min(b, a + TEXTS)]) for a, b in pairwise(starts.tolist())]


def _vectors(population: Population) -> np.ndarray:
    def encoded() -> np.ndarray:
        encoder = text_vectors.encoder(population.frozen_text.config.encoder)
        texts = [document or " " for document in documents(population)]
        with tqdm(total=len(texts), desc="benchmark: text_alone", unit="user", disable=None, leave=False) as bar:
            return encoder.encode(texts, progress=bar.update)

    return population.trained("text_alone", encoded)


METHODS: tuple[Probe, ...] = rows_of(
    "text_alone",
    "the text model alone",
    _vectors,
    needs="texts of events and searches; one document a user to encode",
    faithful="what a user did, written out, is read by the text model as one document",
    reduced="the home's text encoder in place of a large one; the newest 24 texts",
)
