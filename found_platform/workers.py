"""A process beside a command that loads libraries while the command goes on, and forks: a fork begins without loading anything.

What belongs here: that process, work in a fork of it, and what a command does while it waits for one. What does not: the work itself
(training, probes of the benchmark). Only a command line has such a process, see `app.process`: whoever else asks for a fork is
told that there is none, and starts an interpreter.

Python's own fork server does it. That process runs no thread of a computation, so a fork of it inherits none that is gone.
"""

import contextlib
import importlib
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

_context: ForkServerContext | None = None


@contextlib.contextmanager
def beside(*modules: str) -> Iterator[None]:
    """Has a process that forks, and that has these modules loaded, until the context ends. Does not wait for it.

    Where this process has one already, it stays as it is.
    """
    global _context
    before = _context
    context = before or multiprocessing.get_context("forkserver")
    if before is None:
        context.set_forkserver_preload(list(modules))
        forkserver.ensure_running()
    _context = context
    try:
        yield
    finally:
        _context = before


def context() -> ForkServerContext | None:
    """What makes processes that are forks, for pools; None where this process has nothing that forks."""
    return _context


def fork(work: Callable[..., None], *arguments: object, output: Path) -> BaseProcess | None:
    """Begins work in a fork that prints to a file and ends with this process. None where this process has nothing that forks."""
    if _context is None:
        return None
    process = _context.Process(target=_attended, args=(work, arguments, output))
    process.start()
    return process


def _attended(work: Callable[..., None], arguments: tuple[object, ...], output: Path) -> None:
    with output.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    print("the process that started this work is gone: it stops, and goes on when it is asked for again", flush=True)
    os._exit(1)  # at once and from a thread


_unloaded: deque[str] = deque()


def load_while_waiting(*modules: str) -> None:
    """Has modules loaded by whoever next waits for another process: they are needed later, and by then they are there."""
    _unloaded.extend(modules)


def use_the_wait() -> None:
    """Loads one of the modules that are to be loaded while something else is waited for, if there are any left."""
    if _unloaded:
        with contextlib.suppress(ImportError):  # whoever needs it is told
            importlib.import_module(_unloaded.popleft())
