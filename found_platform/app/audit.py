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
    """Rows, newest first; `count` is how many there are in all."""

    count: int
    entries: list[Entry]


@dataclass(frozen=True)
class Part:
    """`limit` rows from place `start` on, of those of an actor (a part of the name), an audience and an action where they are said.

    `oldest` takes so many of the oldest rows alone, so that pages fit together whatever is added meanwhile.
    """

    start: int = 0
    limit: int | None = None
    who: str | None = None
    audience: str | None = None
    action: str | None = None
    oldest: int | None = None


ALL = Part()


@use_case(Effect.READS)
def entries(context: Context, request: Part = ALL) -> Audit:
    """Who asked what."""
    from found_platform.privacy import audit

    chosen = {"who": request.who, "audience": request.audience, "action": request.action}
    count, rows = audit.part(context.settings, start=request.start, limit=request.limit, oldest=request.oldest, **chosen)
    return Audit(count, [Entry(**row) for row in rows])
