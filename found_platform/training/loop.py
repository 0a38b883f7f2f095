"""The training loop: AdamW with a cosine, exact accumulation for losses over the whole batch, data-parallel, checkpoints, early
stop.

A contrastive loss compares every row with every other, so its gradient cannot be summed from parts. Outputs of all micro-batches
(and of all processes) are made first, without a graph; the loss over all of them gives each output's gradient; then each
micro-batch is run again and sent backward from there. The result is the gradient of the whole batch, in the memory of one of them.
What every row is compared with inside the model (`Task.late_queries`) is made before that, also of the whole batch.

Everything random follows from (seed, step, place in the batch), so a resumed run repeats what it would have done.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from found_platform.training.progress import Log
from found_platform.training.shards import Rows
from models.found import Found, learned_state

Outputs = tuple[Tensor, ...]
LateQueries = tuple[Tensor, Tensor]


class CannotResume(ValueError):
    """The folder holds a checkpoint of another run."""


class Task(Protocol):
    """What is trained. Outputs have one entry a row along their first dimension."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def rows(self) -> Rows | Tensor:
        """(N,) rows to train on."""
        ...

    def late_queries(self, rows: Tensor, /) -> Tensor | None:
        """(b, K) what rows of the whole batch are asked for inside the model, by a micro-batch's; None where nothing is."""
        ...

    def outputs(self, rows: Tensor, requested: LateQueries | None = None, /) -> Outputs:
        """Of a micro-batch. `requested` are its own and, in the order of the batch, everybody's; None: the micro-batch is all."""
        ...

    def losses(self, outputs: Outputs, rows: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss of a whole batch."""
        ...

    def held_out(self) -> dict[str, float]:
        """Figures on held-out users; `score` is what to maximise."""
        ...


@dataclass(frozen=True)
class Options:
    """How to train."""

    steps: int
    batch: int = 256  # rows a step over all processes
    micro_batch: int = 0  # rows at once; 0: the whole share
    learning_rate: float = 4e-4
    warmup: float = 0.03  # share of the steps
    weight_decay: float = 0.01
    clip: float = 1.0
    slow: float = 0.1  # factor on the learning rate of what starts from the frozen text space
    evaluate_every: int = 50
    patience: int = 4  # evaluations without a better score
    checkpoint_minutes: float = 5.0
    log_every: int = 10
    seed: int = 0
    threads: int = 0  # of the CPU; 0: torch's choice

    def __post_init__(self) -> None:
        least = {"steps": 0, "batch": 1, "micro_batch": 0, "evaluate_every": 1, "patience": 1, "log_every": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {low}")


@dataclass
class Progress:
    """Where a run is, and the best it has seen. `start` are the figures before the first step."""

    step: int = 0
    best_step: int = 0
    worse: int = 0
    best: dict[str, float] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def train(task: Task, options: Options, folder: Path, device: str = "cpu", made_of: str = "") -> Progress:
    """Trains from the newest checkpoint in `folder`, if there is one, and leaves the best weights in the model and in
    `best.safetensors`. Writes `progress.jsonl`. Where no step was better than the start, the model is as it started.
    `made_of` names the model, losses and data. Raises CannotResume for a checkpoint of other options or of something else.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    model = task.model.to(device)
    optimizer = _optimizer(model, options)
    progress, best = _resume(folder / "checkpoint.safetensors", model, optimizer, options, made_of)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, options), last_epoch=progress.step - 1)
    log = Log(folder / "progress.jsonl", options.log_every, options.batch, options.steps, enabled=rank == 0, resumed=progress.step)
    if not progress.start:
        figures = _evaluate(task, rank, world)
        progress.start, progress.best = figures, figures
        best = _copy(model)
        log.held_out(0, figures)
    saved, begun = time.monotonic(), time.monotonic() - progress.seconds
    while progress.step < options.steps and progress.worse < options.patience:
        rows = batch_of(task.rows, progress.step, options)
        parts = _step(task, rows, progress.step, options, rank, world, device)
        norm = nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        optimizer.step()
        schedule.step()
        progress.step += 1
        progress.seconds = time.monotonic() - begun
        log.step(progress.step, progress.seconds, parts, float(norm), float(schedule.get_last_lr()[0]))
        if progress.step % options.evaluate_every == 0 or progress.step == options.steps:
            figures = _evaluate(task, rank, world)
            better = figures["score"] > progress.best["score"]
            if better:
                progress.best, progress.best_step, best = figures, progress.step, _copy(model)
            progress.worse = 0 if better else progress.worse + 1
            log.held_out(progress.step, figures)
        if rank == 0 and time.monotonic() - saved > 60 * options.checkpoint_minutes:
            save_checkpoint(folder / "checkpoint.safetensors", model, optimizer, options, progress, best, made_of)
            saved = time.monotonic()
    if rank == 0:
        save_checkpoint(folder / "checkpoint.safetensors", model, optimizer, options, progress, best, made_of)
        save_file(best, folder / "best.safetensors")
    model.load_state_dict(best, strict=False)
    return progress


def batch_of(rows: Rows | Tensor, step: int, options: Options) -> Tensor:
    """The rows of a step: a random order of all rows an epoch, the last short batch of an epoch left out."""
    rows = Rows.among(rows) if isinstance(rows, Tensor) else rows
    size = min(options.batch, len(rows))
    epoch, place = divmod(step, max(1, len(rows) // size))
    return rows.shuffled(options.seed * 1_000_003 + epoch, place * size, (place + 1) * size)


def _micro(rows: Tensor, options: Options, rank: int, world: int) -> Sequence[Tensor]:
    share = rows.tensor_split(world)[rank]
    return share.split(options.micro_batch) if options.micro_batch else (share,)


def _step(task: Task, rows: Tensor, step: int, options: Options, rank: int, world: int, device: str) -> dict[str, float]:
    """Leaves the gradient of the whole batch in the parameters; returns the parts of the loss."""
    task.model.train()
    task.model.zero_grad(set_to_none=True)
    micro = _micro(rows, options, rank, world)

    def seed(i: int, part: int) -> None:
        torch.manual_seed((((options.seed * 1_000_003 + step) * 1009 + rank) * 10_007 + i + part * 2**61) % 2**63)

    def own_part(i: int) -> Tensor | None:
        seed(i, 1)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return task.late_queries(micro[i])

    def run(i: int, own: Tensor | None, everyones: Tensor | None) -> Outputs:
        seed(i, 0)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return task.outputs(micro[i], None if own is None or everyones is None else (own, everyones))

    if len(micro) == 1 and world == 1:
        own = own_part(0)
        parts = task.losses(run(0, own, own), rows)
        total(parts).backward()
        return _floats(parts)
    with torch.no_grad():
        owns = [own_part(i) for i in range(len(micro))]
        present = [a for a in owns if a is not None]
        everyones = _gather(torch.cat(present), rank, world) if present else None
        own = [torch.cat(column) for column in zip(*(run(i, owns[i], everyones) for i in range(len(micro))), strict=True)]
    everyone = [_gather(column, rank, world) for column in own]
    leaves = [column.detach().requires_grad_(column.is_floating_point()) for column in everyone]
    parts = task.losses(tuple(leaves), rows)
    total(parts).backward()
    if rank:  # each process has computed the same loss: what its own parameters learn of it is counted once
        task.model.zero_grad(set_to_none=True)
    start = sum(len(rows.tensor_split(world)[r]) for r in range(rank))
    for i, part in enumerate(micro):
        outputs = run(i, own_part(i), everyones)
        gradients = [
            (out, leaf.grad[start : start + len(part)])
            for out, leaf in zip(outputs, leaves, strict=True)
            if out.requires_grad and leaf.grad is not None
        ]
        torch.autograd.backward([out for out, _ in gradients], [grad.to(out.dtype) for out, grad in gradients])
        start += len(part)
    if world > 1:
        _add_up([p for p in task.model.parameters() if p.requires_grad])
    return _floats(parts)


def _add_up(parameters: list[nn.Parameter]) -> None:
    """Gradients summed over the processes. What no process has a gradient for keeps none, as in a run of one process."""
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device)
    dist.all_reduce(used, dist.ReduceOp.MAX)
    for parameter, is_used in zip(parameters, used.tolist(), strict=True):
        if is_used:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            dist.all_reduce(parameter.grad)


def _gather(column: Tensor, rank: int, world: int) -> Tensor:
    """The rows of all processes, in the order of their ranks; shares may differ by a row."""
    if world == 1:
        return column
    sizes = [torch.zeros(1, dtype=torch.long, device=column.device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([len(column)], device=column.device))
    most = max(int(s) for s in sizes)
    padded = column.new_zeros((most, *column.shape[1:]))
    padded[: len(column)] = column
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])


def total(parts: dict[str, Tensor]) -> Tensor:
    """The loss, of its parts."""
    return torch.stack([p.float() for p in parts.values()]).sum()


def _floats(parts: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(part.detach()) for name, part in parts.items()}


def _evaluate(task: Task, rank: int, world: int) -> dict[str, float]:
    """The first process looks and tells the others, so that all agree when to stop."""
    task.model.eval()
    figures: list[dict[str, float]] = [{}]
    if rank == 0:
        with torch.no_grad():
            figures = [task.held_out()]
    if world > 1:
        dist.broadcast_object_list(figures)
    return figures[0]


def _optimizer(model: nn.Module, options: Options) -> torch.optim.AdamW:
    """Weight decay on matrices alone; what starts from the frozen text space moves slowly."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    slow = model.begins_frozen if isinstance(model, Found) else ()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.dim() > 1, name in slow), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": options.weight_decay if matrix else 0.0,
                "lr": rate,
                "initial_lr": rate,
            }
            for (matrix, slow), parameters in groups.items()
            for rate in [options.learning_rate * (options.slow if slow else 1.0)]
        ]
    )


def _rate(step: int, options: Options) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = max(1, round(options.warmup * options.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, options.steps - warm)))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in learned_state(model).items()}


FREE = ("micro_batch", "patience", "checkpoint_minutes", "log_every", "threads")
"""Options that a run may be resumed with other values of."""


def _fixed(options: Options) -> str:
    return json.dumps({k: v for k, v in vars(options).items() if k not in FREE})


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: Options,
    progress: Progress,
    best: dict[str, Tensor],
    made_of: str,
) -> None:
    """One safetensors file, replaced at once: a kill leaves the one before."""
    tensors = {f"model.{k}": v.detach().cpu() for k, v in learned_state(model).items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in state.items()}
    partial = path.with_suffix(".partial")
    about = {"progress": json.dumps(vars(progress)), "options": _fixed(options), "made_of": made_of}
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, partial, about)
    partial.replace(path)


def _resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, options: Options, made_of: str
) -> tuple[Progress, dict[str, Tensor]]:
    if not path.exists():
        return Progress(), {}
    with safe_open(path, "pt") as file:
        about = file.metadata()
        if about["options"] != _fixed(options):
            raise CannotResume(
                f"{path} was made with the options {about['options']} and not with {_fixed(options)}: "
                "give these again, or another folder."
            )
        if about.get("made_of", made_of) != made_of:
            raise CannotResume(
                f"{path} was made of another model, other losses or other data: give these again, or another folder."
            )
        progress = Progress(**json.loads(about["progress"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}, strict=False)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".", 2)
            state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
