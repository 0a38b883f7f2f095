"""Structured logs: with `FOUND_LOG_FORMAT=json` a process writes one JSON object a line on stderr, with the run, the partition and
the request it works for.

What belongs here: the format, and what a line says of where it comes from. What does not: what is logged. Without the variable
warnings go to stderr as words, as Python has it.
"""

import contextlib
import datetime as dt
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar

from found_platform.errors import BadInput

VARIABLE = "FOUND_LOG_FORMAT"
TEXT, JSON = "text", "json"
OWN = ("found", "found_platform", "dagster_defs")
"""Loggers of ours: what they say of ordinary work is written too; of libraries warnings alone."""

_fields: ContextVar[dict[str, str]] = ContextVar("fields", default={})  # noqa: B039 (never changed in place)


@contextlib.contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Every line within says these fields too: `run`, `asset`, `partition`, `request`. Empty ones are left out."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _fields.reset(token)


class JsonLines(logging.Formatter):
    """One object a line: at (UTC), level, logger, message, the fields that are bound, and those of `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line = {
            "at": f"{dt.datetime.fromtimestamp(record.created, dt.UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Stderr(logging.StreamHandler):
    """Writes to the stderr of the moment: commands and tests put another in its place."""

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        """Of libraries warnings alone, whatever one of them has set as the level of all."""
        is_wanted = record.levelno >= logging.WARNING or record.name.split(".")[0] in OWN
        return is_wanted and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def install() -> None:
    """Sets this process up as the variable says. Raises BadInput for another value of it."""
    choice = os.environ.get(VARIABLE, TEXT)
    if choice not in (TEXT, JSON):
        raise BadInput(f"{VARIABLE} is {choice!r}: set it to {TEXT} or {JSON}.")
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if isinstance(handler, _Stderr)]
    if choice == TEXT or ours:
        return
    handler = _Stderr()
    handler.setFormatter(JsonLines())
    root.addHandler(handler)
    for name in OWN:
        logging.getLogger(name).setLevel(logging.INFO)
