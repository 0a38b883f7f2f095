"""Sentences as queries to the vectors of users."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from found_platform import threads
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model

FEW = 16
"""Sentences up to which one thread is as quick as several, and does not spin beside the threads of other look-ups."""


def embed_sentences(model: "Model", sentences: list[str]) -> np.ndarray:
    """Query vectors (B, D) of sentences: they ask the first D places of the model's user vectors."""
    import torch

    from models import saved

    encoder = text_vectors.encoder(model.config.encoder)
    with torch.inference_mode(), threads.one_for_torch() if len(sentences) <= FEW else nullcontext():
        return saved.sentences(model, encoder, sentences).numpy()
