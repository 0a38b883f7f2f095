"""Locks of a home: who waits is told for whom, waits no longer than said, and nothing outlives its process."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from found_platform import home
from found_platform.errors import JobFailed


def test_locks_are_held_and_let_go_of(tmp_path: Path) -> None:
    with home.hold(tmp_path, ["b", "a", "b"], "a test", seconds=1) as waited:
        assert not waited
        assert not home.is_free(tmp_path, "a")
        assert home.is_free(tmp_path, "c")
    assert home.is_free(tmp_path, "a")
    assert not list((tmp_path / "locks").glob("*.holder"))


def test_who_waits_is_told_for_whom_and_for_how_long(tmp_path: Path) -> None:
    messages: list[str] = []
    with (
        home.hold(tmp_path, ["a"], "found demo", seconds=1),
        pytest.raises(JobFailed, match=rf"After 0.2 seconds a in {tmp_path} is still held by pid {os.getpid()} \(found demo\)"),
        home.hold(tmp_path, ["a"], "found backfill", seconds=0.2, waiting=messages.append),
    ):
        pass
    assert messages == [f"waiting for a, held by pid {os.getpid()} (found demo)"]


def test_who_waited_knows_it(tmp_path: Path) -> None:
    release = threading.Event()

    def holder() -> None:
        with home.hold(tmp_path, ["a"], "first", seconds=1):
            release.wait()

    thread = threading.Thread(target=holder)
    thread.start()
    while home.is_free(tmp_path, "a"):
        time.sleep(0.01)
    threading.Timer(0.3, release.set).start()
    with home.hold(tmp_path, ["a"], "second", seconds=10) as waited:
        assert waited
    thread.join()


def _hold_for_ever(folder: Path, ready: "multiprocessing.Queue[int]") -> None:
    with home.hold(folder, ["a"], "killed", seconds=1):
        ready.put(1)
        time.sleep(60)


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Queue()
    process = context.Process(target=_hold_for_ever, args=(tmp_path, ready))
    process.start()
    ready.get(timeout=30)
    assert not home.is_free(tmp_path, "a")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with home.hold(tmp_path, ["a"], "next", seconds=5):
        pass
