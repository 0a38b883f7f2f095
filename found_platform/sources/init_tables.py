"""What a table of unknown files is: events, a profile or names; and which of its columns stand for people, times and texts.

What belongs here: scores by which one column is preferred to another. What does not: the signs of one column (`init_columns`), the
entry that follows (`init_mapping`, `init_guess`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from found_platform.sources.init_columns import NAMES, Column, columns_of, plain
from found_platform.sources.init_items import Items, unnested
from found_platform.sources.init_sample import Table

PROFILES = re.compile(r"customer|user|profile|member|contact|client|kunden|subscriber|visitor|account|people|person", re.IGNORECASE)
"""Names of files that hold people."""
ID = re.compile(r"(^|_)(id|uid|key|no|nr|num|number|nummer|code|hash|token)$")
"""What ends the names of ids."""
BARE = ("id", "key", "no", "nr", "code", "number")
"""Names of ids that say whose they are by their table alone."""

NAMED = 2.0
"""From this score on a column's name says that it holds texts."""
THINGS = r"item|product|article|artikel|line|basket|cart|position|purchase|sku"
"""Names of lists of what was bought or seen."""
FEW_IDS = 10
SHARED = 0.5
"""So many ids at least, and this share of the smaller table's, must be in both for two columns to be about the same people."""
TELLING_DIGITS = 5
NOT_IDS = r"(^|_)ip(_|$)|address|agent|version|browser|platform|(^|_)os(_|$)|geo|zip|postal|phone"
"""Codes beside a person that are no id: many people share them."""
MANY = 100
"""In so many sampled rows people are more than one."""


@dataclass(frozen=True)
class View:
    """A table, its columns, and those that stand for a person and a moment."""

    table: Table
    columns: dict[str, Column]
    user: Column | None
    time: Column | None
    items: Items | None = None  # the list of which the table has a row for each value

    @property
    def is_history(self) -> bool:
        """Whether its rows say what is known of a person from a day on, such as a tariff that is valid from then."""
        since = any(c.time is not None and c.is_called("valid_from") for c in self.columns.values())
        return since and self.user is not None and not self.user.unique

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


def views_of(tables: Sequence[Table]) -> list[View]:
    """What each table is. Where no events have a column that is called after people, an id of no known thing is the person."""
    views = [_view(table, user_score) for table in tables]
    if any(view.is_events for view in views):
        return _with_shared_ids(views)
    candidates = [_view(table, _unnamed_user_score) for table in tables]
    names = {view.user.plain for view in candidates if view.is_events and view.user}
    if not names:
        return views
    return [_view(table, lambda column: float(column.plain in names)) for table in tables]


def _with_shared_ids(views: list[View]) -> list[View]:
    """Where no column of a table is called after people, one that holds the ids of another table's people stands for them."""
    people = [set(view.user.values) for view in views if view.is_events and view.user]

    def score(column: Column) -> float:
        ids = set(column.values)
        if column.time is not None or len(ids) < FEW_IDS or sum(map(_is_telling, ids)) < len(ids):
            return 0
        share = max(len(ids & others) / min(len(ids), len(others)) for others in people)
        return share if share >= SHARED else 0

    return [view if view.user else _view(view.table, score, view.items) for view in views]


def _is_telling(value: str) -> bool:
    """Whether an id is no small number, which counts other things too."""
    return any(sign.isdigit() for sign in value) and (len(value) >= TELLING_DIGITS or not value.isdigit())


def _view(table: Table, score: Any, items: Items | None = None) -> View:
    if items is None:
        table, items = _with_items(table)
    columns = columns_of(table)
    user = best(columns.values(), score) or _own_id(table, columns)
    times = [c for c in columns.values() if c.time is not None and c is not user]
    return View(table, columns, user, best(times, _time_score), items)


def _with_items(table: Table) -> tuple[Table, Items | None]:
    """The table with a row for each value of a list where that says what an event is about, and the rows themselves hardly do."""
    own = max((text_score(c) for c in columns_of(table).values()), default=0.0)
    likely: tuple[float, Table, Items | None] = (0.0, table, None)
    for name in table.lists:
        rows, items = unnested(table, name)
        columns = [c for c in columns_of(rows).values() if c.name in items.own]
        named = NAMED if re.search(THINGS, plain(name)) else 0.0
        texts = max((text_score(c) for c in columns), default=0.0)
        score = texts + named if texts else 0.0
        if not named and own >= NAMED:  # rows with a text of their own, and whom or what else they touched
            continue
        if score > max(likely[0], own if own >= NAMED else 0.0):
            likely = score, rows, items
    return likely[1:]


def _own_id(table: Table, columns: dict[str, Column]) -> Column | None:
    """The column `id` of a table that is called after people."""
    named = PROFILES.search(table.name) is not None
    return next((c for c in columns.values() if named and c.plain in BARE and c.unique), None)


def _unnamed_user_score(column: Column) -> float:
    """A column of ids that come again, and whose name is that of no thing: somebody's own word for people."""
    if column.time is not None or column.is_called("thing") or column.filled < 0.3 or column.unique or column.distinct < 2:
        return 0
    return 1 + column.filled if ID.search(column.plain) else 0


def best(columns: Any, score: Any) -> Column | None:
    scored = [(score(c), -i, c) for i, c in enumerate(columns)]
    return max((s for s in scored if s[0] > 0), default=(0, 0, None))[2]


def user_score(column: Column) -> float:
    name = column.plain
    if column.is_called("firm") and column.time is None and column.filled >= 0.3 and column.distinct > 1:
        return 0.1 + 0.5 * column.filled  # whoever sells to firms has no other people; a column of persons goes before it
    if _is_of_person(column):
        return 0.1 + 0.5 * column.filled
    if not column.is_called("user") or column.time is not None or column.filled < 0.3 or column.is_called("consent"):
        return 0
    if column.distinct < 2 and len(column.values) >= MANY:  # the shop itself, on the other side of each payment
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
    serving = (
        -1.5 if re.search(r"driver|courier|employee|staff|operator|recipient|empfa?e?nger|destinatar", name) else 0
    )  # on the other side of the counter
    guest = -1.5 if re.search(r"anonym|guest|device|pseudo|session", name) else 0
    return name_score + mail + guest + serving + column.filled


def _is_of_person(column: Column) -> bool:
    """Whether it is a code within an object that is called after people, such as `customer.meter`."""
    name = (column.path or column.name).split(".")[-1]
    return (
        is_within_person(column)
        and re.search(NOT_IDS, plain(name)) is None
        and not (column.distinct < 2 and len(column.values) >= MANY)
        and column.is_code
        and column.time is None
        and column.filled >= 0.3
        and re.search(NAMES["thing"], plain(name)) is None
    )


def is_within_person(column: Column) -> bool:
    """Whether it is a field of an object that is called after people, such as `actor.name`."""
    above = (column.path or column.name).split(".")[:-1]
    return bool(above) and re.search(NAMES["user"], plain(above[-1])) is not None


def _time_score(column: Column) -> float:
    name = column.plain
    if re.search(r"birth|geburt|expir|due|limit|estimated|deadline", name):
        return 0
    called = 2 if column.is_called("time") else 0
    first = 1 if re.search(r"event|created|placed|booked|reserved|order|purchase|timestamp|datum|^date|^time|invoice", name) else 0
    later = (
        -2
        if column.is_called("arrived")
        or re.search(
            r"ship|deliver|approv|paid|fulfil|cancel|return|delet|arriv|check_?(in|out)|depart|valuta|value_date|wertstell", name
        )
        else 0
    )
    clock = 0.5 if column.time and column.time.clock else 0
    return 1 + called + first + later + clock + column.filled


def names_of(column: Column, lookup: View) -> Column | None:
    """The key of another table that holds the names of a column's ids: called alike, or `id` of a table that is called like it."""
    if column.unique and len(column.values) > 1:  # the row's own id
        return None
    name = column.plain
    thing = ID.sub("", name)
    for key in lookup.columns.values():
        other = key.plain
        alike = other == name and name not in BARE
        by_table = bool(thing) and other in BARE and re.fullmatch(rf"(.*_)?{re.escape(thing)}e?s?", plain(lookup.table.name))
        if key.unique and (alike or by_table):
            return key
    return None


def text_score(column: Column) -> float:
    name = column.plain
    if not column.has_words or column.distinct < 2 or column.time is not None:
        return 0
    if any(column.is_called(m) for m in ("status", "payment", "consent", "person", "kind")) and not column.is_called("best_text"):
        return 0
    if is_within_person(column) and not column.is_called("thing"):  # who did it, not what was done
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
