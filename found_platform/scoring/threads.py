"""How many threads numerical libraries use while a replay runs, in a process where several may run at once.

BLAS has one limit for the whole process: it is lowered when the first replay begins, and the number from before comes back when the
last one ends. OpenMP has a limit for each thread that calls it: each thread lowers its own, and puts it back.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_blas = ExitStack()


@contextmanager
def one_each() -> Iterator[None]:
    """Libraries use one thread in this one until the context ends. Contexts may overlap in any order."""
    _enter()
    try:
        with _libraries("openmp").limit(limits=1):
            yield
    finally:
        _leave()


def limit_this_thread() -> None:
    """OpenMP uses one thread in this one until it ends: for threads of a pool inside `one_each`."""
    _libraries("openmp").limit(limits=1)


def _enter() -> None:
    global _users
    with _lock:
        if not _users:
            _blas.enter_context(_libraries("blas").limit(limits=1))
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _blas.close()


@cache
def _libraries(kind: str) -> Any:
    """The loaded libraries of a kind. Looked up once: that takes milliseconds."""
    import sklearn.ensemble  # noqa: F401 (so that its libraries are there)

    return ThreadpoolController().select(user_api=kind)
