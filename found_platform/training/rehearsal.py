"""What a stage needs, found before there are data: a step of it on made-up users, with weights that are shapes and no numbers.

The model lies in no memory and its operations compute nothing, so the sizes of a large machine are tried on a small one in seconds.
The bytes are those that the step's tensors would take: an estimate, since real histories are shorter, their texts of other lengths
than `made_up` has them, and a GPU's kernels keep other things than a CPU's.
"""

import tempfile
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from found_platform.training import made_up, tasks
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options, Outputs, Task, total
from found_platform.training.machine import Needs, needs
from models.found import FoundConfig
from models.text_encoder import architecture
from models.text_tower import TowerConfig

TEXTS = 5000
"""Distinct texts of the made-up events."""


def rehearse(
    stage: str, config: FoundConfig, options: Options, losses: dict[str, Any], *, events: int, searches: int, device: str
) -> Needs:
    """The needs of a stage on users with so many events and searches each, activations of a step included.

    Raises ValueError for a configuration that no model can be made of, EncoderNotFound for a tower whose configuration is not here.
    """
    towers = {name: _unweighted(tower) for name in ("event_tower", "description_tower") if (tower := getattr(config, name))}
    with torch.device("meta"):
        model = tasks.model_of(stage, replace(config, **towers))
    size = options.micro_batch or options.batch
    population = {"events": events, "searches": searches, "text_dim": config.text_dim, "activity": config.activity}
    values = config.tabular.values if config.tabular else ()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=()):
        made_up.write(Path(folder) / "data", users=2 * size, texts=TEXTS, values=values, **population)
        task = tasks.task_of(_shapes(model), TrainingData(Path(folder) / "data"), losses)
        activations = step_bytes(task, task.rows[:size], -(-options.batch // size), device)
    return replace(needs(task.model), activations=activations)


def step_bytes(task: Task, rows: Tensor, parts: int, device: str) -> int:
    """The most bytes that the tensors of a step take at once, beside weights and their gradients.

    As `loop` makes a step of `parts` micro-batches, but all of them are these rows.
    """
    task.model.train()
    for parameter in task.model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None

    def run() -> Outputs:
        with torch.autocast("cpu", torch.bfloat16, enabled=device == "cuda"):
            own = task.late_queries(rows)
            everyones = own if own is None or parts == 1 else torch.cat([own.detach()] * parts)
            return task.outputs(rows, None if own is None or everyones is None else (own, everyones))

    with Living() as living:
        if parts == 1:
            total(task.losses(run(), rows)).backward()
            return living.most
        with torch.no_grad():
            leaves = [torch.cat([column] * parts) for column in run()]
        leaves = [leaf.requires_grad_(leaf.is_floating_point()) for leaf in leaves]
        total(task.losses(tuple(leaves), rows.repeat(parts))).backward()
        outputs = run()
        gradients = [(o, leaf.grad[: len(rows)]) for o, leaf in zip(outputs, leaves, strict=True) if leaf.grad is not None]
        gradients = [(out, grad.to(out.dtype)) for out, grad in gradients if out.requires_grad]
        torch.autograd.backward([out for out, _ in gradients], [grad for _, grad in gradients])
    return living.most


class Living(TorchDispatchMode):
    """Bytes of the tensors that operations have made and that are still in use: `now`, and the `most` at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for storage in (t.untyped_storage() for t in tree_leaves(result) if isinstance(t, Tensor)):
            if storage._cdata not in inputs and storage._cdata not in self._known:  # no view of what was there
                self._known.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.now)
        return result

    def _gone(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.now -= size


def _unweighted(tower: TowerConfig) -> TowerConfig:
    """The tower by its architecture alone."""
    return replace(tower, model=None, architecture=architecture(tower.model)) if tower.model else tower


def _shapes(model: nn.Module) -> nn.Module:
    """Gives parameters that lie on `meta` the manners of a CPU's; buffers become zeros, which what follows may look at."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    shared: dict[int, nn.Parameter] = {}  # a weight in two places stays one
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                with fake:
                    own = nn.Parameter(torch.empty_like(parameter, device="cpu"), parameter.requires_grad)
                module._parameters[name] = shared.setdefault(id(parameter), own)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.zeros(buffer.shape, dtype=buffer.dtype)
    return model
