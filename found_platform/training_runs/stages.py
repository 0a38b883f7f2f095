"""Runs the stages of training for a cutoff, each as its own process, and registers what comes out.

A stage lies in `HOME/training/CUTOFF/STAGE`: `run.json`, `progress.jsonl`, its checkpoint and its best weights. A killed stage goes
on from its checkpoint when it is asked for again with the same `run.json`.
"""

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from found_platform import registry, workers
from found_platform.contract import CHANNELS, SEARCH
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings
from found_platform.training import outcome
from found_platform.training.folder import LOCK, locked
from found_platform.training.outcome import Stage
from found_platform.training.progress import read_progress
from found_platform.training_data import export

COMMANDS = {"behavior": "pretrain", "tabular": "pretrain", "align": "align"}
TOWERS = ("event_tower", "description_tower")
POLL_SECONDS = 0.2
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait by spinning take the cores from whatever else runs: a tenth of the speed was seen beside a busy neighbour."""


def model_config(settings: Settings, about: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the whole model: the profile's sizes and what the data of a cutoff say `about` themselves."""
    from models.behavior import BehaviorConfig
    from models.found import FoundConfig
    from models.table_codec import Column
    from models.tabular import TabularConfig
    from models.text_tower import TowerConfig

    sizes = dict(settings.sizes.model)
    columns = tuple(
        Column(c["name"], tuple(c["edges"]), None if c["values"] is None else tuple(c["values"])) for c in about["columns"]
    )
    behavior = BehaviorConfig(about["text_dim"], channels=len(CHANNELS), **sizes.pop("behavior"))
    tabular = sizes.pop("tabular")
    event_tower, description_tower = (TowerConfig(**t) if (t := sizes.pop(n, None)) else None for n in TOWERS)
    config = FoundConfig(
        encoder=about["encoder"],
        encoder_revision=about["encoder_revision"],
        text_dim=about["text_dim"],
        activity=about["activity"],
        behavior=behavior,
        tabular=TabularConfig(tuple(c.size for c in columns), **tabular) if columns else None,
        columns=columns,
        channels=len(CHANNELS),
        search_channel=CHANNELS.index(SEARCH),
        event_tower=event_tower,
        description_tower=description_tower,
        **sizes,
    )
    return asdict(config)


def run(settings: Settings, cutoff: dt.date, name: str, forward: Callable[[dict[str, Any]], None] = lambda _: None) -> Stage | None:
    """Trains a stage on the files of a cutoff and logs it in MLflow. None where the data have nothing for it to learn from.

    Args:
        forward: told every line of the stage's progress as it is written, and {"said": ...} what the process prints.

    Raises JobFailed with the process's last words, and the file that has all of them.
    """
    folder = export.folder(settings, cutoff) / name
    request = _request(settings, folder)
    if request is None:
        return None
    trained = _trained(folder, request, forward)
    parameters = {"cutoff": str(cutoff), "profile": settings.profile, **request["options"], **request["losses"]}
    registry.log_stage(settings, f"{name} {cutoff}", parameters, trained.curves)
    return trained


def again(settings: Settings, cutoff: dt.date, seed: int) -> Path:
    """Trains every stage of a cutoff with another seed, beside the ones that serve, and returns the folder of the model.

    Nothing is registered. What was trained of the same is kept, and a killed training goes on. Raises BadInput as `check_files`
    does, and JobFailed as `run` does.
    """
    check_files(settings, cutoff)
    home = export.folder(settings, cutoff)
    (home / "seeds").mkdir(exist_ok=True)
    for name in COMMANDS:
        folder = home / "seeds" / str(seed) / name
        request = _request(settings, folder, seed)
        if request is not None and not _is_finished(folder, request):
            _trained(folder, request)
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return home / "seeds" / str(seed) / "align" / "model"


def check_files(settings: Settings, cutoff: dt.date) -> None:
    """Raises BadInput where the files that the stages of a cutoff were trained on are gone: an erasure removes them."""
    if not (export.folder(settings, cutoff) / "data" / "data.json").exists():
        raise BadInput(
            f"The training files of {cutoff} are no longer in the home, so no model can be trained with another seed: "
            "run `found demo`, which writes them, or take --training-seeds 1."
        )


def _request(settings: Settings, folder: Path, seed: int | None = None) -> dict[str, Any] | None:
    """The run.json of a stage, whose folder has its name; None where the data have nothing for it to learn from."""
    name = folder.name
    data = next(above / "data" for above in folder.parents if (above / "data" / "data.json").exists())
    config = model_config(settings, json.loads((data / "data.json").read_text()))
    if name != "align" and config[name] is None:
        return None
    stage = getattr(settings.sizes, name)
    encoders = [part for part in ("behavior", "tabular") if name == "align" and config[part] is not None]
    sources = [*(folder.parent / part / "best.safetensors" for part in encoders), *sorted(data.glob("rows*.safetensors"))]
    return {
        "stage": name,
        "data": os.path.relpath(data, folder),
        "out": ".",
        "model": config,
        "initial": {part: f"../{part}/best.safetensors" for part in encoders},
        "options": stage.options if seed is None else {**stage.options, "seed": seed},
        "losses": stage.losses,
        "made_of": [outcome.sha256_of(source) for source in sources],
    }


def _is_finished(folder: Path, request: dict[str, Any]) -> bool:
    path = folder / "run.json"
    return (folder / "outcome.json").exists() and path.exists() and path.read_text() == json.dumps(request, indent=1)


def _trained(folder: Path, request: dict[str, Any], forward: Callable[[dict[str, Any]], None] = lambda _: None) -> Stage:
    """Trains a stage in its folder; one that was killed goes on."""
    path, text = folder / "run.json", json.dumps(request, indent=1)
    with locked(folder, lambda: forward({"said": f"another process trains in {folder.name}: waiting for it"})):
        unfinished = path.exists() and path.read_text() == text and not (folder / "outcome.json").exists()
        if not unfinished:
            for left in folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != LOCK:
                    left.unlink()
            path.write_text(text)
    _process(path, folder.name, forward)
    trained = outcome.read(folder)
    assert trained is not None
    return trained


def skip(settings: Settings, cutoff: dt.date, name: str, why: str) -> None:
    """Leaves a stage of a cutoff untrained, and says why in its folder."""
    folder = export.folder(settings, cutoff) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "skipped.txt").write_text(why + "\n")


def finished(settings: Settings, cutoff: dt.date, name: str) -> Stage | None:
    """A stage that has been trained for a cutoff, or None."""
    return outcome.read(export.folder(settings, cutoff) / name)


def _process(config: Path, name: str, forward: Callable[[dict[str, Any]], None]) -> None:
    """Runs the stage of a configuration, in a process that ends with this one."""
    lines, output = config.parent / "progress.jsonl", config.parent / OUTPUT
    lines_seen = bytes_read = 0
    with _started(config, name) as status, tqdm(desc=f"training {name}", unit="step", disable=None, leave=False) as bar:
        running = True
        while running:
            workers.use_the_wait()
            time.sleep(POLL_SECONDS)
            running = status() is None
            complete, bytes_read = _complete_lines(output, bytes_read)
            for line in complete:  # what the run needs, before it starts
                forward({"said": line})
                bar.set_postfix_str(line.split(";")[0][-40:])
            steps = list(read_progress(lines))
            for line in steps[lines_seen:]:
                forward(line)
                bar.total = line["steps"]
                bar.update(line["step"] - bar.n)
            lines_seen = len(steps)
    if ended := status():
        raise JobFailed(f"Training stage {name} failed: {_last_words(output, ended)} The whole output is in {output}.")


@contextlib.contextmanager
def _started(config: Path, name: str) -> Iterator[Callable[[], int | None]]:
    """The process of a stage, killed at the end of the context: a function that says its exit status, None while it runs.

    A fork of what has the libraries, where this process has such a thing, else an interpreter. That one reads from a pipe whose
    other end is here, so it ends with this process.
    """
    arguments, output = [COMMANDS[name], "--config", str(config)], config.parent / OUTPUT
    output.write_bytes(b"")
    if fork := workers.fork(_train, arguments, output=output):
        try:
            yield lambda: fork.exitcode
        finally:
            fork.kill()
            fork.join()
        return
    command = [sys.executable, "-m", "found_platform.training", *arguments, "--attended"]
    with output.open("w+b") as printed:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT, env={**os.environ, **ENVIRONMENT}
        )
        try:
            yield process.poll
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _train(arguments: list[str]) -> None:
    """What a fork does."""
    from found_platform.training.__main__ import main

    main(arguments)


OUTPUT = "output.txt"
"""What the process of a stage prints, in the stage's folder."""


def _complete_lines(file: Path, start: int) -> tuple[list[str], int]:
    """The lines that another process has finished writing, from a byte on, and the byte to go on from.

    They may be of any encoding. Empty ones say nothing and are left out.
    """
    with file.open("rb") as printed:
        printed.seek(start)
        complete, newline, _ = printed.read().rpartition(b"\n")
    lines = complete.decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()], start + len(complete + newline)


def _last_words(file: Path, status: int) -> str:
    """Why a process ended, in a sentence: the last line that it printed, without the name of a Python class."""
    if status < 0:
        return f"the process was killed (signal {-status}); a machine that runs out of memory does so."
    lines = file.read_bytes().decode(errors="replace").strip().splitlines()
    last = re.sub(r"^[\w.]+(Error|Exception|Interrupt|Exit)(: |$)", "", lines[-1].strip()) if lines else ""
    return f"{last.rstrip('.') or f'it ended with exit status {status}'}."
