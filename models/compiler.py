"""PyTorch's compiler, which nothing here uses, and which costs a second or two of every process that trains.

What belongs here: keeping `torch._dynamo` from being loaded by code that only asks it to stay out of the way. Every optimiser does,
and every dispatch mode: `torch._disable_dynamo` loads the compiler so as to tell it what not to compile. What does not: compiling.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class _Absent(ModuleType):
    """Stands where the compiler would, until something asks for more than that it stays away: then it is loaded."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.disable, self.graph_break = _uncompiled, _nothing

    def __getattr__(self, attribute: str) -> Any:
        if attribute in ("__file__", "__wrapped__"):  # what looks a module over asks for these; they need no compiler
            raise AttributeError(attribute)
        return getattr(_loaded(), attribute)


def _uncompiled(function: Callable, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Callable:
    return function


def _nothing(msg: str = "") -> None:
    """Where nothing is compiled there is no graph to break."""


def leave_out() -> None:
    """Has this process do without the compiler, unless it is there already. Whoever uses it later gets it as it is."""
    import torch

    if NAME in sys.modules:
        return
    stand_in = _Absent()
    stand_in.__path__ = [f"{torch.__path__[0]}/_dynamo"]
    sys.modules[NAME] = torch._dynamo = stand_in
    importlib.import_module(f"{NAME}.config")  # figures alone, which tensors without numbers look up
    del stand_in.__path__


def _loaded() -> ModuleType:
    """The compiler, which takes its place for good."""
    import torch

    if isinstance(sys.modules.get(NAME), _Absent):
        config = sys.modules[f"{NAME}.config"]
        del sys.modules[NAME]
        torch._dynamo = importlib.import_module(NAME)
        torch._dynamo.config = config
    return sys.modules[NAME]
