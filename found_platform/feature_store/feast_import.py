"""Importing Feast without rewriting its source.

Feast decorates its classes with typeguard, which compiles each of their methods anew at every start to check the types of its own
calls: more than half of the processor seconds of the import. Python leaves that out with `-O`, and so does `load`.
"""

import threading
from typing import Any
from unittest import mock

_TURN = threading.Lock()
"""Of two threads, the second would take the first one's replacement for the decorator, and put that back."""


def load() -> None:
    """Imports Feast, where it is not yet imported, as `python -O` would."""
    with _TURN, mock.patch("typeguard.typechecked", _unchanged):
        import feast
        import feast.infra.offline_stores.ibis  # noqa: F401


def _unchanged(target: Any = None, **_options: Any) -> Any:
    """In place of `typeguard.typechecked`: the decorated class or function itself."""
    return _unchanged if target is None else target
