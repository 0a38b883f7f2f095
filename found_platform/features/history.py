"""Which days of each daily table are there: first and last, how many, what is missing between them, how many rows.

What belongs here: the summary of what was recorded, as sentences and as a picture. What does not: the record itself, which is read
elsewhere and handed in; no table is opened here, so that thousands of days take no time.
"""

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SHOWN_GAPS = 5
"""Gaps of a table that a sentence names; the others are counted."""


@dataclass(frozen=True)
class TableDays:
    """The days of one table.

    Attributes:
        days: the days that are there, oldest first.
        rows: by day, as many as were written; a day of which no count was recorded is left out.
        gaps: the first and last day of each run of days that are missing between the first and the last day.
        missing: how many days those are.
    """

    table: str
    days: Sequence[str]
    rows: Mapping[str, int]
    gaps: Sequence[tuple[str, str]]
    missing: int

    @property
    def first(self) -> str | None:
        return self.days[0] if self.days else None

    @property
    def last(self) -> str | None:
        return self.days[-1] if self.days else None

    @property
    def total(self) -> int:
        """All rows that were counted."""
        return sum(self.rows.values())

    @property
    def sentence(self) -> str:
        """What is missing between the first and the last day; empty where nothing is."""
        if not self.gaps:
            return ""
        named = [first if first == last else f"{first} to {last}" for first, last in self.gaps[:SHOWN_GAPS]]
        more = len(self.gaps) - len(named)
        count = "1 day" if self.missing == 1 else f"{self.missing:,} days"
        return f"{self.table} lacks {count} between its first and its last one: {', '.join(named)}" + (
            f" and {more:,} more gaps" if more else ""
        )


def of(table: str, possible: Sequence[str], rows: Mapping[str, int | None]) -> TableDays:
    """The days of a table.

    Args:
        possible: every day of the home, oldest first.
        rows: by day that was recorded its rows; None where they were not counted. Days that the home no longer has are left out.
    """
    present = [day for day in possible if day in rows]
    gaps: list[tuple[str, str]] = []
    missing = 0
    if present:
        inside = [day for day in possible if present[0] < day < present[-1] and day not in rows]
        missing = len(inside)
        for day in inside:
            before = str(dt.date.fromisoformat(day) - dt.timedelta(days=1))
            if gaps and gaps[-1][1] == before:
                gaps[-1] = (gaps[-1][0], day)
            else:
                gaps.append((day, day))
    counted = {day: count for day in present if (count := rows[day]) is not None}
    return TableDays(table, present, counted, gaps, missing)


def plot(tables: Sequence[TableDays]) -> bytes:
    """Rows a day of each table, as a PNG: a small picture a table, since they differ by orders of magnitude. A day that is missing,
    or of which no count was recorded, is a hole in the line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 0.9 * len(tables) + 0.4), layout="constrained")
    for row, (axes, each) in enumerate(zip(figure.subplots(len(tables), sharex=True, squeeze=False)[:, 0], tables, strict=True)):
        if each.first is not None and each.last is not None:
            axis = np.arange(each.first, np.datetime64(each.last) + 1, dtype="datetime64[D]")
            axes.plot(axis, [each.rows.get(str(day), np.nan) for day in axis], linewidth=1, color=f"C{row}")
        axes.set_ylim(bottom=0)
        axes.set_title(f"{each.table}, rows a day", fontsize=7, loc="left", pad=2)
        axes.tick_params(labelsize=6)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
