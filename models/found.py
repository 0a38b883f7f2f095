"""FOUND: encoders, fusion and the two sides that alignment brings together (WWW 2025, figure 2).

A user is [aligned | stage 1, where it is stored | activity]; a sentence is a query on the first part. The aligned part starts as
the frozen text mean, projected: what alignment learns is added to it, so a model that learned nothing ranks as the frozen one does.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import weights
from models.behavior import BehaviorConfig, BehaviorEncoder
from models.frozen_text import FrozenText, FrozenTextConfig
from models.fusion import CrossAttentionFusion
from models.histories import Histories, pad
from models.losses import masked_mean
from models.table_codec import Column
from models.tabular import TabularConfig, TabularEncoder
from models.text_tower import TextTower, TowerConfig


@dataclass(frozen=True)
class FoundConfig:
    """Sizes and parts. A modality that is None or False is left out."""

    encoder: str  # the frozen text encoder, by name for `load_text_encoder`
    encoder_revision: str
    text_dim: int
    dim: int  # of the aligned space
    activity: int  # number of activity features; 0 leaves them out
    behavior: BehaviorConfig | None
    tabular: TabularConfig | None
    searches: int = 64  # newest searches that enter; 0 leaves the modality out
    common: bool = False  # all sentences share a learned direction: users who do much of anything turn to it
    stage1_stored: bool = True  # the vector of stage 1 lies beside the aligned one in what is stored of a user
    fusion_layers: int = 1
    width: int = 64  # of the fusion
    heads: int = 4
    dropout: float = 0.1
    columns: tuple[Column, ...] = ()
    event_tower: TowerConfig | None = None  # trained encoder of event texts, in place of frozen vectors
    channels: int = 4  # of events
    search_channel: int = 3  # which of them holds the searches, a modality of its own
    description_tower: TowerConfig | None = None  # trained encoder of descriptions, in place of frozen vectors
    kind: str = field(default="found", init=False)

    @property
    def learned(self) -> int:
        """Places of a stored vector that were learned, first of all: the aligned part, and that of stage 1."""
        return self.dim + (self.behavior.width if self.behavior and self.stage1_stored else 0)


@dataclass
class States:
    """What the encoders make of B users."""

    context: Tensor | None  # (B, W, d) c of every window
    targets: Tensor | None  # (B, W, d) z of every window
    windows: Tensor | None  # (B, W) bool, which hold an event
    behavior: Tensor | None  # (B, d) e^(V)
    table: Tensor | None  # (B, d') e^(T)
    search: Tensor | None  # (B, d'') e^(R)
    shared: dict[str, Tensor]  # (B, width) mean token of behaviour and of search as the fusion sees them; zeros where absent
    start: Tensor  # (B, K) the frozen mean of own texts, projected; unit length or zeros
    aligned: Tensor  # (B, K) unit length, zeros for a user who has done nothing


class Found(nn.Module):
    """The whole model."""

    center: Tensor
    start: Tensor
    activity_mean: Tensor
    activity_scale: Tensor

    def __init__(self, config: FoundConfig):
        super().__init__()
        if not (config.behavior or config.tabular or config.searches or config.activity):
            raise ValueError("behavior, tabular, searches and activity are all left out: a user needs one of them.")
        self.config = config
        width = config.width
        self.event_tower = TextTower(config.event_tower) if config.event_tower else None
        if self.event_tower is not None and self.event_tower.dim != config.text_dim:
            raise ValueError(
                f"The event tower makes vectors of {self.event_tower.dim} dimensions and text_dim is {config.text_dim}: "
                "the tower takes the place of the frozen vectors, so both must be of one size."
            )
        self.description_tower = TextTower(config.description_tower) if config.description_tower else None
        self.behavior = BehaviorEncoder(config.behavior) if config.behavior else None
        self.tabular = TabularEncoder(config.tabular) if config.tabular else None
        self.behavior_tokens = nn.Linear(config.behavior.width, width) if config.behavior else None
        self.table_tokens = nn.Linear(config.tabular.width, width) if config.tabular else None
        self.search_tokens = nn.Linear(config.text_dim, width) if config.searches else None
        self.search_age = nn.Linear(1, width) if config.searches else None
        self.activity_tokens = nn.Linear(config.activity, width) if config.activity else None
        self.fusion = CrossAttentionFusion(width, config.fusion_layers, config.heads, config.dropout)
        self.user = nn.Linear(config.text_dim, config.dim, bias=False)
        self.fused = nn.Linear(width, config.dim)
        nn.init.zeros_(self.fused.weight)
        nn.init.zeros_(self.fused.bias)
        described = self.description_tower.dim if self.description_tower else config.text_dim
        self.sentence = nn.Linear(described, config.dim, bias=False)
        self.common = nn.Parameter(torch.zeros(config.dim)) if config.common else None
        self.scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        self.late = LateInteraction(config.channels, config.search_channel)
        self.register_buffer("center", torch.zeros(config.text_dim))
        self.register_buffer("start", torch.zeros(config.dim, config.text_dim))
        self.register_buffer("activity_mean", torch.zeros(config.activity))
        self.register_buffer("activity_scale", torch.ones(config.activity))

    @property
    def temperature(self) -> Tensor:
        """One over the temperature, at most 100."""
        return self.scale.clamp(max=4.6052).exp()

    @property
    def begins_frozen(self) -> tuple[str, ...]:
        """Parameters that `begin` sets to the frozen text space; a description tower has a space of its own."""
        return ("user.weight",) if self.description_tower is not None else ("user.weight", "sentence.weight")

    @torch.no_grad()
    def begin(self, center: Tensor, projection: Tensor, activity: Tensor) -> None:
        """Sets the frozen start: the centre (E,), the projection (K, E) of both sides, and the activity rows (N, A) to scale by."""
        self.center.copy_(center)
        self.start.copy_(projection)
        self.user.weight.copy_(projection)
        if self.description_tower is None:
            self.sentence.weight.copy_(projection)
        logged = _log(activity[:, : self.config.activity])
        self.activity_mean.copy_(logged.mean(0))
        self.activity_scale.copy_(
            logged.std(0).clamp(min=1e-3) if len(logged) > 1 and logged.numel() else torch.ones_like(self.activity_scale)
        )

    def activities(self, histories: Histories) -> Tensor:
        """(B, A) activity features on a log scale, standardised."""
        return (_log(histories.activity[:, : self.config.activity]) - self.activity_mean) / self.activity_scale

    def forward(self, histories: Histories) -> States:
        """The encoders (equation 5; the table's; equation 10, searches as tokens with their age) and their fusion (equation 11)."""
        mean, has_history = histories.own_mean()
        centred = (mean - self.center) * has_history[:, None]
        tokens: list[Tensor | None] = [None, None, None]
        masks: list[Tensor | None] = [None, None, None]
        context = targets = windows = behavior = table = search = None
        shared: dict[str, Tensor] = {}
        if self.behavior is not None and self.behavior_tokens is not None:
            context, targets, windows = self.behavior(histories)
            behavior = self.behavior.pool(context, windows)
            tokens[0], masks[0] = self.behavior_tokens(context), windows
            shared["behavior"] = masked_mean(tokens[0], windows)
        rows = []  # of the table (B, ., width)
        if self.activity_tokens is not None:
            rows.append(self.activity_tokens(self.activities(histories))[:, None])  # the counts are columns too, exactly
        if self.tabular is not None and self.table_tokens is not None:
            columns = self.tabular(histories.cells)
            table = columns.mean(1)
            rows.append(self.table_tokens(columns))
        if rows:
            tokens[1] = torch.cat(rows, 1)
            masks[1] = torch.ones(tokens[1].shape[:2], dtype=torch.bool, device=tokens[1].device)
        if self.search_tokens is not None and self.search_age is not None:
            vectors = histories.texts[histories.search_text] - self.center
            age = self.search_age(torch.log1p(histories.search_age)[:, None])
            queries = torch.cat([self.search_tokens(vectors) + age, vectors], 1)
            most = min(self.config.searches, max(1, *histories.search_counts.tolist())) if len(histories) else 1
            padded, masks[2] = pad(queries, histories.search_counts, most)
            tokens[2] = padded[..., : self.config.width]
            search = masked_mean(padded[..., self.config.width :], masks[2])
            shared["search"] = masked_mean(tokens[2], masks[2])
        start = F.normalize(F.linear(centred.detach(), self.start), dim=-1)
        fused = self.fused(self.fusion(tokens, masks))
        both = F.normalize(self.user(centred), dim=-1) + fused
        # Unit length of nearly nothing has a gradient of nearly any size: who has done nothing is zeros, and teaches nothing.
        aligned = F.normalize(torch.where(has_history[:, None], both, 0.0), dim=-1, eps=1e-3) * has_history[:, None]
        return States(context, targets, windows, behavior, table, search, shared, start, aligned)

    def users(self, histories: Histories) -> Tensor:
        """What is stored of a user (B, K + d + A): aligned and stage 1 of unit length, activity standardised."""
        states = self(histories)
        stored = self.config.stage1_stored
        stage1 = [F.normalize(states.behavior, dim=-1)] if stored and states.behavior is not None else []
        return torch.cat([states.aligned, *stage1, self.activities(histories)], 1)

    def stage1(self, histories: Histories) -> Tensor:
        """The vector of stage 1 (B, d), of unit length, whether it is stored or not; d is 0 without a behaviour encoder."""
        states = self(histories)
        return states.aligned[:, :0] if states.behavior is None else F.normalize(states.behavior, dim=-1)

    def concatenation(self, histories: Histories) -> Tensor:
        """The modalities side by side, unaligned: [e^(V) | e^(T) | e^(R)], each of unit length."""
        states = self(histories)
        parts = [e for e in (states.behavior, states.table, states.search) if e is not None]
        return torch.cat([states.aligned[:, :0], *(F.normalize(e, dim=-1) for e in parts)], 1)

    def sentences(self, vectors: Tensor) -> Tensor:
        """Equation 12: e^(q) (B, K), unit length, of sentences by their frozen vectors (B, E) or the description tower's."""
        centred = vectors if self.description_tower is not None else vectors - self.center
        own = F.normalize(self.sentence(centred), dim=-1)
        return own if self.common is None else F.normalize(own + self.common, dim=-1)

    def describe(self, texts: Sequence[str]) -> Tensor:
        """Equation 12: e^(q) (B, K) of B texts, through the description tower."""
        assert self.description_tower is not None
        return self.sentences(self.description_tower(texts))

    def frozen_text(self) -> FrozenText:
        """The model this one started from: the frozen mean, not projected."""
        config = self.config
        return FrozenText(FrozenTextConfig(config.encoder, config.encoder_revision, config.text_dim), self.center)

    def late_scores(self, histories: Histories, queries: Tensor) -> Tensor:
        """Scores (B, Q) by late interaction: every event is asked by every query (Q, K) before anything is averaged."""
        texts = F.normalize(self.user(histories.texts - self.center), dim=-1)
        return self.late(histories, texts @ queries.T)


class LateInteraction(nn.Module):
    """Query-conditioned pooling over cached event tokens: how much a user did that resembles the query, newer weighing more.

    A text counts by a sigmoid of its cosine with the query, an event by its channel and age; the sum over a user's events is taken
    to a log scale, so that a minority interest is not drowned by what else they do.
    """

    def __init__(self, channels: int = 4, search_channel: int = 3) -> None:
        super().__init__()
        self.search_channel = search_channel
        self.floor = nn.Parameter(torch.tensor(0.45))
        self.sharpness = nn.Parameter(torch.tensor(12.0))
        self.channel = nn.Parameter(torch.zeros(channels))
        self.exposed = nn.Parameter(torch.tensor(-3.0))
        self.decay = nn.Parameter(torch.tensor(30.0).log())
        self.steady = nn.Parameter(torch.tensor(0.0))

    def forward(self, histories: Histories, cosines: Tensor) -> Tensor:
        """(T, Q) cosines of texts and queries -> (B, Q)"""
        hits = torch.sigmoid(self.sharpness * (cosines.to(self.floor.dtype) - self.floor))  # (T, Q)
        text = torch.cat([histories.event_text, histories.search_text])
        age = torch.cat([histories.event_age, histories.search_age])
        user = torch.cat([histories.event_user, histories.search_user])
        searches = torch.full_like(histories.search_text, self.search_channel)
        channel = self.channel[torch.cat([histories.event_channel, searches])]
        exposed = torch.cat([histories.event_exposed, torch.zeros_like(searches, dtype=torch.bool)])
        fresh = torch.exp(-age / self.decay.exp()) + torch.sigmoid(self.steady)
        weight = torch.exp(channel + self.exposed * exposed) * fresh
        order = torch.argsort(user, stable=True)
        counts = torch.bincount(user, minlength=len(histories))
        offsets = torch.cumsum(counts, 0) - counts
        total = F.embedding_bag(text[order], hits, offsets, mode="sum", per_sample_weights=weight[order])  # (B, Q)
        return torch.log(total + 0.05)


def _log(activity: Tensor) -> Tensor:
    return torch.log1p(activity.abs()) * activity.sign()


SPANNED = 1e-6
"""A direction with less variance, beside the first one's, is the rounding of float16 and no direction of the texts."""


def frozen_projection(texts: Tensor, counts: Tensor, dim: int, whitening: float) -> tuple[Tensor, Tensor]:
    """The centre (E,) of the texts a history holds, and the projection (dim, E) onto their main directions.

    Directions with little variance are raised by `variance ** -whitening`: what all texts share otherwise drowns what tells them
    apart. Texts count by the logarithm of how many users' histories hold them. Where `dim` exceeds what the texts span, the rest
    is 0. A text that no user of the training folds has does not enter.

    Args:
        texts: (T, E) frozen vectors.
        counts: (T,) users of the training folds with the text.
    """
    held = counts > 0
    texts, counts = texts[held], counts[held].double()
    size = texts.shape[1]
    total, covariance = torch.zeros(size, dtype=torch.float64), torch.zeros((size, size), dtype=torch.float64)
    parts = list(zip(texts.split(65536), counts.split(65536), strict=True))  # in float64: rounding is no direction of its own
    for part, count in parts:
        total += (part.double() * count[:, None]).sum(0)
    center = total / counts.sum().clamp(min=1)
    for part, count in parts:
        centred = part.double() - center
        covariance += (centred * torch.log1p(count)[:, None]).T @ centred
    variance, directions = torch.linalg.eigh(covariance / torch.log1p(counts).sum().clamp(min=1e-6))
    variance, directions = variance.flip(0), directions.flip(1)
    kept = min(dim, int((variance > max(SPANNED * float(variance[0]), 1e-15)).sum()))
    projection = torch.zeros(dim, size)
    projection[:kept] = (directions[:, :kept] / variance[:kept] ** whitening).T.float()
    return center.float(), projection / projection.norm().clamp(min=1e-6) * kept**0.5


def rebuild(config: dict[str, Any]) -> FoundConfig:
    """A configuration from its JSON form. Raises TypeError that names what it does not know."""
    nested = {"behavior": BehaviorConfig, "event_tower": TowerConfig, "description_tower": TowerConfig}
    values = {k: v for k, v in config.items() if k != "kind"}
    for name, kind in nested.items():
        values[name] = kind(**values[name]) if values.get(name) else None
    if values.get("tabular"):
        values["tabular"] = TabularConfig(**{**values["tabular"], "values": tuple(values["tabular"]["values"])})
    values["columns"] = tuple(
        Column(c["name"], tuple(c["edges"]), None if c["values"] is None else tuple(c["values"])) for c in values.get("columns", ())
    )
    return FoundConfig(**values)


def learned_state(model: nn.Module) -> dict[str, Tensor]:
    """What a version has to keep: buffers and trained parameters. Frozen weights of a text tower are found again by name."""
    towers = ("event_tower.", "description_tower.")
    frozen = {name for name, p in model.named_parameters() if name.startswith(towers) and not p.requires_grad}
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name not in frozen}


def save(model: Found, folder: Path) -> str:
    """Writes safetensors, config and the weights' sha256 into `folder`; returns the sha256."""
    return weights.save(learned_state(model), asdict(model.config), folder)


def load(folder: Path) -> Found:
    """Reads a saved model. Raises ValueError when the weights are not those the config was written with."""
    config, state = weights.load(folder)
    model = Found(rebuild(config))
    if different := learned_state(model).keys() ^ state.keys():
        raise ValueError(f"{folder} holds other weights than its config asks for: {', '.join(sorted(different)[:5])}.")
    model.load_state_dict(state, strict=False)
    return model.eval()
