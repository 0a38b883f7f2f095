"""Contrastive predictive coding (arXiv 1807.03748): from what a GRU has read, tell the next events from those of other users.

As there: a causal context, one linear head for each step ahead, InfoNCE by inner product. Reduced: 64 places wide, the newest 64
events, 40 negatives shared by a user's steps. Negatives are never of the user's own, so none can be the future that is asked for.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.baselines.sequences import EventEncoder, Sequences


class Recurrent(nn.Module):
    """Events through a GRU; the last state is the user's vector."""

    def __init__(self, sequences: Sequences, width: int = 64):
        super().__init__()
        self.sequences = sequences
        self.events = EventEncoder(sequences.texts.shape[1], sequences.kinds, width)
        self.time = nn.GRU(width, width, batch_first=True)

    def read(self, some: Sequences) -> tuple[Tensor, Tensor]:
        """The events z (B, L, d) and the contexts c (B, L, d), each of which has seen nothing later."""
        z = self.events(some)
        return z, self.time(z)[0]

    def last(self, some: Sequences) -> Tensor:
        """(B, d) the context of each user's last event, zeros for a user without any."""
        _, c = self.read(some)
        place = (some.lengths - 1).clamp(min=0)
        return c[torch.arange(len(c), device=c.device), place] * some.mask[:, :1]

    def vectors(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        return self.last(self.sequences.take(rows))


class Cpc(Recurrent):
    """The heads and the loss."""

    def __init__(self, sequences: Sequences, width: int = 64, ahead: int = 6, negatives: int = 40):
        super().__init__(sequences, width)
        self.negatives = negatives
        self.heads = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(ahead))

    def loss(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        some = self.sequences.take(rows)
        z, c = self.read(some)
        others = z.flatten(0, 1)[self._others(some.mask)]  # (B, N, d)
        total, count = z.sum() * 0.0, 0
        for k, head in enumerate(self.heads, 1):
            both = some.mask[:, k:]  # padding is at the end: the context is there where the k-th event after it is
            if not both.any():
                break
            predicted = head(c[:, :-k])  # (B, L - k, d)
            own = (predicted * z[:, k:]).sum(-1, keepdim=True)
            logits = torch.cat([own, predicted @ others.transpose(1, 2)], -1)[both]
            total = total + F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="sum")
            count += len(logits)
        return total / max(1, count)

    def _others(self, mask: Tensor) -> Tensor:
        """(B, N) long: events of other users, drawn by chance, as places in the flat batch."""
        events = torch.nonzero(mask.flatten())[:, 0]
        counts = mask.sum(1)
        start = counts.cumsum(0) - counts
        room = (len(events) - counts).clamp(min=1)
        drawn = (torch.rand(len(mask), self.negatives, device=mask.device) * room[:, None]).long()
        drawn = torch.where(drawn >= start[:, None], drawn + counts[:, None], drawn)  # past the user's own
        return events[drawn.clamp(max=len(events) - 1)]
