"""Python's collector of cyclic garbage, and what it need not look at.

What belongs here: objects of libraries, which live as long as the process. What does not: releasing anything.
"""

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Loads libraries within: none of their objects is garbage, so nobody looks for any among them, neither then nor later.

    Whatever else there is at its end counts as theirs: it is for a process that has just begun.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def growing() -> Iterator[None]:
    """Makes many objects within that are all in use until its end: nobody looks for garbage among them meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


OLDEST = 100
"""How often the younger ones are looked through before all objects are: Python's 10 is a fifth of what libraries take to load."""


def of_command() -> None:
    """For a process that loads libraries, answers and ends: looks through all objects seldom, and not at all at its end, when its
    memory goes with it. What has to end in good order still does."""
    gc.set_threshold(*gc.get_threshold()[:2], OLDEST)
    atexit.register(gc.freeze)
