"""How many threads numerical libraries use while a replay runs, in a process where several may run at once.

BLAS has one limit for the whole process: it is lowered when the first replay begins, and the number from before comes back when the
last one ends. OpenMP has a limit for each thread that calls it: each thread lowers its own, and puts it back.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_blas: Any = None


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
    global _users, _blas
    with _lock:
        if not _users:
            _blas = _in_a_thread_of_its_own(lambda: _libraries("blas").limit(limits=1))
        _users += 1


def _leave() -> None:
    global _users, _blas
    with _lock:
        _users -= 1
        if not _users:
            _in_a_thread_of_its_own(_blas.restore_original_limits)
            _blas = None


def _in_a_thread_of_its_own(call: Callable[[], Any]) -> Any:
    """threadpoolctl lets nobody change a limit while the thread that set it is alive: a worker thread would keep it for good."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@cache
def _libraries(kind: str) -> Any:
    """The loaded libraries of a kind. Looked up once: that takes milliseconds."""
    import sklearn.ensemble  # noqa: F401 (so that its libraries are there)

    return ThreadpoolController().select(user_api=kind)
