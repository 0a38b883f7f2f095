"""What a step prints, into its file and on to whoever watches the command, by a thread of this process.

What belongs here: the way there. What does not: where those files are, and who shows them, which is Dagster's.

Dagster starts two processes for each of the two streams of a step: one that follows the file, and an interpreter that watches over
it. That takes longer than many a step, and what is printed in the last second before the end is lost.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import dagster as dg
from dagster._core.execution import compute_logs
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager

SECONDS = 0.2
"""Between two looks for what is new."""


def install(instance: dg.DagsterInstance) -> None:
    """Has an instance's steps in this process print so. One whose `dagster.yaml` names another place for its logs is left alone."""
    manager = instance.compute_log_manager
    if type(manager) is LocalComputeLogManager:
        manager.capture_logs = functools.partial(_captured, manager)


@contextlib.contextmanager
def _captured(manager: LocalComputeLogManager, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
    """`LocalComputeLogManager.capture_logs`."""
    out, err = (
        manager.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]) for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
    )
    with mirrored(sys.stdout, out), mirrored(sys.stderr, err):
        yield CapturedLogContext(log_key)
    Path(manager.complete_artifact_path(log_key)).touch()


@contextlib.contextmanager
def mirrored(stream: TextIO, path: str) -> Iterator[None]:
    """What goes to a stream goes to a file, and from there to where the stream went before."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).touch()
    try:
        shown = os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):  # no file behind it, as in tests: nothing is redirected either
        with compute_logs.redirect_to_file(stream, path):
            yield
        return
    ended = threading.Event()
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        copying = threading.Thread(target=_copy, args=(file, shown, ended), daemon=True)
        copying.start()
        try:
            with compute_logs.redirect_to_file(stream, path):
                yield
        finally:
            ended.set()
            copying.join()
            os.close(shown)


def _copy(file: BinaryIO, shown: int, ended: threading.Event) -> None:
    is_last = False
    while not is_last:
        is_last = ended.wait(SECONDS)
        while content := file.read(65_536):
            try:
                while content:
                    content = content[os.write(shown, content) :]
            except OSError:  # nobody reads it any more
                return
