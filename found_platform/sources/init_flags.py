"""Columns of yes and no of which each row has one: a kind of thing that was spread over columns, as statistics programs write it.

What belongs here: which columns are such a kind, and the expression that gives their names. What does not: single truths such as a
consent (`init_mapping`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import Column
from found_platform.sources.init_tables import View

LEAST = 3
"""Columns that make a kind."""
ONE = 0.98
"""Share of the sampled rows that may have one of them at most."""
ANY = 0.5
"""Share of the sampled rows that must have one."""
YES = ("1", "1.0", "true", "True", "TRUE")
NO = ("0", "0.0", "false", "False", "FALSE")
OTHER = ("consent", "returned", "status", "user")
"""What a truth may be called that is no kind of thing."""


def kind_of_flags(view: View, columns: Iterable[Column]) -> tuple[str, str] | None:
    """The expression that names the one column that a row has, and what explains it; None where no columns are such a kind."""
    flags = [c for c in columns if c.filled > 0 and {*c.values} <= {*YES, *NO} and not any(c.is_called(m) for m in OTHER)]
    groups: dict[str, list[Column]] = defaultdict(list)
    for column in flags:
        groups[column.name.split("_", 1)[0] if "_" in column.name else ""].append(column)
    for prefix, group in [*sorted(groups.items(), key=lambda item: -len(item[1])), ("", flags)]:
        if len(group) >= LEAST and _is_one_of(view, group):
            cases = " ".join(f"WHEN {_is_set(c)} THEN {literal(_name(c, prefix, group))}" for c in group)
            return f"CASE {cases} END", f"a row has one of {', '.join(c.name for c in group[:LEAST])}" + (
                f" and {len(group) - LEAST} more" if len(group) > LEAST else ""
            )
    return None


def _is_one_of(view: View, group: Sequence[Column]) -> bool:
    rows = [sum(cell in YES for cell in cells) for cells in zip(*(view.table.columns[c.name] for c in group), strict=True)]
    return sum(n <= 1 for n in rows) >= ONE * len(rows) and sum(n >= 1 for n in rows) >= ANY * len(rows)


def _is_set(column: Column) -> str:
    return f"{of_column(column.name)} = 1" if column.is_number else of_column(column.name)


def _name(column: Column, prefix: str, group: Sequence[Column]) -> str:
    """The name without what all have before it, in words."""
    shared = bool(prefix) and all(c.name.startswith(f"{prefix}_") for c in group)
    return (column.name[len(prefix) + 1 :] if shared else column.name).replace("_", " ")
