"""Kinds of events in one table: which rows are purchases, searches or mailings, and which bring something back.

What belongs here: the filters that cut a table into channels, and `returns`. What does not: what the columns mean (`init_mapping`).
"""

from dataclasses import dataclass

from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import EXPOSURES, NO_PURCHASES, PURCHASES, SEARCHES, Column, commonest, yes_values
from found_platform.sources.init_status import FEW_KINDS, UNFINISHED, listed, returned_values, statuses
from found_platform.sources.init_tables import View
from found_platform.sources.init_text import Line
from found_platform.sources.options import NULLS

FLAGS = 6
"""Up to so many distinct values a column says yes or no."""
SENT = "is this what you sent to people?"


@dataclass(frozen=True)
class Split:
    """The rows of a table of events that go to one channel."""

    channel: str
    where: str | None = None
    questions: tuple[str, ...] = ()
    exposure: bool = False
    kinds: tuple[str, ...] = ()  # the kinds of events that these are, where a column says them


def kind_of_events(view: View) -> Column | None:
    """The column that says what an event is, where some of its values are purchases."""
    named = (c for c in view.columns.values() if c.is_called("kind") and 1 < c.distinct <= FEW_KINDS and c.has_words)
    kind = next((c for c in named if c not in (view.user, view.time)), None)
    return kind if kind and _purchases(kind) else None


def _purchases(kind: Column) -> list[str]:
    returned = returned_values(kind)
    return [
        v
        for v in commonest(kind, FEW_KINDS)
        if PURCHASES.search(v) and not UNFINISHED.search(v) and not NO_PURCHASES.search(v) and v not in returned
    ]


def splits_of(kind: Column) -> list[Split]:
    """The channels that kinds of events fall into: purchases and what is brought back, searches, what was done to people, and all
    else they looked at."""
    values, returned, purchases = commonest(kind, FEW_KINDS), returned_values(kind), _purchases(kind)
    payments = [*purchases, *returned]
    exposures = [v for v in values if EXPOSURES.search(v) and v not in payments]
    searches = [v for v in values if SEARCHES.search(v) and v not in (*payments, *exposures)]
    rest = [v for v in values if v not in (*payments, *searches, *exposures)]
    name = of_column(kind.name)
    question = f"{kind.name} says the kind of an event ({', '.join(values)}): are these the purchases?"
    splits = [Split("pay_bill", f"{name} IN {listed(payments)}", (question,), kinds=tuple(payments))]
    if searches:
        splits.append(Split("search", f"{name} IN {listed(searches)}", kinds=tuple(searches)))
    if rest:
        other = f"{name} NOT IN {listed([*payments, *searches, *exposures])}"
        splits.append(Split("spm", other, kinds=tuple(rest)))
    if exposures:
        splits.append(Split("spm", f"{name} IN {listed(exposures)}", (SENT,), exposure=True, kinds=tuple(exposures)))
    return splits


def returns(view: View, kind: Column | None) -> list[Line]:
    """Which rows bring something back: by their kind, their status, or a column that says so; a question where it is not clear."""
    columns = [c for c in view.columns.values() if c not in (view.user, view.time)]
    for column in [*([kind] if kind else []), *statuses(view, kind)]:
        if values := returned_values(column):
            return [_line(column, f"is {', '.join(values)}", f"{of_column(column.name)} IN {listed(values)}")]
    for column in (c for c in columns if c.is_called("returned") and c.values):
        name = of_column(column.name)
        yes, unknown = yes_values(column)
        if column.distinct <= FLAGS and not unknown:
            return [_line(column, f"is {', '.join(yes)}", f"{name} IN {listed(yes)}")] if yes else []
        if column.time is not None:
            return [_line(column, "is not empty", f"{name} IS NOT NULL")]
        if column.is_number:
            return [_line(column, "is more than 0", f"{name} > 0")]
        example = ", ".join(commonest(column, 3))
        return [Line("returns", "false", questions=(f"{column.name} ({example}) may say which rows bring something back: which?",))]
    return []


def share_filled(view: View, kind: Column | None, split: Split, column: Column) -> float:
    """The share of the sampled rows of a channel in which a column holds a value."""
    values = view.table.columns[column.name]
    kinds = view.table.columns[kind.name] if kind else [None] * len(values)
    rows = [value for value, of_kind in zip(values, kinds, strict=True) if not split.kinds or of_kind in split.kinds]
    return sum(value is not None and value.strip() not in ("", *NULLS) for value in rows) / max(len(rows), 1)


def _line(column: Column, condition: str, expression: str) -> Line:
    return Line("returns", expression, questions=(f"rows whose {column.name} {condition} count as returns, not as purchases",))
