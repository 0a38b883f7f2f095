"""CoLES (arXiv 2002.08232): slices of one user's events are near each other, those of different users apart.

As there: five random slices a user, a GRU, vectors of unit length, contrastive loss with margin 0.5 and the hardest five negatives.
Reduced: 64 places wide, the newest 64 events, slices of at least 5 events.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.baselines.cpc import Recurrent
from models.baselines.sequences import Sequences

SLICES, SHORTEST, MARGIN, HARDEST = 5, 5, 0.5, 5


class Coles(Recurrent):
    """The slices and the loss."""

    def loss(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        some = self.sequences.take(rows.repeat_interleave(SLICES))
        vectors = F.normalize(self.last(slices(some)), dim=-1)
        return contrastive_loss(vectors, rows.repeat_interleave(SLICES).to(vectors.device))

    def vectors(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        return F.normalize(super().vectors(rows), dim=-1)


def slices(some: Sequences) -> Sequences:
    """A run of events of each row, of random length and place."""
    lengths = some.lengths
    shortest = lengths.clamp(max=SHORTEST)
    room = lengths - shortest + 1
    size = shortest + (torch.rand(len(some), device=room.device) * room).long()
    start = (torch.rand(len(some), device=room.device) * (lengths - size + 1)).long()
    place = torch.arange(int(size.max()), device=room.device)
    mask = place < size[:, None]
    return some.gather(torch.where(mask, start[:, None] + place, 0), mask)


def contrastive_loss(vectors: Tensor, owner: Tensor) -> Tensor:
    """Half squared distances of pairs of one owner, and of each row's HARDEST nearest others what they lack to MARGIN, squared.

    (N, D) of unit length, (N,) -> ()
    """
    distance = (2 - 2 * vectors @ vectors.T).clamp(min=1e-9).sqrt()
    same = owner[:, None] == owner
    pairs = same.triu(1)
    near = distance[pairs].square().mean() if pairs.any() else distance.sum() * 0.0
    others = distance.masked_fill(same, torch.inf)
    hardest = others.topk(min(HARDEST, others.shape[1]), largest=False).values
    far = (MARGIN - hardest[hardest.isfinite()]).clamp(min=0).square()
    return near + far.sum() / max(1, len(far))
