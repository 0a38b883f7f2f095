"""The training loop: one gradient however a batch is cut, resume bit by bit, seeds, and early stop."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import EXACT_ALIGN, QWEN, TASKS, align_task, behavior_task, configure, last_weights, noisy, same
from torch import Tensor, nn

from found_platform.training import loop
from found_platform.training.__main__ import execute
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options, train
from found_platform.training.progress import read_progress
from models.text_tower import TowerConfig

pytestmark = pytest.mark.usefixtures("one_thread")


# --- one gradient, however the batch is cut


def gradient(task: Any, options: Options, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
    parts = loop._step(task, rows, 0, options, 0, 1, "cpu")
    return {name: p.grad.clone() for name, p in task.model.named_parameters() if p.grad is not None}, parts


@pytest.mark.parametrize("stage", ["behavior", "align", "align_with_tower", "align_with_phrases"])
@pytest.mark.parametrize("micro_batch", [4, 5])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(folder: Path, stage: str, micro_batch: int) -> None:
    data = TrainingData(folder)
    if stage == "behavior":
        task: Any = behavior_task(data)
    else:
        tower = TowerConfig(architecture=QWEN) if stage == "align_with_tower" else None
        phrases = 0.5 if stage == "align_with_phrases" else 0.0
        data.phrases = lambda rows, _: data.items(rows)[1][data.column("item_counts", rows).cumsum(0) - 1]  # type: ignore[method-assign]
        task = align_task(data, replace(EXACT_ALIGN, phrases=phrases), description_tower=tower)
        nn.init.normal_(task.model.fused.weight, std=0.1)
    rows, options = task.rows[:16], Options(1, 16)
    whole, parts = gradient(task, options, rows)
    cut, parts_cut = gradient(task, replace(options, micro_batch=micro_batch), rows)
    assert parts_cut == pytest.approx(parts, rel=1e-5)
    assert whole.keys() == cut.keys()
    size = max(float(g.abs().max()) for g in whole.values())
    for name, expected in whole.items():
        torch.testing.assert_close(cut[name], expected, rtol=1e-4, atol=1e-6 * size, msg=lambda text, name=name: f"{name}: {text}")


def test_a_sum_of_the_parts_losses_would_have_another_gradient(folder: Path) -> None:
    """What exact accumulation is for."""
    task = align_task(TrainingData(folder))
    rows, options = task.rows[:16], Options(1, 16)
    whole, _ = gradient(task, options, rows)
    halves = [gradient(task, options, part)[0] for part in rows.split(8)]
    assert not torch.allclose(whole["user.weight"], (halves[0]["user.weight"] + halves[1]["user.weight"]) / 2, rtol=0.05)


@pytest.mark.parametrize("stage", TASKS)
def test_random_parts_are_the_same_in_both_passes(folder: Path, stage: str) -> None:
    """With dropout and masking on, the gradient of a cut batch is that of its own first pass, so that it leads downhill."""
    task = noisy(stage, TrainingData(folder))
    options = Options(1, 16, micro_batch=4)
    seen: list[Tensor] = []
    before = task.outputs

    def spy(rows: Tensor, own_parts: loop.LateQueries | None = None) -> tuple[Tensor, ...]:
        outputs = before(rows, own_parts)
        seen.append(outputs[0].detach().clone())
        return outputs

    task.outputs = spy  # type: ignore[method-assign]
    gradient(task, options, task.rows[:16])
    assert len(seen) == 8
    for first, again in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, again)


# --- resume, seeds, early stop


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    options = Options(200, warmup=0.05)
    rates = [loop._rate(step, options) for step in range(201)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[105] == pytest.approx(0.5)
    assert rates[200] == pytest.approx(0)


def test_an_epoch_has_every_row_once_and_the_next_another_order() -> None:
    rows, options = torch.arange(100, 148), Options(9, 16, seed=3)
    first, second = ([loop.batch_of(rows, e * 3 + i, options) for i in range(3)] for e in range(2))
    assert torch.cat(first).sort().values.tolist() == rows.tolist() == torch.cat(second).sort().values.tolist()
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    assert len(loop.batch_of(rows[:5], 7, options)) == 5


@pytest.mark.parametrize("stage", TASKS)
def test_a_killed_run_goes_on_bit_by_bit(folder: Path, tmp_path: Path, stage: str) -> None:
    data, options = TrainingData(folder), Options(8, 16, 8, evaluate_every=2, patience=9, checkpoint_minutes=0.0, log_every=1)
    whole = noisy(stage, data)
    expected = train(whole, options, tmp_path / "whole")
    killed = noisy(stage, data)
    steps, before = [0], killed.losses

    def dies(outputs: tuple[Tensor, ...], rows: Tensor) -> dict[str, Tensor]:
        steps[0] += killed.model.training
        if steps[0] == 6:
            raise KeyboardInterrupt
        return before(outputs, rows)

    killed.losses = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(killed, options, tmp_path / "killed")
    resumed = noisy(stage, data)
    outcome = train(resumed, options, tmp_path / "killed")
    assert same(last_weights(tmp_path / "killed"), last_weights(tmp_path / "whole"))
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert same(load_file(tmp_path / "killed" / "best.safetensors"), load_file(tmp_path / "whole" / "best.safetensors"))
    assert {**vars(outcome), "seconds": 0} == {**vars(expected), "seconds": 0}
    times = ("seconds", "rows_per_second")
    lines = [
        [{k: v for k, v in line.items() if k not in times} for line in read_progress(tmp_path / name / "progress.jsonl")]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


def test_a_run_that_ended_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    data, options = TrainingData(folder), Options(2, 16)
    train(behavior_task(data), options, tmp_path)
    before, again = last_weights(tmp_path), behavior_task(data)
    train(again, options, tmp_path)
    assert same(last_weights(tmp_path), before)


def test_a_checkpoint_of_other_options_is_refused_and_a_smaller_micro_batch_is_not(folder: Path, tmp_path: Path) -> None:
    data, options = TrainingData(folder), Options(2, 16)
    train(behavior_task(data), options, tmp_path)
    train(behavior_task(data), replace(options, micro_batch=4, patience=9), tmp_path)
    with pytest.raises(loop.CannotResume, match="another folder"):
        train(behavior_task(data), replace(options, steps=3), tmp_path)


def test_a_checkpoint_of_other_losses_or_data_is_no_place_to_go_on_from(folder: Path, tmp_path: Path) -> None:
    configure(tmp_path, folder, "behavior", options={"batch": 16, "steps": 2})
    run = json.loads((tmp_path / "behavior.json").read_text())
    execute(run, tmp_path)
    execute(run, tmp_path)
    with pytest.raises(loop.CannotResume, match="other losses or other data"):
        execute(run | {"losses": {"cyclic": 5.0}}, tmp_path)
    other = shutil.copytree(tmp_path / run["data"], tmp_path / "other")
    about = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps(about | {"note": "made again"}))
    with pytest.raises(loop.CannotResume, match="other losses or other data"):
        execute(run | {"data": "other"}, tmp_path)


@pytest.mark.parametrize("stage", TASKS)
def test_the_same_seed_trains_the_same_weights_and_another_others(folder: Path, tmp_path: Path, stage: str) -> None:
    data = TrainingData(folder)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train(noisy(stage, data), Options(2, 16, seed=seed), tmp_path / name)
    assert same(last_weights(tmp_path / "one"), last_weights(tmp_path / "again"))
    assert not same(last_weights(tmp_path / "one"), last_weights(tmp_path / "other"))


class Scripted:
    """A task that learns something, and whose held-out scores are given."""

    def __init__(self, scores: list[float]):
        torch.manual_seed(0)
        self.model, self.rows, self.scores = nn.Linear(3, 1), torch.arange(8), iter(scores)
        self.weights: list[Tensor] = []

    def late_queries(self, _: Tensor, /) -> None:
        return None

    def outputs(self, rows: Tensor, _: loop.LateQueries | None = None, /) -> tuple[Tensor, ...]:
        return (self.model(torch.ones(len(rows), 3) * rows[:, None]),)

    def losses(self, outputs: tuple[Tensor, ...], rows: Tensor) -> dict[str, Tensor]:
        return {"square": (outputs[0] - 1).square().mean()}

    def held_out(self) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        self.weights.append(self.model.weight.detach().clone())
        return {"score": next(self.scores)}


def test_training_stops_early_and_returns_its_best_step(tmp_path: Path) -> None:
    task = Scripted([0.0, 1.0, 3.0, 2.0, 2.9, 3.0, 99.0])
    progress = train(task, Options(1000, 4, evaluate_every=5, patience=3), tmp_path)
    assert (progress.step, progress.best_step, progress.best) == (25, 10, {"score": 3.0})
    assert torch.equal(task.model.weight, task.weights[2])
    assert torch.equal(load_file(tmp_path / "best.safetensors")["weight"], task.weights[2])
    assert not torch.equal(task.weights[2], task.weights[5])


@pytest.mark.parametrize("later", [-1.0, 0.0, float("nan")])
def test_a_model_that_no_step_made_better_is_as_it_started(tmp_path: Path, later: float) -> None:
    task = Scripted([0.0, *[later] * 4])
    progress = train(task, Options(4, 4, evaluate_every=1), tmp_path)
    assert progress.best_step == 0
    assert progress.best == progress.start == {"score": 0.0}
    assert torch.equal(task.model.weight, task.weights[0])
    assert not torch.equal(task.weights[0], task.weights[-1])


def test_the_last_step_is_looked_at_too(tmp_path: Path) -> None:
    assert train(Scripted([0.0, 1.0]), Options(3, 4, evaluate_every=50), tmp_path).best_step == 3
