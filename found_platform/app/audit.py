"""The audit of a home, to be read."""

import datetime as dt
from dataclasses import dataclass

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case


@dataclass(frozen=True)
class Entry:
    """Who asked what at a moment (UTC); `question` is JSON, `rows` how many users came out."""

    at: dt.datetime
    who: str
    action: str
    audience: str | None
    question: str | None
    rows: int | None
    model_version: str | None
    index_version: str | None
    reason: str


@dataclass(frozen=True)
class Audit:
    """Every row, newest first."""

    count: int
    entries: list[Entry]


@use_case(Effect.READS)
def entries(context: Context) -> Audit:
    """Who asked what."""
    from found_platform.privacy import audit

    rows = [Entry(**row) for row in audit.entries(context.settings)]
    return Audit(len(rows), rows)
