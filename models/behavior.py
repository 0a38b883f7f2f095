"""The behaviour encoder g = g_mu o g_nu of FOUND (equation 5): events to windows, windows through time, one vector a user.

A step of time is a window of some days, counted back from t1 on a full grid, so that a period of T windows is a period of time.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.histories import AMOUNTS, Groups, Histories
from models.losses import masked_mean

GAPS = 16
"""Buckets of the time since the user's event before: floor(log2(1 + hours)), the last one open."""


@dataclass(frozen=True)
class BehaviorConfig:
    """Sizes of the encoder."""

    text_dim: int
    width: int = 64
    window_days: float = 7.0
    windows: int = 26
    kind: Literal["transformer", "gru"] = "transformer"
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    channels: int = 4  # of events; the paper (section 3.1) has four


class EventEncoder(nn.Module):
    """g_mu: the mean over a window of its events' encodings, each the sum of text, channel, amount, exposure and time-gap parts.

    The text part is linear, so a text is projected once a batch, however many events carry it.
    """

    def __init__(self, config: BehaviorConfig):
        super().__init__()
        self.config = config
        self.text = nn.Linear(config.text_dim, config.width, bias=False)
        self.channel = nn.Embedding(config.channels, config.width)
        self.amount = nn.Embedding(AMOUNTS, config.width)
        self.exposed = nn.Embedding(2, config.width)
        self.gap = nn.Embedding(GAPS, config.width)
        self.volume = nn.Linear(1, config.width)
        self.mix = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.width), nn.GELU())
        self.norm = nn.LayerNorm(config.width)
        for table in (self.channel, self.amount, self.exposed, self.gap):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, histories: Histories) -> tuple[Tensor, Tensor]:
        """Window vectors z (B, W, d), the oldest window first, and which windows hold an event (B, W) bool."""
        config, users = self.config, len(histories)
        back = (histories.event_age / config.window_days).long()  # (N,) windows before t1
        kept = back < config.windows
        user = histories.event_user
        cell = user * config.windows + config.windows - 1 - back  # (N,) place on the grid
        gap = torch.zeros_like(histories.event_age)
        gap[1:] = histories.event_age[:-1] - histories.event_age[1:]
        first = torch.ones_like(kept)
        first[1:] = user[1:] != user[:-1]
        hours = torch.where(first, 0.0, gap.clamp(min=0)) * 24
        parts = (
            (self.text(histories.texts).to(self.text.weight.dtype), histories.event_text),  # under autocast, no mean in bfloat16
            (self.channel.weight, histories.event_channel),
            (self.amount.weight, histories.event_amount),
            (self.exposed.weight, histories.event_exposed.long()),
            (self.gap.weight, torch.log2(1 + hours).long().clamp(max=GAPS - 1)),
        )
        windows = Groups(cell[kept], users * config.windows)
        total = sum((windows.mean(table, rows[kept]) for table, rows in parts), torch.zeros((), device=cell.device))
        counts = windows.counts  # (BW,)
        volume = self.volume(torch.log1p(counts.to(total.dtype))[:, None])
        window = total + volume
        has_events = counts > 0
        z = self.norm(window + self.mix(window)) * has_events[:, None]
        return z.view(users, config.windows, -1), has_events.view(users, config.windows)

    def acted(self, histories: Histories) -> Tensor:
        """Windows (B, W) bool with an event by the user: what was done to the user is no act."""
        config = self.config
        back = (histories.event_age / config.window_days).long()
        own = (back < config.windows) & ~histories.event_exposed
        acted = torch.zeros((len(histories), config.windows), dtype=torch.bool, device=back.device)
        acted[histories.event_user[own], config.windows - 1 - back[own]] = True
        return acted


class BehaviorEncoder(nn.Module):
    """g_mu and g_nu. The context of a window has seen that window and the earlier ones alone."""

    def __init__(self, config: BehaviorConfig):
        super().__init__()
        self.config = config
        self.events = EventEncoder(config)
        self.position = nn.Embedding(config.windows, config.width)
        self.empty = nn.Parameter(torch.zeros(config.width))
        nn.init.normal_(self.position.weight, std=0.02)
        nn.init.normal_(self.empty, std=0.02)
        if config.kind == "gru":
            self.time = nn.GRU(config.width, config.width, config.layers, batch_first=True)
        else:
            layer = nn.TransformerEncoderLayer(
                config.width, config.heads, 4 * config.width, config.dropout, "gelu", batch_first=True, norm_first=True
            )
            self.time = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.drop = nn.Dropout(config.dropout)
        self.next_window = nn.Linear(config.width, 1)

    def forward(self, histories: Histories) -> tuple[Tensor, Tensor, Tensor]:
        """c (B, W, d), z (B, W, d) and which windows hold an event (B, W) bool.

        An empty window is a step too (silence tells something), but no target and no part of a mean.
        """
        z, has_events = self.events(histories)
        steps = self.drop(torch.where(has_events[..., None], z, self.empty) + self.position.weight)
        if self.config.kind == "gru":
            c, _ = self.time(steps)
        else:
            mask = nn.Transformer.generate_square_subsequent_mask(self.config.windows, device=steps.device, dtype=steps.dtype)
            c = self.time(steps, mask=mask, is_causal=True)
        return c, z, has_events

    def pool(self, context: Tensor, has_events: Tensor) -> Tensor:
        """e^(V) (B, d): the mean over the windows that hold an event (equation 5); zeros for a user without any."""
        return masked_mean(context, has_events)

    def acts_next(self, context: Tensor) -> Tensor:
        """Logits (B, W) that the user acts in the window after each window."""
        return self.next_window(context)[..., 0]
