"""Sentences as queries to the vectors of users."""

from typing import TYPE_CHECKING

import numpy as np

from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model


def embed_sentences(model: "Model", sentences: list[str]) -> np.ndarray:
    """Query vectors (B, D) of sentences: they ask the first D places of the model's user vectors."""
    import torch

    from models import saved

    encoder = text_vectors.encoder(model.config.encoder)
    with torch.inference_mode():
        return saved.sentences(model, encoder, sentences).numpy()
