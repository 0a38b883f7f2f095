"""Training rows in several files: the rows, losses and weights of one file, in memory that does not grow with users."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import TASKS, VALUES, align_task, behavior_task, in_files, last_weights, noisy, same, tabular_task
from torch.utils._python_dispatch import _disable_current_modes

from found_platform.training import made_up, shards
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options, batch_of, train
from found_platform.training.rehearsal import Living
from found_platform.training.shards import Rows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def files(folder: Path, tmp_path: Path) -> Path:
    """The rows of `folder` in seven files, the users of each together."""
    return in_files(folder, tmp_path / "files", 7)


def test_rows_of_several_files_are_those_of_one(folder: Path, files: Path) -> None:
    one, several = TrainingData(folder), TrainingData(files)
    assert (len(several), several.users()) == (len(one), one.users())
    assert several.cells.largest() == one.cells.largest()
    for rows in (torch.tensor([79, 3, 3, 41, 12]), torch.tensor([5]), torch.arange(80), torch.empty(0, dtype=torch.long)):
        for a, b in zip(vars(several.histories(rows)[0]).values(), vars(one.histories(rows)[0]).values(), strict=True):
            assert torch.equal(a, b)
        for a, b in zip(several.items(rows), one.items(rows), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(several.futures(rows), one.futures(rows))
        assert torch.equal(several.owner[rows], one.owner[rows])
        assert several.descriptions(rows) == one.descriptions(rows)
    for described in (True, False):
        assert several.training_rows(described=described)[:].tolist() == one.training_rows(described=described)[:].tolist()
        assert several.held_out_rows(described=described)[3:9].tolist() == one.held_out_rows(described=described)[3:9].tolist()


@pytest.mark.parametrize("stage", TASKS)
def test_several_files_train_the_weights_of_one(folder: Path, files: Path, tmp_path: Path, stage: str) -> None:
    """As long as all files are shuffled together, the order is that of one."""
    for name, data in (("one", folder), ("several", files)):
        train(noisy(stage, TrainingData(data)), Options(4, 16, evaluate_every=2), tmp_path / name)
    assert same(last_weights(tmp_path / "one"), last_weights(tmp_path / "several"))
    best = (load_file(tmp_path / name / "best.safetensors") for name in ("one", "several"))
    assert same(*best)


@pytest.fixture
def ten_files(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Ten files of 0 to 90 rows, of which three are shuffled with each other."""
    monkeypatch.setattr(shards, "WINDOW", 3)
    return Rows([i * 10 for i in range(10)], lambda i: torch.arange(i * 1000, i * 1000 + i * 10))


def test_an_epoch_of_many_files_has_every_row_once_and_the_next_another_order(ten_files: Rows) -> None:
    options = Options(100, 25, seed=3)
    epochs = [torch.cat([batch_of(ten_files, epoch * 18 + i, options) for i in range(18)]).tolist() for epoch in range(2)]
    everyone = [i * 1000 + k for i in range(10) for k in range(i * 10)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == everyone
    assert epochs[0] != epochs[1]
    files = [[row // 1000 for row in epoch] for epoch in epochs]
    assert set(files[0]) == set(range(1, 10))
    assert list(dict.fromkeys(files[0])) != list(dict.fromkeys(files[1]))


def test_rows_are_shuffled_among_those_of_a_few_files(ten_files: Rows) -> None:
    order = ten_files.shuffled(5, 0, len(ten_files))
    changes = (order[1:] // 1000 != order[:-1] // 1000).sum()
    assert changes > 100  # in turns, not one file after another
    last_seen = {int(row) // 1000: place for place, row in enumerate(order)}
    first_seen = {int(row) // 1000: len(order) - 1 - place for place, row in enumerate(order.flip(0))}
    most = max(sum(first_seen[f] <= place <= last_seen[f] for f in first_seen) for place in range(len(order)))
    assert most <= 3


def test_a_step_has_its_rows_whichever_came_before_it(ten_files: Rows) -> None:
    """So a killed run goes on with the batch that it would have had."""
    options = Options(100, 30, seed=1)
    in_turn = [batch_of(ten_files, step, options).tolist() for step in range(40)]
    for step in (37, 2, 14):
        again = Rows([i * 10 for i in range(10)], lambda i: torch.arange(i * 1000, i * 1000 + i * 10))
        assert batch_of(again, step, options).tolist() == in_turn[step]
    assert batch_of(ten_files, 0, Options(1, 30, seed=2)).tolist() != in_turn[0]


FEW, MANY = 2_000, 12_000


@pytest.mark.slow
@pytest.mark.parametrize("task_of", [behavior_task, tabular_task, align_task])
def test_training_takes_memory_that_does_not_grow_with_users(
    task_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What operations make and keep, of opening the files, making the task, and the batches of an epoch; files are mapped."""
    monkeypatch.setattr(shards, "WINDOW", 3)
    monkeypatch.setattr("found_platform.training.tasks.SCALED_BY", 500)
    mapped = shards.tensors

    def unseen(path: Path) -> dict[str, torch.Tensor]:
        with _disable_current_modes():
            return mapped(path)

    monkeypatch.setattr(shards, "tensors", unseen)
    held = []
    for users in (FEW, MANY):
        sizes = {"texts": 400, "text_dim": 8, "events": 3, "searches": 1, "values": VALUES, "activity": 3}
        whole = made_up.write(tmp_path / f"{users} whole", users=users, **sizes)
        folder = in_files(whole, tmp_path / f"{users}", users // 250)
        with Living() as living:
            task = task_of(TrainingData(folder))
            for step in range(0, len(task.rows) // 64, 5):
                task.data.histories(batch_of(task.rows, step, Options(1, 64)))
        held.append(living.most)
    assert held[1] - held[0] < 2 * (MANY - FEW)  # of 200 bytes or so a user has in the files
