"""The promotion gate: is a version good enough for service, judged on a past window without any label.

At t1, one horizon before the cutoff, each held-out user's vector is compared with what that user and the others did in
`[t1, cutoff)`. A version passes when a user's own future is nearer than another's more often than chance allows, and, where
anything was learned, no less often than by the frozen-text model it started from.
"""

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import lake, registry
from found_platform.contract import HELD_OUT_FOLD, midnight
from found_platform.embedding import histories
from found_platform.embedding.histories import Texts
from found_platform.embedding.users import texts_of, vectors_of
from found_platform.registry import Verdict
from found_platform.settings import Settings

if TYPE_CHECKING:
    from models.saved import Model

MIN_USERS = 10
SIGMAS = 1.96


def judge(settings: Settings, version: str, cutoff: dt.date) -> Verdict:
    """Judges a version on the last past window of its cutoff; stores nothing."""
    from models.found import Found

    loaded = registry.load(settings, version)
    t1 = cutoff - dt.timedelta(days=settings.horizon_days)
    here = (pad.field("cutoff") == cutoff) & (pad.field("fold") == HELD_OUT_FOLD) & (pad.field("event_timestamp") == midnight(t1))
    rows = lake.read(settings.lake, "training_set", here).sort_by("user_key")
    pairs = lake.read(settings.lake, "user_text_pairs", here).sort_by("user_key")
    figures = _retrieval(settings, loaded.model, rows, pairs, cutoff)
    users = int(figures["users"])
    if users < MIN_USERS:
        return Verdict(False, f"only {users} held-out users acted both before {t1} and in the window after it", {"users": users})
    reason = (
        f"a held-out user's own future in [{t1}, {cutoff}) is nearer than another's in {figures['future_auc']:.1%} of pairs "
        f"({users} users, 95 % lower bound {figures['future_auc_low']:.1%}, chance 50 %)"
    )
    passed = figures["future_auc_low"] > 0.5
    if isinstance(loaded.model, Found):
        frozen = _retrieval(settings, loaded.model.frozen_text(), rows, pairs, cutoff)
        figures |= {f"frozen_{name}": value for name, value in frozen.items() if name != "users"}
        better = figures["future_auc"] >= frozen["future_auc"]
        passed = passed and better and loaded.tags.get("alignment") != "did not help"
        reason += f"; the frozen-text model: {frozen['future_auc']:.1%}" + ("" if better else ", so alignment did not help")
    return Verdict(passed, reason, figures)


def _retrieval(settings: Settings, model: "Model", rows: pa.Table, pairs: pa.Table, cutoff: dt.date) -> dict[str, float]:
    """How near each user's own future is to what they were, among the futures of the others."""
    texts = texts_of(settings, model, cutoff)
    past = vectors_of(settings, model, rows, texts)[:, : model.config.dim]
    future = _futures(model, pairs, texts)
    both = (np.abs(past).sum(1) > 0) & (np.abs(future).sum(1) > 0)
    users = int(both.sum())
    if users < MIN_USERS:
        return {"users": users}
    scores = past[both] @ future[both].T  # (U, U); own futures on the diagonal
    own = np.diag(scores)[:, None]
    below = (scores < own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)
    rank = below / (users - 1)  # (U,) share of other users' futures that are farther away
    return {
        "future_auc": round(float(rank.mean()), 4),
        "future_auc_low": round(float(rank.mean() - SIGMAS * rank.std() / np.sqrt(users)), 4),
        "future_recall_at_10": round(float(((scores > own).sum(1) < 10).mean()), 4),
        "users": users,
    }


def _futures(model: "Model", pairs: pa.Table, texts: Texts) -> np.ndarray:
    """(U, D) the vectors of what users did, by the model's side for sentences; zeros for who did nothing."""
    import torch

    from models import saved

    ids, counts = histories.flatten(pairs["item_text_ids"])
    weights, _ = histories.flatten(pairs["item_counts"])
    did = counts > 0
    with torch.inference_mode():
        if saved.reads_sentences(model):
            vectors = model.describe(pairs["description"].to_pylist()).numpy()
        else:
            user = np.repeat(np.arange(len(counts)), counts)
            total = np.zeros((len(counts), texts.vectors.shape[1]), np.float32)
            np.add.at(total, user, texts.vectors[texts.rows(ids)].astype(np.float32) * weights[:, None])
            mean = total / np.bincount(user, weights, len(counts)).clip(1)[:, None]
            vectors = model.sentences(torch.from_numpy(mean.astype(np.float32))).numpy()
    return vectors * did[:, None]
