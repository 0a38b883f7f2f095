"""One4all, as ShopperBERT (arXiv 2106.00573): BERT over the purchase log, which fills in the items that were masked.

As there: items are their title's vector, their category and calendar fields; masked items' category and date are predicted; the
frozen vector goes to a multilayer perceptron (U-MLP). Reduced: two layers, 64 places, the newest 64 events, one level of
categories, the day of the week as date.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.baselines.sequences import WEEK, EventEncoder, Sequences, transformer, weekday
from models.losses import masked_mean

MASKED = 0.2


class One4all(nn.Module):
    """The encoder, and a head for each field that is predicted."""

    def __init__(self, sequences: Sequences, width: int = 64, layers: int = 2):
        super().__init__()
        self.sequences = sequences
        self.items = EventEncoder(sequences.texts.shape[1], sequences.kinds, width)
        self.position = nn.Embedding(sequences.mask.shape[1], width)
        self.layers = transformer(width, layers)
        self.kind, self.date = nn.Linear(width, sequences.kinds), nn.Linear(width, WEEK)
        self.hidden = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.position.weight, std=0.02)

    def read(self, some: Sequences, hidden: Tensor | None = None) -> Tensor:
        """(B, L, d); nothing of a `hidden` (B, L) item is shown but where it stands."""
        tokens = self.items(some)
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.hidden, tokens)
        tokens = tokens + self.position.weight[: tokens.shape[1]]
        padding = ~some.mask
        padding[:, 0] = False  # attention over nothing is not a number
        return self.layers(tokens, src_key_padding_mask=padding)

    def loss(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        some = self.sequences.take(rows)
        hidden = (torch.rand(some.mask.shape, device=some.mask.device) < MASKED) & some.mask
        states = self.read(some, hidden)[hidden]
        if not len(states):
            return self.hidden.sum() * 0.0
        return F.cross_entropy(self.kind(states), some.kind[hidden].long()) + F.cross_entropy(
            self.date(states), weekday(some)[hidden]
        )

    def vectors(self, rows: Tensor) -> Tensor:
        """See `training.Rival`: the mean over the items."""
        some = self.sequences.take(rows)
        return masked_mean(self.read(some), some.mask)
