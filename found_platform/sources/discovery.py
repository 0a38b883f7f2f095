"""Discovery: the days of a source and the attributes of its profile, from times and columns alone, before anything is kept.

What belongs here: the first look at a source, and the error of times that nothing reads. What does not: checking rows (`scan`).
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from found_platform.errors import BadInput
from found_platform.sources import sandbox, times
from found_platform.sources.config import SourceConfig, Span
from found_platform.sources.entries import Entry, entries_of, files_of, open_entry, run, values_in
from found_platform.sources.files import Part, forget_rejects, take_rejects
from found_platform.sources.profile import profile_attributes
from found_platform.sources.progress import Progress


@dataclass(frozen=True)
class Look:
    """What some files of an entry have: rows that `where` keeps, the first and the last day of their times."""

    rows: int
    first: dt.date | None
    last: dt.date | None
    unread: tuple[str, ...] = ()
    """The files, where there are rows and no time can be read."""


def discover(con: duckdb.DuckDBPyConnection, config: SourceConfig, looks: dict[int, list[Look]] | None = None) -> SourceConfig:
    """The same config with its span and profile schema filled in; reads times and footers only, writes nothing.

    Args:
        looks: at the files of each entry, by its number, where workers have had them.

    Raises BadInput for a missing file, a wrong column, or a channel without rows.
    """
    sandbox.lock_source(con, config)
    first, last = [], []
    progress = Progress(con, "looking for days", files_of(config))
    for number, (channel, channel_entry) in enumerate(entries_of(config)):
        if looks is None:
            some = list(_looks(con, open_entry(con, number, channel, channel_entry, lookups=False), progress))
        else:
            some = looks[number]
        days = [day for look in some for day in (look.first, look.last) if day is not None]
        if sum(look.rows for look in some) == 0:
            raise BadInput(
                f"channel {channel!r} is empty: {channel_entry.path} has no rows"
                + (f" where {channel_entry.where}." if channel_entry.where else ".")
            )
        if not days:
            names = [Path(name) for name in next(look.unread for look in some if look.unread)]
            entry = open_entry(con, number, channel, channel_entry, lookups=False, some=names)
            raise _unreadable(con, entry, entry.files[0])
        first.append(min(days))
        last.append(max(days))
    progress.close()
    span = config.span or Span(start=min(first), end=max(last) + dt.timedelta(days=1))
    schema = profile_attributes(con, config.profile) if config.profile else {}
    return config.model_copy(update={"span": span, "profile_schema": schema})


def _looks(con: duckdb.DuckDBPyConnection, entry: Entry, progress: Progress) -> Iterator[Look]:
    rows = 0
    for part in entry.files:
        with progress.files(part.names):
            look = look_at(con, entry, part)
        rows += look.rows
        progress.rows(rows)
        yield look


def look_at(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part) -> Look:
    """What one opened part has."""
    read = _event_times(con, entry, part)
    ((rows, first, last),) = run(
        con,
        entry,
        part,
        f"SELECT count(*), min(day), max(day) FROM (SELECT {times.day('event_time')} AS day FROM ({read})) "
        "WHERE day IS NULL OR day BETWEEN DATE '0001-01-02' AND DATE '9999-12-30'",
    ).fetchall()
    if part.rejects:
        take_rejects(con, part, entry.where)
    return Look(rows, first, last, tuple(part.names) if rows and first is None else ())


def _event_times(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, numbered: bool = False) -> str:
    """SQL of the times of one file's rows that `where` keeps: `event_time`, `raw_time`, `_row`."""
    cells, columns = values_in(con, entry, part)
    value = columns["event_time"]
    keep = f"coalesce({columns['where'].sql}, false)" if "where" in columns else "true"
    return (
        f"SELECT {times.moment(value.sql, value.kind, entry.entry.time_rule('event_time'))} AS event_time, "
        f"{value.sql} AS raw_time, _row "
        f"FROM {cells.relation(numbered=numbered)} WHERE NOT _blank AND _json AND {keep}"
    )


def _unreadable(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part) -> BadInput:
    """The error of an entry none of whose times can be read: with a value, its row, and what would read it."""
    column, rows = entry.texts["event_time"], []
    for file in part.single:
        read = _event_times(con, entry, file, numbered=True)
        rows = con.execute(f"SELECT _row, CAST(raw_time AS VARCHAR) FROM ({read}) WHERE raw_time IS NOT NULL LIMIT 1000").fetchall()
        forget_rejects(con)
        if rows:
            part = file
            break
    if not rows:
        return BadInput(f"{entry.where}: no row of {part.file} has an event_time: {column!r} is empty everywhere.")
    number, value = min(rows)
    return BadInput(
        f"{entry.where}: no row of {part.file} has a readable event_time in {column!r}: row {number:,} has {value!r}"
        f"{_remedy(con, [row[1] for row in rows])}."
    )


def _remedy(con: duckdb.DuckDBPyConnection, samples: list[str]) -> str:
    remedy = times.remedy(con, samples)
    return f"; {remedy} in the source file would read it" if remedy else "; say its `format:` in the source file"
