"""Training in which all that is random of a row hangs on the row alone, so that it is the same however a batch is cut.

As a script it is the command, for several configurations one after another: `by_row.py STAGE.json ...`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from found_platform.training import tasks
from found_platform.training.__main__ import execute

TASKS = (tasks.BehaviorTask, tasks.TabularTask, tasks.AlignTask)


def own_part(before: Callable) -> Callable:
    def row_by_row(task: Any, rows: Tensor) -> Tensor | None:
        if not task.model.training:
            return before(task, rows)
        parts = [seeded(before, task, row) for row in rows.split(1)]
        return None if parts[0] is None else torch.cat(parts)

    return row_by_row


def outputs(before: Callable) -> Callable:
    def row_by_row(task: Any, rows: Tensor, given: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
        if not task.model.training:
            return before(task, rows, given)
        own = [None] * len(rows) if given is None else [(part, given[1]) for part in given[0].split(1)]
        parts = [seeded(before, task, row, of_row) for row, of_row in zip(rows.split(1), own, strict=True)]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    return row_by_row


def seeded(before: Callable, task: Any, row: Tensor, *more: Any) -> Any:
    torch.manual_seed(int(row))
    return before(task, row, *more)


def patch(put: Callable[[Any, str, Callable], None]) -> None:
    """Puts the tasks' functions in place by `setattr` or pytest's."""
    for task in TASKS:
        put(task, "late_queries", own_part(task.late_queries))
        put(task, "outputs", outputs(task.outputs))


if __name__ == "__main__":
    patch(setattr)
    # Processes meet at one store, where what was left by a group that is gone is in the way of the next: one group for all runs.
    dist.init_process_group("gloo")
    dist.init_process_group = dist.destroy_process_group = lambda *_: None
    for config in map(Path, sys.argv[1:]):
        execute(json.loads(config.read_text()), config.parent)
