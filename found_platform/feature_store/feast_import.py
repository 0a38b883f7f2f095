"""Importing Feast without rewriting its source, and without PyTorch.

Feast decorates its classes with typeguard, which compiles each of their methods anew at every start to check the types of its own
calls: more than half of the processor seconds of the import. Python leaves that out with `-O`, and so does `load`. Of what is left
PyTorch takes half, which Feast loads for tensors that nobody here asks it for: it is loaded once they are asked for.
"""

import importlib
import sys
import threading
from types import ModuleType
from typing import Any
from unittest import mock

_TURN = threading.Lock()
"""Of two threads, the second would take the first one's replacement for the decorator, and put that back."""


def load() -> None:
    """Imports Feast, where it is not yet imported, as `python -O` would, and PyTorch not with it."""
    with _TURN, mock.patch("typeguard.typechecked", _unchanged):
        if "torch" not in sys.modules:
            sys.modules.setdefault("feast.torch_wrapper", _wrapper())
        import feast
        import feast.infra.offline_stores.ibis  # noqa: F401


def _wrapper() -> ModuleType:
    """In place of `feast.torch_wrapper`, which imports torch when it is imported."""
    module = ModuleType("feast.torch_wrapper")
    vars(module)["get_torch"] = lambda: importlib.import_module("torch")
    return module


def _unchanged(target: Any = None, **_options: Any) -> Any:
    """In place of `typeguard.typechecked`: the decorated class or function itself."""
    return _unchanged if target is None else target
