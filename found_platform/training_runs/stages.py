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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm

from found_platform import registry, workers
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings
from found_platform.training import outcome
from found_platform.training.folder import LOCK, locked
from found_platform.training.outcome import Stage
from found_platform.training.progress import read_progress
from found_platform.training_data import export
from found_platform.training_runs.configuration import COMMANDS, model_config

POLL_SECONDS = 0.2
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait by spinning take the cores from whatever else runs: a tenth of the speed was seen beside a busy neighbour."""


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
    return (folder / "outcome.json").exists() and _is_of(folder, request)


def _is_of(folder: Path, request: dict[str, Any]) -> bool:
    """Whether what is in a folder, finished or not, is of this request."""
    path = folder / "run.json"
    return path.exists() and path.read_text() == _written(request)


def _written(request: dict[str, Any]) -> str:
    """The text of run.json."""
    return json.dumps(request, indent=1)


def _trained(folder: Path, request: dict[str, Any], forward: Callable[[dict[str, Any]], None] = lambda _: None) -> Stage:
    """Trains a stage in its folder; one that was killed, or begun beside this process, goes on."""
    beside = _beside.pop(folder, None)
    if beside is None or beside.exitcode or not _is_of(folder, request):
        if beside is not None:
            _end(beside)
            beside = None
        _prepare(folder, request, lambda: forward({"said": f"another process trains in {folder.name}: waiting for it"}))
    _process(folder / "run.json", folder.name, forward, beside)
    trained = outcome.read(folder)
    assert trained is not None
    return trained


def _prepare(folder: Path, request: dict[str, Any], waits: Callable[[], object]) -> None:
    """Leaves in a folder its run.json, and what a training of the same that was killed has written."""
    with locked(folder, waits):
        if not _is_of(folder, request) or (folder / "outcome.json").exists():
            for left in folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != LOCK:
                    left.unlink()
            (folder / "run.json").write_text(_written(request))


_beside: dict[Path, BaseProcess] = {}
"""Stages that were begun before somebody waits for them, by folder."""


class _Taken(Exception):
    """Another process trains in a folder."""


def begin(settings: Settings, cutoff: dt.date, name: str) -> None:
    """Has a stage train beside this process, where something forks: `run` of the same goes on with it. It ends with this process.

    It does where the stage leaves cores to others, by the profile: with one thread, on a CPU, and with nobody else in its folder.
    """
    from models.device import chosen_device

    alone = getattr(settings.sizes, name).options.get("threads") != 1 or chosen_device() != "cpu" or (os.cpu_count() or 1) < 2
    folder = export.folder(settings, cutoff) / name
    if alone or folder in _beside or not workers.forks() or (request := _request(settings, folder)) is None:
        return

    def taken() -> None:
        raise _Taken

    with contextlib.suppress(_Taken):
        _prepare(folder, request, taken)
        if fork := _forked(folder / "run.json", name):
            _beside[folder] = fork


def skip(settings: Settings, cutoff: dt.date, name: str, why: str) -> None:
    """Leaves a stage of a cutoff untrained, and says why in its folder."""
    folder = export.folder(settings, cutoff) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "skipped.txt").write_text(why + "\n")


def finished(settings: Settings, cutoff: dt.date, name: str) -> Stage | None:
    """A stage that has been trained for a cutoff, or None."""
    return outcome.read(export.folder(settings, cutoff) / name)


def _process(config: Path, name: str, forward: Callable[[dict[str, Any]], None], beside: BaseProcess | None = None) -> None:
    """Runs the stage of a configuration, in a process that ends with this one: one that was begun, or else a new one."""
    lines, output = config.parent / "progress.jsonl", config.parent / OUTPUT
    lines_seen = bytes_read = 0
    with _started(config, name, beside) as status, tqdm(desc=f"training {name}", unit="step", disable=None, leave=False) as bar:
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
def _started(config: Path, name: str, beside: BaseProcess | None = None) -> Iterator[Callable[[], int | None]]:
    """The process of a stage, killed at the end of the context: a function that says its exit status, None while it runs.

    A fork of what has the libraries, where this process has such a thing, else an interpreter. That one reads from a pipe whose
    other end is here, so it ends with this process.
    """
    if fork := beside or _forked(config, name):
        try:
            yield lambda: fork.exitcode
        finally:
            _end(fork)
        return
    arguments, output = _arguments(config, name), config.parent / OUTPUT
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


def _arguments(config: Path, name: str) -> list[str]:
    return [COMMANDS[name], "--config", str(config)]


def _forked(config: Path, name: str) -> BaseProcess | None:
    """A fork that trains the stage of a configuration. None where this process has nothing that forks."""
    from found_platform.training.__main__ import main  # what forks has loaded it: a fork begins to train at once

    output = config.parent / OUTPUT
    output.write_bytes(b"")
    return workers.fork(main, _arguments(config, name), output=output)


def _end(fork: BaseProcess) -> None:
    fork.kill()
    fork.join()


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
