"""How many threads numerical libraries use for what is soon done, in a process where several people may ask at once.

BLAS has one limit for the whole process: it is lowered when the first replay begins, and the number from before comes back when the
last one ends. OpenMP has a limit for each thread that calls it: each thread lowers its own, and puts it back.

How threads of OpenMP wait holds for the whole process, and is read when a library that has them is loaded. It is set when this
module is imported, which `settings` does before any of these libraries.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

# they sleep while they wait for each other: spinning, they take cores from whatever else runs, and from their own work
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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


@contextmanager
def one_for_torch() -> Iterator[None]:
    """PyTorch uses one thread in this one until the context ends: for a few sentences, which one thread encodes in milliseconds.

    The threads of OpenMP wait for each other after every layer, and spin while they wait. Beside other work on the same cores that
    takes twenty times as long as the encoding itself.
    """
    import torch

    torch.get_num_threads()  # a thread gets the number of the process when it is first asked, which would undo the limit
    with _torch().limit(limits=1):
        yield


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
def _torch() -> Any:
    """The OpenMP libraries that are there once PyTorch is: replay's need not be loaded for a sentence."""
    import torch  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")


@cache
def _libraries(kind: str) -> Any:
    """The loaded libraries of a kind. Looked up once: that takes milliseconds."""
    import sklearn.ensemble  # noqa: F401 (so that its libraries are there)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api=kind)
