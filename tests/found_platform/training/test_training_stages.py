"""What the stages learn: their losses by the equations, their figures by a loop, and nothing of held-out users."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import (
    FOLDS,
    MOMENTS,
    OWN_TEXTS,
    TASKS,
    USERS,
    align_task,
    behavior_task,
    last_weights,
    noisy,
    rewrite,
    same,
    tabular_task,
)
from torch import Tensor, nn

from found_platform.training import loop
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options, train
from found_platform.training.progress import read_progress
from found_platform.training.tasks import AlignLosses, BehaviorLosses, retrieval, targeting_auc
from models import losses

pytestmark = pytest.mark.usefixtures("one_thread")


# --- what the stages learn


def test_the_parts_of_stage_1_are_the_equations_with_their_weights(folder: Path) -> None:
    data = TrainingData(folder)
    task = behavior_task(data, BehaviorLosses(ahead=2, period=3, cyclic=0.4, cyclic_contrast=0.3, next_window=0.2))
    rows, encoder = task.rows[:16], task.model.eval().encoder
    histories, _ = data.histories(rows)
    context, targets, mask = encoder(histories)
    scale = float(task.model.scale.detach().exp())
    acted = encoder.events.acted(histories)
    expected = {
        "cpc": losses.cpc_loss(context, targets, mask, 2, scale),
        "cyclic": 0.4 * losses.cyclic_loss(context, mask, 3),
        "cyclic_contrast": 0.3 * losses.cyclic_contrast_loss(context, mask, 3, scale),
        "next_window": 0.2 * losses.next_window_loss(encoder.acts_next(context), acted),
    }
    parts = loop._floats(task.losses(task.outputs(rows), rows))
    assert parts == pytest.approx(loop._floats(expected), rel=1e-5)
    assert not torch.equal(acted, mask)
    alone = behavior_task(data, BehaviorLosses(cyclic=0.0, next_window=0.0))
    assert alone.losses(alone.outputs(rows), rows).keys() == {"cpc"}


def test_the_parts_of_alignment_are_the_equations_with_their_weights(folder: Path) -> None:
    """Rows of one user are no negatives, and what was nearly the same for the frozen encoder is none either."""
    data = TrainingData(folder)
    task = align_task(data, AlignLosses(margin=0.3, anchor=2.0, late=0.4, phrases=0.7, cross_modality=0.5, event_dropout=0.0))
    rows, model = task.rows[:16], task.model
    nn.init.normal_(model.fused.weight, std=0.3)
    assert model.common is not None
    nn.init.normal_(model.common, std=0.3)
    histories, _ = data.histories(rows)
    states, futures, owner = model(histories), data.futures(rows), data.owner[rows]
    sentences, frozen, scale = model.sentences(futures), futures - model.center, float(model.temperature.detach())
    late = model.late_scores(histories, sentences)
    other = (owner[:, None] != owner) | torch.eye(16, dtype=torch.bool)
    terms = []
    for scores, allowed in ((late, other), (late.T, other.T)):
        terms += [-scores[i, i] + scores[i][allowed[i]].exp().sum().log() for i in range(16)]
    both = (histories.event_counts > 0) & (histories.search_counts > 0)
    assert 1 < both.sum() < 16
    starts = nn.functional.normalize(frozen @ model.start.T, dim=1)
    outputs = task.outputs(rows)
    phrases, vectors = outputs[-2], data.text_vectors.float()
    unit = nn.functional.normalize((vectors - model.center) @ model.start.T, dim=1)
    whose, items = data.items(rows)
    futures_of = [items[whose == i].tolist() for i in range(16)]
    will = torch.tensor([[any(float(unit[t] @ unit[p]) > 0.6 for t in future) for p in phrases] for future in futures_of])
    assert will.diagonal().all()
    assert not will.all()
    expected = {
        "phrases": 0.7 * losses.targeting_loss(scale * states.aligned @ model.sentences(vectors[phrases]).T, will),
        "alignment": losses.alignment_loss(states.aligned, sentences, scale, frozen=frozen, margin=0.3, owner=owner),
        "anchor": 2 * (losses.anchor_loss(sentences, starts) + losses.anchor_loss(states.aligned, states.start)),
        "late": 0.4 * torch.stack(terms).mean(),
        "cross_modality": 0.5
        * losses.alignment_loss(states.shared["behavior"][both], states.shared["search"][both], scale, owner=owner[both]),
    }
    parts = loop._floats(task.losses(outputs, rows))
    assert parts == pytest.approx(loop._floats(expected), rel=1e-4, abs=1e-6)
    assert losses.alignment_loss(states.aligned, sentences, scale) > expected["alignment"]
    alone = align_task(data, AlignLosses(margin=0.0, anchor=0.0, late=0.0))
    assert alone.losses(alone.outputs(rows), rows).keys() == {"alignment"}


@pytest.mark.parametrize("stage", TASKS)
def test_figures_of_held_out_users_hang_on_no_chance(folder: Path, stage: str) -> None:
    task = noisy(stage, TrainingData(folder))
    first = loop._evaluate(task, 0, 1)
    torch.manual_seed(99)
    assert loop._evaluate(task, 0, 1) == first


def test_alignment_starts_where_the_frozen_text_is(folder: Path) -> None:
    figures = loop._evaluate(align_task(TrainingData(folder), AlignLosses(phrases=1.0)), 0, 1)
    assert figures["auc"] == figures["frozen_auc"]
    assert figures["phrase_auc"] == figures["frozen_phrase_auc"] > 0.5
    assert figures["score"] == (figures["auc"] + figures["phrase_auc"]) / 2
    assert figures["candidates"] == USERS / FOLDS * MOMENTS


@pytest.mark.parametrize("stage", TASKS)
def test_training_lowers_its_loss(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    task = {"behavior": behavior_task, "tabular": tabular_task, "align": align_task}[stage](data)
    train(task, Options(60, 32, learning_rate=3e-3, log_every=1, evaluate_every=60), tmp_path)
    losses = [line["loss"] for line in read_progress(tmp_path / "progress.jsonl") if "loss" in line]
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])


# --- held-out users


@pytest.mark.parametrize("stage", TASKS)
def test_users_of_fold_0_never_enter_a_step(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    task = noisy(stage, data)
    steps: set[int] = set()
    looks: set[int] = set()

    def spied(before: Callable) -> Callable:
        def spy(rows: Tensor, *more: Any) -> Any:
            (steps if task.model.training else looks).update(rows.tolist())
            return before(rows, *more)

        return spy

    task.outputs, task.late_queries = spied(task.outputs), spied(task.late_queries)  # type: ignore[method-assign]
    train(task, Options(12, 16, micro_batch=8, evaluate_every=6), tmp_path)
    assert set(data.fold[torch.tensor(sorted(steps))].tolist()) == {1, 2, 3, 4}
    assert set(data.fold[torch.tensor(sorted(looks))].tolist()) == {0}
    assert len(steps) == len(task.rows)


@pytest.mark.parametrize("stage", TASKS)
def test_nothing_of_fold_0_reaches_the_weights(folder: Path, tmp_path: Path, stage: str) -> None:
    """Everything known of its users is replaced by what would spoil a sum: the last weights are equal, bit by bit."""

    def held_out(values: Tensor, rows: dict[str, Tensor], kind: str | None, value: float) -> Tensor:
        of = rows["fold"] == 0
        values[of if kind is None else torch.repeat_interleave(of, rows[f"{kind}_counts"])] = value
        return values

    nan = float("nan")
    poisoned = rewrite(
        folder,
        tmp_path / "poisoned",
        activity=lambda v, r: held_out(v, r, None, nan),
        cells=lambda v, r: held_out(v, r, None, 0),
        item_weight=lambda v, r: held_out(v, r, "item", nan),
        event_channel=lambda v, r: held_out(v, r, "event", 0),
        event_amount=lambda v, r: held_out(v, r, "event", 0),
    )
    texts = load_file(folder / "texts.safetensors")
    texts["vectors"][OWN_TEXTS:] = nan
    save_file(texts, poisoned / "texts.safetensors")
    assert not texts["counts"][OWN_TEXTS:].any()
    for name, path in (("clean", folder), ("poisoned", poisoned)):
        train(noisy(stage, TrainingData(path)), Options(4, 16, evaluate_every=2), tmp_path / f"{name}_{stage}")
    clean, other = (last_weights(tmp_path / f"{name}_{stage}") for name in ("clean", "poisoned"))
    assert all(value.isfinite().all() for value in other.values())
    assert same(clean, other)


def test_the_figures_of_held_out_users_are_those_of_a_loop() -> None:
    torch.manual_seed(0)
    users, sentences = (nn.functional.normalize(torch.randn(30, 4), dim=1) for _ in range(2))
    sentences[3] = sentences[8]
    owner = torch.arange(30) // 2
    above, shares = [], []
    for i in range(30):
        others = [j for j in range(30) if owner[j] != owner[i]]
        own = float(users[i] @ sentences[i])
        scores = [float(users[i] @ sentences[j]) for j in others]
        above.append(sum(s > own + 1e-7 for s in scores) + 0.5 * sum(abs(s - own) < 1e-7 for s in scores))
        shares.append(1 - above[-1] / len(others))
    figures = retrieval(users, sentences, owner)
    assert figures["recall_at_10"] == pytest.approx(np.mean([a < 10 for a in above]))
    assert figures["mrr"] == pytest.approx(np.mean([1 / (1 + a) for a in above]))
    assert figures["auc"] == pytest.approx(np.mean(shares))
    assert figures["candidates"] == 30


def test_the_figure_of_phrases_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    scores, will = torch.randn(12, 4).round(decimals=1), torch.rand(12, 4) < 0.4
    will[:, 3] = True
    figures = []
    for phrase in range(3):
        pairs = [(i, j) for i in range(12) for j in range(12) if will[i, phrase] and not will[j, phrase]]
        column = scores[:, phrase]
        figures.append(np.mean([float(column[i] > column[j]) + 0.5 * float(column[i] == column[j]) for i, j in pairs]))
    assert targeting_auc(scores, will) == pytest.approx(np.mean(figures))
