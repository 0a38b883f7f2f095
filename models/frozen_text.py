"""The frozen-text model: a user is the centred mean of the frozen text vectors of their events. Nothing is learned but the centre.

The baseline that every later model must beat. It shares their form: `users` embeds histories, `sentences` embeds demands, and the
inner product of the two ranks.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


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

    def users(self, texts: torch.Tensor, events: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """User vectors (B, D) of unit length; all zeros for a user without events.

        Args:
            texts: (T, D) vectors of the distinct texts.
            events: (E,) row in `texts` of every event, users one after another.
            offsets: (B,) where each user's events start.
        """
        mean = F.embedding_bag(events, texts, offsets, mode="mean")  # (B, D), zeros for an empty bag
        counts = torch.diff(offsets, append=torch.tensor([len(events)]))
        return F.normalize(torch.where(counts[:, None] > 0, mean - self.center, 0.0), dim=-1)

    def sentences(self, vectors: torch.Tensor) -> torch.Tensor:
        """Demand vectors (B, D) of unit length, from encoder vectors (B, D)."""
        return F.normalize(vectors - self.center, dim=-1)


def fit_center(texts: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The mean text vector, each text weighted by how many users' histories hold it. (T, D), (T,) -> (D,)"""
    weights = counts.to(texts.dtype)
    return (texts * weights[:, None]).sum(0) / weights.sum().clamp(min=1)


WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def save(model: FrozenText, folder: Path) -> str:
    """Writes safetensors, config and the weights' sha256 into `folder`; returns the sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CONFIG).write_text(json.dumps({**asdict(model.config), "sha256": sha256}, indent=1))
    return sha256


def load(folder: Path) -> FrozenText:
    """Reads a saved model. Raises ValueError when the weights are not those the config was written with."""
    config = json.loads((folder / CONFIG).read_text())
    expected = config.pop("sha256")
    if hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() != expected:
        raise ValueError(f"{folder / WEIGHTS} is damaged: its sha256 is not the one in {CONFIG}.")
    model = FrozenText(FrozenTextConfig(**config))
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model
