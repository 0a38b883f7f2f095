"""`python -m found_platform.training pretrain|align --config run.json`, alone or under `torchrun`.

run.json:
    stage      "behavior" | "tabular" (pretrain), "align"
    data       folder with the files of `data`, relative to run.json or absolute
    out        folder for checkpoint.safetensors, progress.jsonl, best.safetensors, outcome.json and the model
    model      the configuration of the whole model, `models.found.FoundConfig`
    initial    for align: {"behavior": best.safetensors of that stage, "tabular": ...}
    options    `loop.Options`
    losses     `tasks.BehaviorLosses` or `tasks.AlignLosses`

With `--attended` it ends when its standard input is closed: with the process that started it, however that one ends. A folder is
written by one process at a time; another one waits for it.

Exit status 2: the config or the data cannot be used, or the machine is too small; the message says why. Anything else that goes
wrong shows where.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file

from found_platform.training import machine, tasks
from found_platform.training.data import HELD_OUT_FOLD, TrainingData
from found_platform.training.folder import end_with_parent, locked
from found_platform.training.loop import CannotResume, Options, Task, train
from models.device import chosen_device
from models.found import Found, FoundConfig, rebuild, save
from models.text_encoder import EncoderNotFound

STAGES = {"pretrain": ("behavior", "tabular"), "align": ("align",)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m found_platform.training", description="Train a stage of FOUND.")
    parser.add_argument("command", choices=STAGES)
    parser.add_argument("--config", type=Path, required=True, help="run.json; see the module's documentation")
    parser.add_argument("--attended", action="store_true", help="end when standard input is closed, with whoever started this")
    options = parser.parse_args(arguments)
    if options.attended:
        end_with_parent()
    try:
        with _said_plainly():
            run = json.loads(options.config.read_text())
            if run["stage"] not in STAGES[options.command]:
                raise ValueError(f"stage is {run['stage']!r}: `{options.command}` trains {' or '.join(STAGES[options.command])}")
        execute(run, options.config.parent)
    except (CannotRun, CannotResume) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        sys.exit(2)


class CannotRun(ValueError):
    """A config, data or a machine that training cannot start with. The message says why."""


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise CannotRun(f"{error} is missing") from error
    except (OSError, TypeError, ValueError, SafetensorError, EncoderNotFound, machine.DoesNotFit) as error:
        raise CannotRun(str(error)) from error


def execute(run: dict[str, Any], base: Path) -> dict[str, Any]:
    """Trains what a configuration asks for and writes the outcome; the same as a process does.

    Raises CannotRun before anything is trained, CannotResume where the folder holds another run.
    """
    distributed = "RANK" in os.environ
    device = chosen_device()
    if distributed:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _said_plainly():
        options = Options(**run["options"])
        out = base / run["out"]
        torch.manual_seed(options.seed)
        data = TrainingData(base / run["data"])
        task = _task(run, data, base)
        if not len(task.rows):
            raise ValueError(f"there is nobody to train on: no user outside of fold {HELD_OUT_FOLD} has what this stage needs")
        needs = machine.check(task.model, options, device)
    first = not distributed or dist.get_rank() == 0
    if first:
        print(
            f"{run['stage']}: {needs.sentence()}; {len(task.rows):,} rows, batch {options.batch}, {options.steps} steps",
            flush=True,
        )
    waits = f"another process trains in {out.name}: waiting for it"
    with locked(out, lambda: print(waits, flush=True)) if first else contextlib.nullcontext():
        progress = train(task, options, out, device, _made_of(run, data))
        outcome = {
            "stage": run["stage"],
            "parameters": needs.parameters,
            "trained_parameters": needs.trained,
            "rows": len(task.rows),
            "users": data.users(task.rows),
            "texts": len(data.text_vectors),
            "helped": progress.best_step > 0,
            **vars(progress),
        }
        if first:
            if isinstance(task.model, Found):
                save(task.model.cpu(), out / "model")
            partial = out / "outcome.partial"
            partial.write_text(json.dumps(outcome, indent=1))
            partial.replace(out / "outcome.json")  # the stage has finished where this file is
            if not outcome["helped"]:
                print(f"{run['stage']} did not help: no step was better on held-out users than the start", flush=True)
    if distributed:
        dist.destroy_process_group()
    return outcome


def _made_of(run: dict[str, Any], data: TrainingData) -> str:
    """A hash of the model, the losses and the data: a checkpoint of others is no place to go on from."""
    digest = hashlib.sha256(json.dumps([run["model"], run.get("losses")], sort_keys=True).encode())
    for path in sorted(data.folder.iterdir()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _task(run: dict[str, Any], data: TrainingData, base: Path) -> Task:
    config = rebuild(run["model"])
    _fits(config, data)
    model = tasks.model_of(run["stage"], config)
    for name, path in run.get("initial", {}).items() if isinstance(model, Found) else ():
        weights = load_file(base / path)
        encoder = {"behavior": model.behavior, "tabular": model.tabular}.get(name)
        if encoder is None:
            raise ValueError(f"initial names {name!r}, which this model does not have")
        prefix = "encoder." if name == "behavior" else ""
        expected_shapes = {k: v.shape for k, v in encoder.state_dict().items()}
        encoder_weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if expected_shapes != {k: v.shape for k, v in encoder_weights.items()}:
            raise ValueError(f"{base / path} holds no {name} encoder of these sizes")
        encoder.load_state_dict(encoder_weights)
    return tasks.task_of(model, data, run.get("losses", {}))


def _fits(config: FoundConfig, data: TrainingData) -> None:
    sizes = [("text_dim", config.text_dim, data.text_vectors.shape[1])]
    if config.activity:
        sizes.append(("activity", config.activity, data.activity.width))
    if config.behavior:
        sizes.append(("behavior.text_dim", config.behavior.text_dim, data.text_vectors.shape[1]))
    if config.tabular:
        sizes.append(("the number of tabular.values", len(config.tabular.values), data.cells.width))
    for name, configured, in_data in sizes:
        if configured != in_data:
            raise ValueError(f"{name} is {configured} in the model and {in_data} in the data")
    values = config.tabular.values if config.tabular and len(data) else ()
    for column, (count, most) in enumerate(zip(values, data.cells.largest() if values else (), strict=True)):
        if most >= count:
            raise ValueError(f"column {column} of the table holds the code {most} and tabular.values has {count} codes for it")


if __name__ == "__main__":
    os.umask(0o077)  # what is learned of people is for the owner of the folder alone
    main()
