"""The folder of a stage, for one process at a time, and a process that ends with the one that started it.

What belongs here: what keeps two trainings from writing into one folder. Needs nothing but the standard library.
"""

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK = "training.lock"


@contextlib.contextmanager
def locked(folder: Path, waits: Callable[[], object]) -> Iterator[None]:
    """Holds a stage's folder, which is made where it is missing. The lock is the system's: it ends with the process.

    Args:
        waits: called once where another process holds the folder, before this one waits for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def end_with_parent() -> None:
    """Ends this process as soon as its standard input is closed, as happens when the process that holds the other end is gone."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 1024):
                pass
        print("the process that started this training is gone: it stops, and goes on when it is asked for again", flush=True)
        os._exit(1)  # at once and from a thread; the last checkpoint is whole

    threading.Thread(target=watch, daemon=True).start()
