"""MSDP (CIKM 2023): how a user's behaviour will be distributed over its types in a random window of the future.

As there: the history up to a random moment T, the length W of the window (T, T + W] as a prompt token, cross-entropy with the
distribution that came, and the cosine of a masked and an unmasked view. Every window ends before the cutoff. Reduced: two layers,
64 places, the newest 64 events before the cutoff, windows of 7, 14 and 28 days. A user's vector is the mean of the prompts' states.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.baselines.sequences import EventEncoder, Sequences, transformer

WINDOWS = (7.0, 14.0, 28.0)
"""Days."""
MASKED = 0.2
FADE = 30.0
"""Days by which ages are scaled, on a log scale, before they enter."""


class Msdp(nn.Module):
    """The encoder, the prompts and the head."""

    def __init__(self, sequences: Sequences, width: int = 64, layers: int = 2):
        super().__init__()
        self.sequences = sequences
        self.events = EventEncoder(sequences.texts.shape[1], sequences.kinds, width)
        self.prompt = nn.Embedding(len(WINDOWS), width)
        self.age = nn.Linear(1, width)
        self.layers = transformer(width, layers)
        self.head = nn.Linear(width, sequences.kinds + 1)  # the last type: nothing

    def states(self, some: Sequences, before: Tensor, moment: Tensor, window: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, d) the state of the prompt of `window` (B,): it has seen the events `before` (B, L) a `moment` (B,), in days ago."""
        age = torch.log1p((some.age - moment[:, None]).clamp(min=0) / FADE)
        tokens = torch.cat([self.prompt(window)[:, None], self.events(some, hidden) + self.age(age[..., None])], 1)
        seen = torch.cat([before.new_ones(len(before), 1), before], 1)
        return self.layers(tokens, src_key_padding_mask=~seen)[:, 0]

    def loss(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        some = self.sequences.take(rows)
        window = torch.randint(len(WINDOWS), (len(some),), device=some.mask.device)
        days = torch.tensor(WINDOWS, device=window.device)[window]
        oldest = (some.age * some.mask).amax(1)
        moment = days + torch.rand(len(some), device=days.device) * (oldest - days).clamp(min=0)  # days ago, the window still past
        before = some.mask & (some.age >= moment[:, None])
        after = some.mask & ~before & (some.age >= (moment - days)[:, None])
        came = some.texts.new_zeros(len(some), self.head.out_features)
        came.scatter_add_(1, some.kind.long(), after.to(came.dtype))
        came[:, -1] = ~after.any(1)
        came = came / came.sum(1, keepdim=True)
        whole = self.states(some, before, moment, window)
        hidden = torch.rand(before.shape, device=before.device) < MASKED
        masked = self.states(some, before, moment, window, hidden)
        view = 1 - F.cosine_similarity(whole, masked, dim=-1).mean()
        return F.cross_entropy(self.head(whole), came) + view

    def vectors(self, rows: Tensor) -> Tensor:
        """See `training.Rival`."""
        some = self.sequences.take(rows)
        zeros = some.age.new_zeros(len(some))
        prompts = [torch.full((len(some),), i, device=zeros.device) for i in range(len(WINDOWS))]
        return torch.stack([self.states(some, some.mask, zeros, prompt) for prompt in prompts]).mean(0)
