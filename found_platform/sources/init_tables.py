"""What a table of unknown files is: events, a profile or names; and which of its columns stand for people, times and texts.

What belongs here: scores by which one column is preferred to another. What does not: the signs of one column (`init_columns`), the
entry that follows (`init_mapping`, `init_guess`).
"""

import re
from dataclasses import dataclass
from typing import Any

from found_platform.sources.init_columns import Column, columns_of, plain
from found_platform.sources.init_sample import Table

PROFILES = re.compile(r"customer|user|profile|member|contact|client|kunden|subscriber|visitor|account|people|person", re.IGNORECASE)
"""Names of files that hold people."""


@dataclass(frozen=True)
class View:
    """A table, its columns, and those that stand for a person and a moment."""

    table: Table
    columns: dict[str, Column]
    user: Column | None
    time: Column | None

    @property
    def is_profile(self) -> bool:
        """Whether it has a row for each person, and nothing that makes a row an event."""
        if self.user is None or not (self.user.unique or self.table.rows == 1):
            return False
        named = PROFILES.search(self.table.name) is not None
        eventful = any(c.is_called(m) for c in self.columns.values() if c is not self.user for m in ("amount", "event_id", "kind"))
        return named or self.time is None or not eventful

    @property
    def is_events(self) -> bool:
        return self.user is not None and self.time is not None and not self.is_profile


def view_of(table: Table) -> View:
    columns = columns_of(table)
    user = best(columns.values(), user_score)
    times = [c for c in columns.values() if c.time is not None and c is not user]
    return View(table, columns, user, best(times, _time_score))


def best(columns: Any, score: Any) -> Column | None:
    scored = [(score(c), -i, c) for i, c in enumerate(columns)]
    return max((s for s in scored if s[0] > 0), default=(0, 0, None))[2]


def user_score(column: Column) -> float:
    name = plain(column.name)
    if not column.is_called("user") or column.time is not None or column.filled < 0.3 or column.is_called("consent"):
        return 0
    if any(
        word in name for word in ("agent", "type", "segment", "status", "group", "age", "count", "name", "city", "state", "zip")
    ):
        return 0
    exact = re.fullmatch(
        r"(user|customer|client|visitor|member|account|person|shopper|buyer|household|profile|kunden?)_?(id|key|no|nr|number|nummer)?",
        name,
    )
    name_score = 3 if exact else 2 if name.endswith(("_id", "id", "key", "nr")) else 1
    mail = 0.5 if "mail" in name else 0
    guest = -1.5 if re.search(r"anonym|guest|device|pseudo|session", name) else 0
    return name_score + mail + guest + column.filled


def _time_score(column: Column) -> float:
    name = plain(column.name)
    if re.search(r"birth|geburt|expir|due|limit|estimated|deadline", name):
        return 0
    called = 2 if column.is_called("time") else 0
    first = 1 if re.search(r"event|created|placed|order|purchase|timestamp|datum|^date|^time|invoice", name) else 0
    later = -2 if column.is_called("arrived") or re.search(r"ship|deliver|approv|paid|fulfil|cancel|return", name) else 0
    clock = 0.5 if column.time and column.time.clock else 0
    return 1 + called + first + later + clock + column.filled


def text_score(column: Column) -> float:
    name = plain(column.name)
    if not column.has_words or column.distinct < 2 or column.time is not None:
        return 0
    if any(column.is_called(m) for m in ("status", "payment", "consent", "person", "kind")) and not column.is_called("best_text"):
        return 0
    if column.is_called("person") or re.search(
        r"currency|locale|language|device|platform|browser|library|campaign|referr|(^|_)id$|ip$", name
    ):
        return 0
    best = 3 if column.is_called("best_text") else 0
    named = 2 if column.is_called("text") else 0
    category = -1.5 if column.is_called("category") else 0
    long = -1 if column.values and sum(map(len, column.values)) / len(column.values) > 200 else 0
    return max(0.1, 0.5 + best + named + category + long) + min(1, column.distinct / 100) / 10
