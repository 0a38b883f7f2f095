"""Tables of who is who: logs that have other ids for the same people, and the table that holds both, as their samples show.

What belongs here: which table says it, and the `user_id` that looks an id up there. What does not: ids that differ in their writing
alone (`init_ids`), names of things (`init_mapping`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import Column
from found_platform.sources.init_ids import Writing, common_writing
from found_platform.sources.init_tables import FEW_IDS, SHARED, View
from found_platform.sources.init_text import Line, located, patterns


@dataclass(frozen=True)
class Match:
    """The column of a table of who is who that holds the ids of some events, and how they are to be read to be the same."""

    column: Column
    writing: Writing | None


@dataclass(frozen=True)
class WhoIsWho:
    """A table that holds several ids of a person: which of its columns each log has, by the log's table, and which all become."""

    view: View
    matches: dict[str, Match]
    target: Column

    @property
    def is_more(self) -> bool:
        """Whether it says more of people than their ids."""
        ids = {match.column.name for match in self.matches.values()}
        return any(name not in ids for name in self.view.columns)

    def knows(self, events: View) -> bool:
        """Whether the users of these events are looked up in it."""
        match = self.matches.get(_place(events))
        return match is not None and match.column is not self.target

    def number(self, events: View) -> Writing | None:
        """How the ids of events that are not looked up are read, where the table has them without `.0` or zeros."""
        match = self.matches.get(_place(events))
        return match.writing if match and match.column is self.target and match.writing and match.writing.as_number else None

    def user_line(self, events: View, folder: Path) -> Line:
        """The `user_id` of events whose users are looked up."""
        assert events.user is not None
        match = self.matches[_place(events)]
        own = events.user.name
        options: dict[str, Any] = located(self.view.table, patterns(self.view.table, folder)[0])
        if match.writing is not None and not match.writing.as_number:
            own = match.writing.expression(events.user)
            options = self._in_one_writing(options, match)
        place = options.pop("path", None) or {key: options.pop(key) for key in [*options]}
        numbers = [m for m in (match, *self.matches.values()) if m.column in (match.column, self.target) and m.writing]
        types = {name: kind for m in numbers if m.writing for name, kind in m.writing.types(m.column).items()}
        lookup = {"from": place, **options, **({"types": types} if types else {}), "key": match.column.name}
        lookup |= {"on": own} if own != match.column.name else {}
        reason = f"who is who stands in {self.view.table.name}"
        return Line("user_id", {**lookup, "column": self.target.name}, reason)

    def _in_one_writing(self, options: dict[str, Any], match: Match) -> dict[str, Any]:
        """The table with its ids in lower case, by a query."""
        key = of_column(match.column.name)
        selected = f"SELECT lower(trim({key})) AS {key}, {of_column(self.target.name)} FROM "
        if "url" in options:
            return {"url": options["url"], "query": selected + of_column(options["table"])}
        return {"tables": {"rows": options["path"] if options.keys() == {"path"} else options}, "query": selected + "rows"}


def who_is_who(events: Sequence[View], others: Sequence[View]) -> WhoIsWho | None:
    """The table that holds the different ids of several logs; None where no table does, or all have the same."""
    for view in others:
        matches = {_place(log): match for log in events if (match := _match(log, view)) is not None}
        counts = Counter(match.column.name for match in matches.values())
        if len(counts) < 2:
            continue
        preferred = view.user.name if view.user and view.user.name in counts else counts.most_common(1)[0][0]
        target = view.columns[preferred]
        if all(match.column.unique for match in matches.values() if match.column is not target):
            return WhoIsWho(view, matches, target)
    return None


def _place(view: View) -> str:
    return str(view.table.files[0])


def _match(events: View, view: View) -> Match | None:
    """The column in which a table has the users of some events."""
    assert events.user is not None
    for column in view.columns.values():
        if column.distinct < FEW_IDS or column.time is not None:
            continue
        ids, others = set(events.user.values), set(column.values)
        lower, lowered = {own.lower() for own in ids}, {other.lower() for other in others}
        if len(lower & lowered) >= SHARED * min(len(lower), len(lowered)):
            mixed = any(own not in others and own.lower() in lowered for own in ids)
            return Match(column, Writing(False, "upper and lower case") if mixed else None)
        if (writing := common_writing(events.user, column)) is not None:
            return Match(column, writing)
    return None
