"""The tabular encoder of FOUND (section 4.2.2): column embeddings through a transformer, trained to fill masked cells (equation 8)
and to tell replaced cells from true ones, with replacements drawn by a small generator.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TabularConfig:
    """Sizes of the encoder. `values` is the number of codes of each column; code 0 is "missing"."""

    values: tuple[int, ...]
    width: int = 32
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    masked: float = 0.15
    replaced_weight: float = 10.0


class Columns(nn.Module):
    """A row as F tokens: the value's embedding plus the column's, through a transformer; per-column heads over the values."""

    def __init__(self, config: TabularConfig, width: int):
        super().__init__()
        *offsets, total = itertools.accumulate(config.values, initial=0)
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.long), persistent=False)
        self.value = nn.Embedding(total, width)
        self.column = nn.Embedding(len(config.values), width)
        self.mask = nn.Parameter(torch.zeros(width))
        heads = config.heads if width % config.heads == 0 else 1
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, config.dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in config.values)
        for table in (self.value, self.column):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, cells: Tensor, masked: Tensor | None = None) -> Tensor:
        """(B, F) codes, (B, F) bool -> (B, F, d)"""
        tokens = self.value(cells + self.offsets)
        if masked is not None:
            tokens = torch.where(masked[..., None], self.mask, tokens)
        return self.layers(tokens + self.column.weight)

    def predict(self, tokens: Tensor) -> list[Tensor]:
        """Logits over each column's values: F tensors (B, V_f)."""
        return [head(tokens[:, column]) for column, head in enumerate(self.heads)]


class TabularEncoder(nn.Module):
    """e^(T) and the two pre-training tasks."""

    def __init__(self, config: TabularConfig):
        super().__init__()
        self.config = config
        self.columns = Columns(config, config.width)
        self.generator = Columns(config, max(config.width // 4, 4))
        self.replaced = nn.ModuleList(nn.Linear(config.width, 1) for _ in config.values)

    def forward(self, cells: Tensor) -> Tensor:
        """Column tokens (B, F, d); e^(T) is their mean."""
        return self.columns(cells)

    def corrupt_and_guess(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """One round of both tasks on rows (B, F), drawn by torch's global generator.

        Returns:
            The generator's logits (B, sum of values), the encoder's for the same masked cells, logits (B, F) of "replaced", which
            cells were masked (B, F) bool and which were replaced by another value (B, F) bool.
        """
        masked = torch.rand(cells.shape, device=cells.device) < self.config.masked
        guesses = self.generator.predict(self.generator(cells, masked))
        drawn = torch.stack([_draw(logits.detach()) for logits in guesses], 1)  # (B, F)
        corrupted = torch.where(masked, drawn, cells)
        tokens = self.columns(corrupted)
        detected = torch.cat([head(tokens[:, column]) for column, head in enumerate(self.replaced)], 1)  # (B, F)
        filled = self.columns.predict(self.columns(cells, masked))
        return torch.cat(guesses, 1), torch.cat(filled, 1), detected, masked, corrupted != cells


def _draw(logits: Tensor) -> Tensor:
    """A value from each row's distribution. (B, V) -> (B,)"""
    return torch.multinomial(logits.float().softmax(-1), 1)[:, 0]
