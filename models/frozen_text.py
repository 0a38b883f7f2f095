"""The frozen-text model: a user is the centred mean of the frozen text vectors of their events. Nothing is learned but the centre.

The baseline that every later model must beat. It shares their form: `users` embeds histories, `sentences` embeds demands, and the
inner product of the two ranks.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from models import weights
from models.histories import Histories


@dataclass(frozen=True)
class FrozenTextConfig:
    """What is needed to run the model again."""

    encoder: str  # name for `load_text_encoder`
    encoder_revision: str
    dim: int
    kind: str = "frozen_text"


class FrozenText(nn.Module):
    """The mean vector of the corpus, taken from every user and every sentence: what all texts have in common tells nobody apart."""

    center: torch.Tensor

    def __init__(self, config: FrozenTextConfig, center: torch.Tensor | None = None):
        super().__init__()
        self.config = config
        self.register_buffer("center", torch.zeros(config.dim) if center is None else center)

    def users(self, histories: Histories) -> torch.Tensor:
        """User vectors (B, D) of unit length; all zeros for a user without events of their own."""
        mean, has_history = histories.own_mean()
        return F.normalize(torch.where(has_history[:, None], mean - self.center, 0.0), dim=-1)

    def sentences(self, vectors: torch.Tensor) -> torch.Tensor:
        """Demand vectors (B, D) of unit length, from encoder vectors (B, D)."""
        return F.normalize(vectors - self.center, dim=-1)


def fit_center(texts: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The mean text vector, each text weighted by how many users' histories hold it. (T, D), (T,) -> (D,)"""
    shares = counts.to(texts.dtype)
    return (texts * shares[:, None]).sum(0) / shares.sum().clamp(min=1)


def save(model: FrozenText, folder: Path) -> str:
    """Writes safetensors, config and the weights' sha256 into `folder`; returns the sha256."""
    return weights.save(model.state_dict(), asdict(model.config), folder)


def load(folder: Path) -> FrozenText:
    """Reads a saved model. Raises ValueError when the weights are not those the config was written with."""
    config, state = weights.load(folder)
    model = FrozenText(FrozenTextConfig(**config))
    model.load_state_dict(state)
    return model
