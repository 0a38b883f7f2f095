"""A process beside a command that loads libraries while the command goes on, and forks: a fork begins without loading anything.

What belongs here: that process, work in a fork of it, and what a command does while it waits for one. What does not: the work
itself (training, probes of the benchmark). Only a command line has such a process, see `app.process`: whoever else asks for a fork
is told that there is none, and starts an interpreter.

Python's own fork server does it. That process runs no thread of a computation, so a fork of it inherits none that is gone.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_context: ForkServerContext | None = None


@contextlib.contextmanager
def beside(*modules: str) -> Iterator[None]:
    """Has a process that forks, and that has these modules loaded, until the context ends. Does not wait for it.

    Where this process has one already, it stays as it is. A program that would run all over again in a fork has none.
    """
    global _context
    before = _context
    if before is None and not _loads_without_running():
        yield
        return
    context = before or multiprocessing.get_context("forkserver")
    if before is None:
        context.set_forkserver_preload(list(modules))
        forkserver.ensure_running()
    _context = context
    try:
        yield
    finally:
        _context = before
        if before is None:
            _stop()


def _stop() -> None:
    """Ends the process that forks, whatever it is at; what its forks took counts as of this process then. Forks end with it."""
    server: Any = vars(forkserver)["_forkserver"]  # Python itself ends it with this process alone
    for process in multiprocessing.active_children():
        if isinstance(process, ForkServerProcess):
            process.kill()
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGTERM)
        server._stop()


def _loads_without_running() -> bool:
    """Whether the program of this process looks at its name before it runs: a fork loads it under another one."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return main.__spec__ is not None or file is None or "__name__" in Path(file).read_text("utf-8", errors="replace")


def forks() -> bool:
    """Whether this process has something that forks."""
    return _context is not None


def in_a_fork() -> bool:
    """Whether this process is a fork that works for another one."""
    return multiprocessing.parent_process() is not None


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


def ahead(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> Callable[[], T]:
    """Begins work in a fork and returns at once: what is returned waits for its result, or raises its error.

    Where this process has nothing that forks, or the fork was killed, the work is done when it is asked for, in this process.
    """
    if _context is None:
        return lambda: work(*arguments, **options)
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_answered, args=(sender, work, arguments, options), daemon=True)

    def start() -> None:
        with sender, contextlib.suppress(Exception):  # without a fork, or with work that cannot be sent to one, it is done here
            process.start()  # waits until what forks has loaded its libraries

    starting = threading.Thread(target=start, daemon=True)
    starting.start()

    def result() -> T:
        starting.join()
        try:
            succeeded, answer = receiver.recv()
        except (EOFError, OSError):
            return work(*arguments, **options)
        receiver.close()
        process.join()
        if not succeeded:
            raise answer
        return answer

    return result


def _answered(sender: Connection, work: Callable[..., object], arguments: tuple[object, ...], options: dict[str, object]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = True, work(*arguments, **options)
    except Exception as error:
        answer = False, error
    sender.send(answer)


_later: deque[Callable[[], object]] = deque()


def later(call: Callable[[], object]) -> None:
    """Has something done by whoever next waits for another process: it is needed later, and by then it is done."""
    _later.append(call)


def load_later(*modules: str) -> None:
    """Has modules loaded by whoever next waits for another process, one by one."""
    for module in modules:
        later(partial(importlib.import_module, module))


def use_the_wait() -> None:
    """Does one of the things that are to be done while something else is waited for, if there are any left."""
    if _later:
        with contextlib.suppress(Exception):  # whoever needs it meets the same, and says it
            _later.popleft()()
