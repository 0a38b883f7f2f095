"""The promotion gate: is a version good enough for service, judged on a past window without any label.

At t1, one horizon before the cutoff, each held-out user's vector is compared with what that user and the others did in
`[t1, cutoff)`. A version passes when a user's own future is nearer than another's more often than chance allows. Where anything
was learned, it must not be worse than the frozen-text model it started from, beyond chance: neither at finding own futures nor at
ranking users for phrases, which is what a model is for. Where nothing was learned there is nothing that could be wrong: the
frozen-text model passes, or it is not judged, and then it serves where no other version does.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import lake, metrics, registry
from found_platform.contract import HELD_OUT_FOLD, MIN_HELD_OUT, midnight
from found_platform.embedding.sentences import embed_sentences
from found_platform.embedding.users import texts_of, vectors_of
from found_platform.registry import LoadedModel, Verdict
from found_platform.settings import Settings
from found_platform.training_data import histories, text_vectors
from found_platform.training_data.histories import Texts

if TYPE_CHECKING:
    from models.saved import Model

SIGMAS = 1.96

FEW_USERS = 30
"""Held-out users under which an interval that holds one half is no verdict: of so few even a good model may miss it."""

PHRASES = 128
"""Texts of the window that users are ranked for, rare ones rather than common ones."""

ALIKE = 0.6
"""Cosine of two frozen texts from which they are of the same thing."""


def unjudgeable(settings: Settings, cutoff: dt.date) -> str | None:
    """Why no trained model of a cutoff can be judged, known before any is trained; None where one can.

    Held-out users decide, and users of the other folds are what a model learns from: `MIN_HELD_OUT` of each must act both before
    the last past window and in it.
    """
    counts = []
    for held_out in (True, False):
        rows, pairs = _window(settings, cutoff, held_out=held_out)
        before = (histories.own_texts(rows)[1] > 0) | (histories.flatten(rows["search_text_ids"])[1] > 0)
        counts.append(int((before & (histories.flatten(pairs["item_text_ids"])[1] > 0)).sum()))
    if min(counts) >= MIN_HELD_OUT:
        return None
    return (
        f"only {counts[0]} held-out and {counts[1]} other users acted both before {_window_start(settings, cutoff)} and in the "
        f"window after it, and {MIN_HELD_OUT} of each are needed to judge a trained model"
    )


def _window_start(settings: Settings, cutoff: dt.date) -> dt.date:
    return cutoff - dt.timedelta(days=settings.horizon_days)


def _window(settings: Settings, cutoff: dt.date, *, held_out: bool) -> tuple[pa.Table, pa.Table]:
    """The users of the held-out fold, or of the others, at the last past window: rows of the training set, and their pairs."""
    fold = pad.field("fold") == HELD_OUT_FOLD if held_out else pad.field("fold") != HELD_OUT_FOLD
    in_window = (pad.field("cutoff") == cutoff) & fold & (pad.field("event_timestamp") == midnight(_window_start(settings, cutoff)))
    rows = lake.read(settings.lake, "training_set", in_window).sort_by("user_key")
    return rows, lake.read(settings.lake, "user_text_pairs", in_window).sort_by("user_key")


@dataclass(frozen=True)
class Past:
    """The last past window of a cutoff, as the held-out users lived it.

    Attributes:
        frozen: the frozen-text model that the judged one started from; itself where nothing was learned.
        has_vector, did: (U,) bool: who had texts before the window, and who acted in it.
        phrases, will: texts of the window, and (U, P) bool whose window holds something alike.
    """

    start: dt.date
    cutoff: dt.date
    frozen: "Model"
    rows: pa.Table
    pairs: pa.Table
    has_vector: np.ndarray
    did: np.ndarray
    phrases: list[str]
    will: np.ndarray

    @classmethod
    def of(cls, settings: Settings, model: "Model", cutoff: dt.date) -> Self:
        from models.found import Found

        rows, pairs = _window(settings, cutoff, held_out=True)
        frozen = model.frozen_text() if isinstance(model, Found) else model
        has_vector = np.abs(vectors_of(settings, frozen, rows, texts_of(settings, frozen, cutoff))).sum(1) > 0
        did = histories.flatten(pairs["item_text_ids"])[1] > 0
        enough = (has_vector & did).sum() >= MIN_HELD_OUT
        phrases, will = _phrases(settings, model, pairs, cutoff) if enough else ([], np.zeros((len(did), 0), bool))
        return cls(_window_start(settings, cutoff), cutoff, frozen, rows, pairs, has_vector, did, phrases, will)

    @property
    def users(self) -> int:
        """Held-out users who acted on both sides of the window's start."""
        return int((self.has_vector & self.did).sum())

    def figures_of(self, settings: Settings, model: "Model") -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
        """What a model makes of the window: by user the share of others farther from the own future, (N,); by user the share of
        phrases ranked right, (M,); and both as figures."""
        texts = texts_of(settings, model, self.cutoff)
        past = vectors_of(settings, model, self.rows, texts)[:, : model.config.dim]
        both = self.has_vector & self.did
        ranks, figures = _retrieval(past[both], _futures(model, self.pairs, texts)[both])
        shares = metrics.auc_by_user(past[self.has_vector] @ embed_sentences(model, self.phrases).T, self.will[self.has_vector])
        if shares is None:  # every phrase is of everybody or of nobody: chance
            shares = np.full(int(self.has_vector.sum()), 0.5)
        return ranks, shares, figures | {"phrase_auc": round(float(shares.mean()), 4)}


@dataclass(frozen=True)
class Candidate:
    """A version of a cutoff, and what it makes of the last past window: computed once, for the gate and for the comparison."""

    settings: Settings
    version: str
    cutoff: dt.date

    @cached_property
    def loaded(self) -> LoadedModel:
        return registry.load(self.settings, self.version)

    @cached_property
    def past(self) -> Past:
        return Past.of(self.settings, self.loaded.model, self.cutoff)

    @cached_property
    def outcome(self) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
        """See `Past.figures_of`."""
        return self.past.figures_of(self.settings, self.loaded.model)


def judge(candidate: Candidate) -> Verdict:
    """Judges a version on the last past window of its cutoff; stores nothing."""
    settings, loaded, past, cutoff = candidate.settings, candidate.loaded, candidate.past, candidate.cutoff
    t1, frozen, users, phrases = past.start, past.frozen, past.users, past.phrases
    if users < MIN_HELD_OUT:
        who = "user" if users == 1 else "users"
        why = f"only {users} held-out {who} acted both before {t1} and in the window after it, {MIN_HELD_OUT} are needed"
        return Verdict(False, why, {"users": users}, judged=False)
    ranks, shares, own = candidate.outcome
    figures = {**own, "users": users, "future_auc_low": round(own["future_auc"] - SIGMAS * _error(ranks), 4)}
    reason = (
        f"a held-out user's own future in [{t1}, {cutoff}) is nearer than another's in {figures['future_auc']:.1%} of pairs "
        f"({users} users, 95 % lower bound {figures['future_auc_low']:.1%}, chance 50 %)"
    )
    passed = figures["future_auc_low"] > 0.5
    maybe_chance = figures["future_auc"] + SIGMAS * _error(ranks) > 0.5
    if not passed and maybe_chance and users < FEW_USERS:
        return Verdict(False, f"{reason}, which so few users cannot tell from chance", figures, judged=False)
    if not passed and frozen is loaded.model:
        why = "which is no more than chance" if maybe_chance else "which is less than chance"
        return Verdict(False, f"{reason}, {why}: texts of the past say little here of those to come", figures, judged=False)
    if frozen is not loaded.model:
        ranks_then, shares_then, at_start = past.figures_of(settings, frozen)
        figures |= {f"frozen_{name}": value for name, value in at_start.items()}
        worse = any(lost.mean() > SIGMAS * _error(lost) for lost in (ranks_then - ranks, shares_then - shares))
        helped = not worse and loaded.tags.get("alignment") != "did not help"
        passed = passed and helped
        reason += (
            f", the frozen-text model's {at_start['future_auc']:.1%}; users are ranked for {len(phrases)} phrases with an AUC of "
            f"{figures['phrase_auc']:.3f}, the frozen-text model's {at_start['phrase_auc']:.3f}"
        )
        reason += "" if helped else ", so alignment did not help"
    return Verdict(passed, reason, figures)


def _phrases(settings: Settings, model: "Model", pairs: pa.Table, cutoff: dt.date) -> tuple[list[str], np.ndarray]:
    """Texts of what users did in the window, and whose window (U, P) bool holds something alike."""
    ids, counts = histories.flatten(pairs["item_text_ids"])
    used, place, had = np.unique(ids, return_inverse=True, return_counts=True)
    vectors = text_vectors.load(settings, model.config.encoder_revision, used).vectors - model.center.numpy()
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    chances = np.sqrt(had)
    chosen = np.random.default_rng(0).choice(len(used), min(PHRASES, len(used)), replace=False, p=chances / chances.sum())
    will = np.zeros((len(counts), len(chosen)), bool)
    np.logical_or.at(will, np.repeat(np.arange(len(counts)), counts), (vectors @ vectors[chosen].T > ALIKE)[place])
    table = text_vectors.texts_before(settings, cutoff)
    words = dict(zip(table["text_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return [words[i] for i in used[chosen].tolist()], will


def _error(values: np.ndarray) -> float:
    """Standard error of a mean."""
    return float(values.std() / np.sqrt(len(values)))


def _retrieval(past: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """How near each user's own future (U, D) is to what they were (U, D): for each, the share of others' that are farther away."""
    ranking = metrics.retrieval(past @ future.T, np.arange(len(past)))
    return ranking.placements, {
        "future_auc": round(float(ranking.placements.mean()), 4),
        "future_recall_at_10": round(ranking.recall(10), 4),
    }


def _futures(model: "Model", pairs: pa.Table, texts: Texts) -> np.ndarray:
    """(U, D) the vectors of what users did, by the model's side for sentences; zeros for who did nothing."""
    import torch

    from models import saved
    from models.device import on_device

    ids, counts = histories.flatten(pairs["item_text_ids"])
    weights, _ = histories.flatten(pairs["item_counts"])
    did = counts > 0
    with on_device(model), torch.inference_mode():
        if saved.reads_sentences(model):
            vectors = model.describe(pairs["description"].to_pylist())
        else:
            user = np.repeat(np.arange(len(counts)), counts)
            total = np.zeros((len(counts), texts.vectors.shape[1]), np.float32)
            np.add.at(total, user, texts.vectors[texts.rows(ids)].astype(np.float32) * weights[:, None])
            mean = total / np.bincount(user, weights, len(counts)).clip(1)[:, None]
            vectors = model.sentences(torch.from_numpy(mean.astype(np.float32)).to(model.center.device))
    return vectors.cpu().numpy() * did[:, None]
