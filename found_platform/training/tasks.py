"""What the two stages train: the behaviour encoder and the tabular encoder (stage 1), and the alignment of the whole (stage 2)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from found_platform import metrics
from found_platform.training.data import TrainingData
from found_platform.training.loop import LateQueries, Outputs, Task
from models.behavior import BehaviorConfig, BehaviorEncoder
from models.found import Found, FoundConfig, frozen_projection
from models.losses import (
    alignment_loss,
    anchor_loss,
    cpc_loss,
    cyclic_contrast_loss,
    cyclic_loss,
    masked_value_loss,
    next_window_loss,
    replaced_token_loss,
    targeting_loss,
)
from models.tabular import TabularEncoder

HELD_OUT_ROWS = 1000
"""Held-out rows that a figure is taken over: "the true description among 1,000"."""

HELD_OUT_PHRASES = 128

SCALED_BY = 262_144
"""Rows, at most, whose activity gives the scale of everybody's."""

ALIKE = 0.6
"""Cosine of two texts, in the frozen start's space, from which they are of the same thing."""


def model_of(stage: str, config: FoundConfig) -> nn.Module:
    """What a stage trains, newly made. Raises ValueError where the model has no such part."""
    if stage == "behavior":
        if config.behavior is None:
            raise ValueError("the model has no behaviour encoder to train: model.behavior is null")
        return BehaviorStage(config.behavior)
    if stage == "tabular":
        if config.tabular is None:
            raise ValueError("the model has no tabular encoder to train: model.tabular is null")
        return TabularEncoder(config.tabular)
    return Found(config)


def task_of(model: nn.Module, data: TrainingData, losses: dict[str, Any]) -> Task:
    """The training of a model that `model_of` made, with weights of the parts of its loss."""
    if isinstance(model, BehaviorStage):
        return BehaviorTask(data, model, BehaviorLosses(**losses))
    if isinstance(model, TabularEncoder):
        return TabularTask(data, model)
    assert isinstance(model, Found)
    return AlignTask(data, model, AlignLosses(**losses))


@dataclass(frozen=True)
class BehaviorLosses:
    """Weights of the parts of the behaviour encoder's loss; 0 leaves a part out."""

    ahead: int = 3  # k of equation 6, in windows
    period: int = 4  # T of equation 7, in windows
    cyclic: float = 0.1  # lambda of equation 7
    cyclic_contrast: float = 0.0  # InfoNCE between windows a period apart
    next_window: float = 0.5  # will the user act in the next window
    event_dropout: float = 0.1


class BehaviorTask:
    """Stage 1 of behaviour sequences: equations 5 to 7."""

    def __init__(self, data: TrainingData, model: "BehaviorStage", losses: BehaviorLosses):
        self.data, self.model, self.weights = data, model, losses
        _, projection = frozen_projection(data.text_vectors, data.text_counts, model.encoder.config.width, 0.25)
        self.model.encoder.events.text.weight.data.copy_(projection)
        self.rows = data.training_rows(described=False)
        self._held_out = data.held_out_rows(described=False)[:256]

    def late_queries(self, _: Tensor) -> None:
        return None

    def outputs(self, rows: Tensor, _: LateQueries | None = None, /) -> Outputs:
        histories, _used = self.data.histories(rows, self.weights.event_dropout if self.model.training else 0.0)
        encoder, histories = self.model.encoder, histories.to(self.model.scale.device)
        context, targets, has_events = encoder(histories)
        return context, targets, has_events, encoder.acts_next(context), encoder.events.acted(histories)

    def losses(self, outputs: Outputs, rows: Tensor) -> dict[str, Tensor]:
        context, targets, has_events, acts, acted = (o.float() if o.is_floating_point() else o for o in outputs)
        weights = self.weights
        scale = self.model.scale.clamp(max=4.6052).exp()
        parts = {"cpc": cpc_loss(context, targets, has_events, weights.ahead, scale)}
        if weights.cyclic:
            parts["cyclic"] = weights.cyclic * cyclic_loss(context, has_events, weights.period)
        if weights.cyclic_contrast:
            parts["cyclic_contrast"] = weights.cyclic_contrast * cyclic_contrast_loss(context, has_events, weights.period, scale)
        if weights.next_window:
            parts["next_window"] = weights.next_window * next_window_loss(acts, acted)
        return parts

    def held_out(self) -> dict[str, float]:
        if not len(self._held_out):
            return {"score": 0.0}
        parts = {k: float(v) for k, v in self.losses(self.outputs(self._held_out), self._held_out).items()}
        return {"score": -sum(parts.values()), **parts}


class BehaviorStage(nn.Module):
    """The encoder and the temperature of its loss."""

    def __init__(self, config: BehaviorConfig):
        super().__init__()
        self.encoder = BehaviorEncoder(config)
        self.scale = nn.Parameter(torch.tensor(1 / 0.07).log())


class TabularTask:
    """Stage 1 of the table: equation 8 and replaced-token detection."""

    def __init__(self, data: TrainingData, model: TabularEncoder):
        self.data, self.model = data, model
        self.rows = data.training_rows(described=False)
        self._held_out = data.held_out_rows(described=False)[:HELD_OUT_ROWS]

    def late_queries(self, _: Tensor) -> None:
        return None

    def outputs(self, rows: Tensor, _: LateQueries | None = None, /) -> Outputs:
        device = next(self.model.parameters()).device
        return self.model.corrupt_and_guess(self.data.cells[rows].long().to(device))

    def losses(self, outputs: Outputs, rows: Tensor) -> dict[str, Tensor]:
        guessed, filled, detected, masked, replaced = outputs
        cells = self.data.cells[rows].long().to(guessed.device)
        sizes = list(self.model.config.values)
        return {
            "masked_value": masked_value_loss(list(filled.float().split(sizes, 1)), cells, masked),
            "generator": masked_value_loss(list(guessed.float().split(sizes, 1)), cells, masked),
            "replaced": self.model.config.replaced_weight * replaced_token_loss(detected.float(), replaced),
        }

    def held_out(self) -> dict[str, float]:
        if not len(self._held_out):
            return {"score": 0.0}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            parts = {k: float(v) for k, v in self.losses(self.outputs(self._held_out), self._held_out).items()}
        return {"score": -sum(parts.values()), **parts}


@dataclass(frozen=True)
class AlignLosses:
    """Weights of the parts of the alignment's loss; 0 leaves a part out. All are over the whole batch, however it is cut."""

    margin: float = 0.1  # descriptions nearer than this are no negatives; 0 filters nothing
    anchor: float = 1.0  # pull of both sides towards the frozen text space
    late: float = 0.5  # the second scoring head, by late interaction
    phrases: float = 0.0  # a phrase of a future tells who will do something like it: what a demand asks
    cross_modality: float = 0.0  # behaviour and searches of one user are a pair
    event_dropout: float = 0.3
    tune_encoders: bool = False  # stage 2 also moves the encoders of stage 1


class AlignTask:
    """Stage 2: equation 13 between users and descriptions of their futures."""

    def __init__(self, data: TrainingData, model: Found, losses: AlignLosses, whitening: float = 0.25):
        self.data, self.model, self.weights = data, model, losses
        self.rows = data.training_rows(described=True)
        center, projection = frozen_projection(data.text_vectors, data.text_counts, model.config.dim, whitening)
        model.begin(center, projection, data.activity[data.training_rows(described=False)[:SCALED_BY]])
        for encoder in (model.behavior, model.tabular):
            if encoder is not None:
                encoder.requires_grad_(losses.tune_encoders)
        had = torch.zeros(len(data.text_vectors), dtype=torch.long)  # (T,) in futures of the training folds
        for part in self.rows.parts():
            had += torch.bincount(data.items(part)[1], minlength=len(had))
        self._rarity = torch.where(had > 0, had.float().clamp(min=1) ** -0.5, 0.0)
        held_out = data.held_out_rows(described=True)
        self._held_out = held_out.shuffled(0, 0, HELD_OUT_ROWS)
        chances = had * self._rarity
        count = min(HELD_OUT_PHRASES, int((chances > 0).sum()))
        drawn = torch.multinomial(chances, count, generator=torch.Generator().manual_seed(0)) if count else had[:0]
        self._held_out_phrases = drawn

    def late_queries(self, rows: Tensor) -> Tensor:
        """(b, K) the sentences about the rows' futures."""
        if self.model.description_tower is not None:
            return self.model.describe(self.data.descriptions(rows))
        return self.model.sentences(self.data.futures(rows).to(self.model.scale.device))

    def outputs(self, rows: Tensor, requested: LateQueries | None = None, /) -> Outputs:
        model, training = self.model, self.model.training
        sentences, everyones = requested or (self.late_queries(rows),) * 2
        histories, used = self.data.histories(rows, self.weights.event_dropout if training else 0.0)
        histories = histories.to(model.scale.device)
        if model.event_tower is not None:
            histories.texts = model.event_tower([self.data.texts[i] for i in used.tolist()]).float()
        states = model(histories)
        futures = self.data.futures(rows).to(model.scale.device)
        sentence_start = F.normalize(F.linear(futures - model.center, model.start), dim=-1)
        late = sentences.new_zeros(len(rows), 1)
        if self.weights.late and training:
            late = model.late_scores(histories, everyones.detach())  # (b, B)
        phrases, queries = torch.zeros_like(rows), sentences.new_zeros(len(rows), 1)
        if self.weights.phrases and training:
            phrases = self.data.phrases(rows, self._rarity)
            queries = self._queries(phrases)
        phrases = phrases.to(sentences.device)  # processes exchange what lies where the model does
        shared = _shared(states.shared, sentences)
        return states.aligned, sentences, states.start, sentence_start, late, futures, *shared, phrases, queries

    def losses(self, outputs: Outputs, rows: Tensor) -> dict[str, Tensor]:
        *floats, phrases, queries = outputs
        aligned, sentences, start, sentence_start, late, futures, behavior, search = (o.float() for o in floats)
        weights, model = self.weights, self.model
        owner = self.data.owner[rows].to(aligned.device)
        frozen = futures - model.center if weights.margin else None
        parts = {
            "alignment": alignment_loss(aligned, sentences, model.temperature, frozen=frozen, margin=weights.margin, owner=owner)
        }
        if weights.anchor:
            parts["anchor"] = weights.anchor * (anchor_loss(sentences, sentence_start) + anchor_loss(aligned, start))
        if weights.late and model.training:
            parts["late"] = weights.late * _late_loss(late, owner)
        if weights.phrases:
            scores = model.temperature * aligned @ queries.float().T
            parts["phrases"] = weights.phrases * targeting_loss(scores, self._will(rows, phrases.cpu()))
        both = (behavior.abs().sum(1) > 0) & (search.abs().sum(1) > 0)
        if weights.cross_modality and both.sum() > 1:
            pair = alignment_loss(behavior[both], search[both], model.temperature, owner=owner[both])
            parts["cross_modality"] = weights.cross_modality * pair
        return parts

    def held_out(self) -> dict[str, float]:
        if len(self._held_out) < 2:
            return {"score": 0.0}
        outs = [self.outputs(part) for part in self._held_out.split(256)]
        aligned, sentences, start, sentence_start = (torch.cat(column).float() for column in list(zip(*outs, strict=True))[:4])
        owner = self.data.owner[self._held_out].to(aligned.device)
        figures = retrieval(aligned, sentences, owner)
        frozen = retrieval(start, sentence_start, owner)
        score = figures["auc"]
        if self.weights.phrases and len(self._held_out_phrases):
            will = self._will(self._held_out, self._held_out_phrases)
            figures["phrase_auc"] = targeting_auc(aligned @ self._queries(self._held_out_phrases).float().T, will)
            frozen["phrase_auc"] = targeting_auc(start @ self._frozen(self._held_out_phrases).T, will)
            score = (score + figures["phrase_auc"]) / 2
        return {"score": score, **figures, **{f"frozen_{k}": v for k, v in frozen.items()}}

    def _queries(self, texts: Tensor) -> Tensor:
        """(P, K) phrases, which are texts (P,), as the model reads sentences."""
        model = self.model
        if model.description_tower is not None:
            return model.describe([self.data.texts[i] for i in texts.tolist()])
        return model.sentences(self.data.text_vectors[texts].float().to(model.scale.device))

    def _frozen(self, texts: Tensor) -> Tensor:
        """(P, K) the same where training began, unit length."""
        model = self.model
        vectors = self.data.text_vectors[texts].float().to(model.scale.device)
        return F.normalize(F.linear(vectors - model.center, model.start), dim=-1)

    def _will(self, rows: Tensor, phrases: Tensor) -> Tensor:
        """(B, P) bool: whose future holds something like a phrase."""
        row, text = self.data.items(rows)
        used, place = torch.unique(text, return_inverse=True)
        alike = self._frozen(used) @ self._frozen(phrases).T > ALIKE  # (T', P)
        will = torch.zeros((len(rows), len(phrases)), device=alike.device)
        return will.index_add_(0, row.to(alike.device), alike[place.to(alike.device)].float()) > 0


def _late_loss(scores: Tensor, owner: Tensor) -> Tensor:
    """Equation 13's form over the scores of late interaction (B, B), both ways."""
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    scores = scores.float().masked_fill((owner[:, None] == owner) & ~own, -torch.inf)
    return -(F.log_softmax(scores, 1).diagonal() + F.log_softmax(scores, 0).diagonal()).mean() / 2


def _shared(shared: dict[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Behaviour and search of each user in the fusion's space, zeros (B, 1) where the model has none."""
    none = like.new_zeros(len(like), 1)
    if not {"behavior", "search"} <= shared.keys():
        return none, none
    return shared["behavior"], shared["search"]


def targeting_auc(scores: Tensor, will: Tensor) -> float:
    """How well users are ranked for phrases: the mean AUC over the phrases that somebody will do and somebody will not.

    (N, P) scores, (N, P) bool
    """
    values = metrics.auc_by_user(scores.float().cpu().numpy(), will.cpu().numpy())
    return 0.0 if values is None else float(values.mean())


def retrieval(users: Tensor, sentences: Tensor, owner: Tensor) -> dict[str, float]:
    """How well users (N, K) find their own description (N, K) among all: recall@10, mean reciprocal rank, and the share of others
    that are farther away. Other rows of the same owner are no candidates."""
    ranking = metrics.retrieval(users @ sentences.T, owner)
    return {
        "recall_at_10": ranking.recall(10),
        "mrr": ranking.reciprocal_rank,
        "auc": float(ranking.placements.mean()),
        "candidates": float(len(users)),
    }
