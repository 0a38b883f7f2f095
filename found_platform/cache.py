"""Single-flight caching: what is expensive to make is made once, also where several threads ask for it at the same time.

`functools.lru_cache` lets each of them make it. What is kept is bounded, and the entry that was used longest ago goes first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import update_wrapper
from itertools import islice
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class SingleFlight(Generic[P, R]):
    """A function of hashable arguments whose last `size` results are kept. A call that fails leaves nothing behind."""

    def __init__(self, function: Callable[P, R], size: int):
        self._function, self._size = function, size
        self._results: OrderedDict[Hashable, Future[R]] = OrderedDict()
        self._lock = threading.Lock()
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (args, tuple(sorted(kwargs.items())))
        with self._lock:
            result = self._results.get(key)
            if makes_it := result is None:
                result = self._results[key] = Future()
            self._results.move_to_end(key)
            self._let_go()
        if makes_it:
            try:
                result.set_result(self._function(*args, **kwargs))
                with self._lock:
                    self._let_go()
            except BaseException as error:
                with self._lock:
                    if self._results.get(key) is result:
                        del self._results[key]
                result.set_exception(error)  # to whoever waits for it
        return result.result()

    def _let_go(self) -> None:
        """What is being made stays beyond the size, else somebody who asks for it meanwhile would make it again."""
        finished = (key for key, result in self._results.items() if result.done())
        for key in list(islice(finished, max(0, len(self._results) - self._size))):
            del self._results[key]

    def cache_clear(self) -> None:
        """Forgets every result."""
        with self._lock:
            self._results.clear()


def single_flight(size: int) -> Callable[[Callable[P, R]], SingleFlight[P, R]]:
    """Keeps the last `size` results of a function; of calls at the same time with the same arguments, one does the work."""
    return lambda function: SingleFlight(function, size)
