"""Models on disk, of whatever kind: what a registered version holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from models import found, frozen_text, weights
from models.found import Found
from models.frozen_text import FrozenText
from models.text_encoder import TextEncoder

Model = FrozenText | Found
"""Both embed users by `users(histories)`, sentences by `sentences(vectors)`; a sentence asks the first `config.dim` places."""


def save(model: Model, folder: Path) -> str:
    """Writes a model into `folder`; returns the sha256 of its weights."""
    return found.save(model, folder) if isinstance(model, Found) else frozen_text.save(model, folder)


def load(folder: Path) -> Model:
    """Reads a model. Raises ValueError when the weights are not those the config was written with."""
    return {"frozen_text": frozen_text.load, "found": found.load}[weights.kind(folder)](folder)


def sentences(model: Model, encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Query vectors (B, D), unit length, of sentences: through the model's own tower where it has one, else the frozen encoder."""
    if reads_sentences(model):
        return model.describe(texts)
    return model.sentences(torch.from_numpy(encoder.encode(texts)))


def reads_sentences(model: Model) -> TypeGuard[Found]:
    """Whether a model has a text tower of its own for sentences."""
    return isinstance(model, Found) and model.description_tower is not None
