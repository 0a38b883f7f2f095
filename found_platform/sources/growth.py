"""A home and its source over time: what a new scan adds, what it no longer holds, and which rows a home keeps all the same.

What belongs here: comparing a scan with what is staged, and the rows that stay though the source has lost them. What does not:
scanning (`scan`), writing the staged days (`staging`).
"""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb

from found_platform.contract import EVENTS
from found_platform.errors import BadInput
from found_platform.lake import literal, quote
from found_platform.sources import totals
from found_platform.sources.config import SourceConfig, Span

Removed = Literal["keep", "drop"]
"""What is done with staged rows that the source no longer holds."""

KEPT = "kept.parquet"
"""Beside the staged days: the rows among them that the source no longer holds."""

COLUMNS = ", ".join(map(quote, EVENTS.names))


def schema(kept: dict[str, str] | None, columns: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The attributes of a home whose profile has these columns now, and what there is to say of the change.

    An attribute keeps the type it was first seen with, and is never removed: what is gone is null from then on.
    """
    if kept is None:
        return columns, []
    added, gone = [name for name in columns if name not in kept], [name for name in kept if name not in columns]
    notes = [f"new in the profile: {', '.join(added)}; days of features are made again with them"] if added else []
    if gone:
        notes.append(f"gone from the profile: {', '.join(gone)}; kept as attributes of which nothing is known from now on")
    return {**kept, **{name: columns[name] for name in added}}, notes


def union(*spans: Span | None) -> Span:
    """From the first day of any to the last one of any; their ends are set."""
    some = [s for s in spans if s is not None]
    return Span(start=min(s.start for s in some), end=max(s.end for s in some if s.end is not None))


def clipped(span: Span | None, first: dt.date, last: dt.date) -> Span:
    """The days of data that go from `first` to `last`, within the span that is asked for. A span with an end is taken as it is.

    Raises BadInput where no event is in the span.
    """
    end = last + dt.timedelta(days=1)
    if span is None:
        return Span(start=first, end=end)
    if span.end is not None:
        if last < span.start or first >= span.end:
            raise BadInput(
                f"`span:` goes from {span.start} to {span.end}, its end excluded, and the events from {first} to {last}: no event "
                "is within it; choose other days."
            )
        return span
    if end <= span.start:
        raise BadInput(f"`span:` starts on {span.start}, and the last event is of {last}: choose an earlier start.")
    return Span(start=span.start, end=min(end, dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)))


@dataclass(frozen=True)
class Loss:
    """Staged rows that the source no longer holds, by UTC day: how many, and whether the day has none left."""

    rows: dict[dt.date, int] = field(default_factory=dict)
    emptied: frozenset[dt.date] = frozenset()

    def sentence(self) -> str:
        """The question to whoever runs the scan."""
        parts = []
        for days, verb in ((sorted(self.emptied), "none now"), (sorted(set(self.rows) - self.emptied), "fewer now")):
            if days:
                count, lost = len(days), sum(self.rows[d] for d in days)
                which = f"{days[0]} to {days[-1]}" if count > 1 else f"{days[0]}"
                had = "with" if verb == "none now" else "that lost"
                parts.append(
                    f"{count:,} day{'s' if count > 1 else ''} {had} {lost:,} event{'s' if lost > 1 else ''} "
                    f"{'have' if count > 1 else 'has'} {verb} ({which})"
                )
        return (
            f"The source has shrunk: {', and '.join(parts)}. Say `--removed keep` to go on and keep what this home has taken in, "
            "or `--removed drop` to let it go."
        )


def source_rows(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Good rows of a scan by day and channel, as a manifest keeps them."""
    rows = con.execute(
        f"SELECT CAST(day AS VARCHAR), channel, sum(n) FROM {totals.table(con, 'row_counts')} WHERE reason IS NULL "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    by_day: dict[str, dict[str, int]] = {}
    for day, channel, count in rows:
        by_day.setdefault(day, {})[channel] = count
    return by_day


def staged_rows(con: duckdb.DuckDBPyConnection, staging: Path, manifest: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What the source held at the last scan; for a manifest that does not say so, what is staged."""
    if "source" in manifest:
        return manifest["source"]
    rows = con.execute(
        f"SELECT CAST(event_date AS VARCHAR), channel, count(*) FROM {staged(staging)} GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    by_day: dict[str, dict[str, int]] = {}
    for day, channel, count in rows:
        by_day.setdefault(day, {})[channel] = count
    return by_day


def loss(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]], source: SourceConfig) -> Loss:
    """What the source held and no longer holds, by day and channel. Days outside its `span:` are left out on purpose."""
    rows: dict[dt.date, int] = {}
    for text, channels in before.items():
        day = dt.date.fromisoformat(text)
        within = source.span is None or (source.span.start <= day and (source.span.end is None or day < source.span.end))
        left = after.get(text, {})
        gone = sum(max(0, count - left.get(channel, 0)) for channel, count in channels.items())
        if within and gone:
            rows[day] = gone
    return Loss(rows, frozenset(d for d in rows if not after.get(str(d))))


def keep(con: duckdb.DuckDBPyConnection, staging: Path, lost: Loss, source: SourceConfig) -> int:
    """Makes the table `kept`: staged rows of the `lost` days, and what was kept before, as far as `staged` does not hold them now.

    An event is told by its channel and `event_id` where it has one, else by all its columns. Returns the number of rows.
    """
    days = ", ".join(f"DATE '{day}'" for day in sorted(lost.rows)) or "NULL"
    parts = [f"SELECT {COLUMNS} FROM {staged(staging)} WHERE event_date IN ({days})"] if lost.rows else []
    if (staging / KEPT).exists():
        older = f"SELECT {COLUMNS} FROM read_parquet({literal(str(staging / KEPT))})"
        parts.append(f"{older} WHERE event_date NOT IN ({days})" if lost.rows else older)
    con.execute(f"CREATE OR REPLACE TABLE kept AS SELECT {COLUMNS} FROM staged LIMIT 0")
    if not parts:
        return 0
    within = [] if source.span is None else [f"event_date >= DATE '{source.span.start}'"]
    if source.span is not None and source.span.end is not None:
        within.append(f"event_date < DATE '{source.span.end}'")
    con.execute(
        f"INSERT INTO kept WITH old AS (SELECT * FROM ({' UNION ALL '.join(parts)}) WHERE {' AND '.join(within) or 'true'}) "
        "(FROM old WHERE event_id IS NULL EXCEPT ALL FROM staged WHERE event_id IS NULL) UNION ALL "
        "(FROM old WHERE event_id IS NOT NULL AND (channel, event_id) NOT IN "
        "(SELECT (channel, event_id) FROM staged WHERE event_id IS NOT NULL))"
    )
    row = con.execute("SELECT count(*) FROM kept").fetchone()
    return int(row[0]) if row else 0


def staged_files(staging: Path) -> list[Path]:
    """The files of staged events, which hold their days; none where an earlier version staged a folder for each day."""
    files = sorted((staging / "events").rglob("*.parquet"))
    return files if all(file.parent == staging / "events" for file in files) else []


def staged(staging: Path) -> str:
    """A DuckDB expression that reads the staged events. Earlier versions staged a folder for each day, whose name says which."""
    return f"read_parquet({literal(str(staging / 'events' / '**' / '*.parquet'))}, hive_partitioning=true)"
