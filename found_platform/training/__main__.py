"""`python -m found_platform.training pretrain|align --config run.json`, alone or under `torchrun`.

run.json:
    stage      "behavior" | "tabular" (pretrain), "align"
    data       folder with the files of `data`, relative to run.json or absolute
    out        folder for checkpoint.safetensors, progress.jsonl, best.safetensors, outcome.json and the model
    model      the configuration of the whole model, `models.found.FoundConfig`
    initial    for align: {"behavior": best.safetensors of that stage, "tabular": ...}
    options    `loop.Options`
    losses     `tasks.BehaviorLosses` or `tasks.AlignLosses`

Exit status 2: the config cannot be used, or the machine is too small.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from found_platform.training import machine, tasks
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options, Task, train
from models.found import Found, rebuild, save

STAGES = {"pretrain": ("behavior", "tabular"), "align": ("align",)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m found_platform.training", description="Train a stage of FOUND.")
    parser.add_argument("command", choices=STAGES)
    parser.add_argument("--config", type=Path, required=True, help="run.json; see the module's documentation")
    asked = parser.parse_args(arguments)
    try:
        run = json.loads(asked.config.read_text())
        if run["stage"] not in STAGES[asked.command]:
            raise ValueError(f"stage is {run['stage']!r}: `{asked.command}` trains {' or '.join(STAGES[asked.command])}")
        execute(run, asked.config.parent)
    except (OSError, KeyError, TypeError, ValueError, machine.DoesNotFit) as error:
        print(f"{asked.config}: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)


def execute(run: dict[str, Any], base: Path) -> dict[str, Any]:
    """Trains what a configuration asks for and writes the outcome; the same as a process does."""
    distributed = "RANK" in os.environ
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if distributed:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    options = Options(**run["options"])
    out = base / run["out"]
    torch.manual_seed(options.seed)
    data = TrainingData(base / run["data"])
    task = _task(run, data, base)
    wanted = machine.check(task.model, options, device)
    first = not distributed or dist.get_rank() == 0
    if first:
        print(
            f"{run['stage']}: {wanted.sentence()}; {len(task.rows):,} rows, batch {options.batch}, {options.steps} steps",
            flush=True,
        )
    progress = train(task, options, out, device)
    outcome = {
        "stage": run["stage"],
        "parameters": wanted.parameters,
        "trained_parameters": wanted.trained,
        "rows": len(task.rows),
        "users": len(data.owner[task.rows].unique()),
        "texts": len(data.text_vectors),
        "helped": progress.best_step > 0,
        **vars(progress),
    }
    if first:
        if isinstance(task.model, Found):
            save(task.model.cpu(), out / "model")
        (out / "outcome.json").write_text(json.dumps(outcome, indent=1))
        if not outcome["helped"]:
            print(f"{run['stage']} did not help: no step was better on held-out users than the start", flush=True)
    if distributed:
        dist.destroy_process_group()
    return outcome


def _task(run: dict[str, Any], data: TrainingData, base: Path) -> Task:
    config = rebuild(run["model"])
    if run["stage"] == "behavior":
        assert config.behavior is not None
        return tasks.BehaviorTask(data, config.behavior, tasks.BehaviorLosses(**run.get("losses", {})))
    if run["stage"] == "tabular":
        assert config.tabular is not None
        return tasks.TabularTask(data, config.tabular)
    model = Found(config)
    for name, path in run.get("initial", {}).items():
        weights = load_file(base / path)
        encoder = getattr(model, name)
        prefix = "encoder." if name == "behavior" else ""
        encoder.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    return tasks.AlignTask(data, model, tasks.AlignLosses(**run.get("losses", {})))


if __name__ == "__main__":
    main()
