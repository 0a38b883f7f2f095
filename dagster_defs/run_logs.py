"""Handlers of the logs of runs, in a process that executes several runs at a time, as a server does.

What belongs here: that a run which begins leaves the logging of the process alone. What does not: what runs log, and what the
platform itself logs (`found_platform.logs`).
"""

import json
import logging
import threading
from collections.abc import Sequence

import dagster as dg


def install(instance: dg.DagsterInstance) -> None:
    """Lets runs of an instance begin without setting up the logging of the whole process anew.

    Dagster calls `logging.config.dictConfig` for every run that begins, also where `python_logs` of `dagster.yaml` names none.
    That holds the lock of Python's logging while it waits for the lock of every handler of the process. Another run that writes an
    event holds the lock of its handler, and waits for the other one as soon as a library asks whether it logs: both stop for ever,
    and so does whatever else logs. So nothing is set up where nothing is named, and else once for each configuration.
    """
    named = instance.get_python_log_dagster_handler_config()
    content = json.dumps(named, sort_keys=True, default=str) if named else ""
    instance.get_yaml_python_handlers = lambda: _once(instance, content) if content else []


_named: dict[str, Sequence[logging.Handler]] = {}
"""Handlers that a configuration names, by its content."""
_turn = threading.Lock()


def _once(instance: dg.DagsterInstance, content: str) -> Sequence[logging.Handler]:
    with _turn:
        if content not in _named:
            _named[content] = type(instance).get_yaml_python_handlers(instance)
        return _named[content]
