"""Ids of events and of a profile that differ in their writing alone, as their samples show: what makes them the same.

What belongs here: comparing two columns of ids. What does not: which columns hold ids (`init_tables`).
"""

import re
from dataclasses import dataclass

from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import Column

FEW = 0.2
"""Below this share of the smaller sample of ids that both files have, the two are compared in another writing."""
BETTER = 3
"""So many times more ids must be in both files then."""


@dataclass(frozen=True)
class Writing:
    """How ids are to be read so that two files agree: as a whole number, or in lower case without spaces around."""

    as_number: bool
    reason: str

    def expression(self, column: Column) -> str:
        """What stands for the column in a source file."""
        return column.name if self.as_number else f"lower(trim({of_column(column.name)}))"

    def types(self, column: Column) -> dict[str, str]:
        """The `types` of an entry with this column."""
        return {column.name: "int"} if self.as_number else {}


def common_writing(events: Column, profile: Column) -> Writing | None:
    """The writing in which far more ids are in both samples than as they stand; None where they agree, or never do."""
    one, other = set(events.values), set(profile.values)
    least = min(len(one), len(other))
    agreeing = len(one & other)
    if not least or agreeing >= FEW * least:
        return None
    for as_number, reason, write in (
        (False, "upper and lower case", str.lower),
        (True, "zeros before them or `.0` after them", lambda text: re.sub(r"^0+(?=\d)|[.]0+$", "", text)),
    ):
        if as_number and not all(re.fullmatch(r"\d+([.]0+)?", text) for text in one | other):
            continue
        if len({write(v) for v in one} & {write(v) for v in other}) > max(BETTER * agreeing, FEW * least):
            return Writing(as_number, reason)
    return None
