"""A stage's folder is one process's, and a trainer ends with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_training import configure

from found_platform.training.folder import locked

PARENT = """
import subprocess, sys, time
command = [sys.executable, "-m", "found_platform.training", "pretrain", "--config", sys.argv[1], "--attended"]
print(subprocess.Popen(command, stdin=subprocess.PIPE).pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_trainer_dies_with_a_killed_parent_and_the_next_one_goes_on(folder: Path, tmp_path: Path) -> None:
    config = configure(tmp_path, folder, "behavior", options={"steps": 1_000_000, "evaluate_every": 1_000_000})
    parent = subprocess.Popen([sys.executable, "-c", PARENT, config], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    trainer = int(parent.stdout.readline())
    try:
        until(lambda: (tmp_path / "behavior" / "progress.jsonl").exists())
        parent.kill()
        parent.wait()
        with locked(tmp_path / "behavior", lambda: None):  # as soon as the trainer is gone
            pass
        until(lambda: not alive(trainer))
    finally:
        parent.kill()
        if alive(trainer):
            os.kill(trainer, signal.SIGKILL)


@pytest.mark.slow
def test_a_second_trainer_waits_for_the_folder_and_says_so(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "found_platform.training", "pretrain", "--config", configure(tmp_path, folder, "tabular")]
    with locked(tmp_path / "tabular", lambda: None):
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        assert second.stdout is not None
        while "another process trains in" not in (line := second.stdout.readline()):
            assert line, "the second trainer did not wait"
        assert not (tmp_path / "tabular" / "progress.jsonl").exists()
    assert second.wait(timeout=120) == 0
    assert (tmp_path / "tabular" / "outcome.json").exists()
    second.stdout.close()


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
