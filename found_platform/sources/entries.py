"""Entries: what a channel's entry asks of its files, once they are open: columns, expressions, lookup tables and their types.

What belongs here: opening an entry, its values in one file, errors of values of the wrong kind. What does not: how a column is
found (`mapping`), what makes a row good (`rows`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from found_platform.errors import BadInput
from found_platform.sources import expressions, mapping, times, values
from found_platform.sources.config import ChannelEntry, SourceConfig
from found_platform.sources.files import Part, first_line, parts, united
from found_platform.sources.mapping import Cells, Value
from found_platform.sources.options import TimeColumn
from found_platform.sources.origins import Lookup
from found_platform.sources.stretches import Stretch, cut


@dataclass(frozen=True)
class Entry:
    """A channel entry whose files were opened: what each wanted value is called in them, and how expressions see their columns."""

    number: int
    channel: str
    entry: ChannelEntry
    files: list[Part]
    texts: dict[str, str]
    lookups: dict[str, tuple[Lookup, str]]  # by contract column, with the table that holds it
    types: mapping.Types
    notes: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"channel {self.channel!r}"


def entries_of(config: SourceConfig) -> list[tuple[str, ChannelEntry]]:
    return [(channel, entry) for channel, entries in config.channels.items() for entry in entries]


def open_entry(
    con: duckdb.DuckDBPyConnection,
    number: int,
    channel: str,
    entry: ChannelEntry,
    lookups: bool = True,
    some: Sequence[Path] | None = None,
    types: mapping.Types | None = None,
    stretch: Stretch | None = None,
) -> Entry:
    """Opens an entry's files. Raises BadInput for what cannot be read, a missing column, or an expression that cannot be used.

    Args:
        lookups: whether its lookup tables are read.
        some: those of its files that are opened; all by default.
        types: of columns in expressions, as all files of the entry give them; by default as the opened ones do.
        stretch: what is read of the one file or table that is opened; all by default.
    """
    where = f"channel {channel!r}"
    files = parts(con, entry, where, some)
    if stretch is not None:
        files = [cut(con, part, stretch) for part in files]
    texts: dict[str, str] = {}
    tables: dict[str, tuple[Lookup, str]] = {}
    notes = [part.note for part in files if part.note]
    for name, column in entry.columns.items():
        if isinstance(column, Lookup):
            texts[f"key_{name}"] = column.on or column.key
            table = f"lookup_{number}_{name}"
            if lookups:
                several = mapping.lookup_table(con, column, table, where)
                if several:
                    notes.append(
                        f"{column.title}: {several:,} of its keys have several values of {column.column!r}, the first one counts"
                    )
            tables[name] = (column, table)
        else:
            texts[name] = column.column if isinstance(column, TimeColumn) else column
    texts |= {name: text for name, text in (("where", entry.where), ("returns", entry.returns)) if text}
    columns = []
    for part in united(files):
        cells = Cells(con, part, entry, where)
        parsed = mapping.expressions_in(con, cells, texts)
        columns = [path for expression in parsed.values() for path in expression.columns] or columns
    types = mapping.text_types(con, entry, files, where, columns) if types is None else types
    return Entry(number, channel, entry, united(files), texts, tables, types, tuple(dict.fromkeys(notes)))


def values_in(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part) -> tuple[Cells, dict[str, Value]]:
    """The cells of one file of an entry, and the wanted values. Raises BadInput for a value of the wrong kind."""
    cells = Cells(con, part, entry.entry, entry.where)
    parsed = mapping.expressions_in(con, cells, entry.texts)
    columns = mapping.values_of(cells, entry.texts, parsed, entry.types)
    for name, value in columns.items():
        if name in ("where", "returns"):
            if value.kind != "BOOLEAN":
                raise BadInput(
                    f"{entry.where}: `{name}` cannot be read: `{entry.texts[name]}` is neither true nor false but of "
                    f"type {value.kind}: "
                    "write a comparison, such as \"status = 'paid'\"."
                )
        elif name in ("event_time", "arrived_at"):
            _check_time(con, entry, part, cells, name, value)
        elif not values.is_plain(value.kind):
            raise BadInput(
                f"{entry.where}: {name} is {entry.texts[name]!r} of {part.file}, which holds several values in one: "
                f"name a field of it."
            )
    for name in ("user_id", "event_id", "key_user_id"):
        value = columns.get(name)
        if value is None or value.cell is None:
            continue
        kind_of_id = mapping.declared(entry.entry, cells.paths[value.cell])
        if kind_of_id:
            kind = values.SQL_TYPES[kind_of_id]
            sql = values.as_type(value.sql, value.kind, kind_of_id, entry.entry.decimal)
            columns[name] = Value(sql, kind, value.cell)
    return cells, columns


def _check_time(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, cells: Cells, name: str, value: Value) -> None:
    rule = entry.entry.time_rule(name)
    if times.can_be_time(value.kind, rule):
        return
    example = ""
    if values.is_number(value.kind):
        row = con.execute(
            f"SELECT {values.as_text(value.sql, value.kind)} FROM {cells.relation()} WHERE {value.sql} IS NOT NULL LIMIT 1"
        ).fetchone()
        remedy = times.remedy(con, [row[0]]) if row and row[0] else ""
        example = f" (row 1 or later has {row[0]})" if row and row[0] else ""
        if remedy:
            raise BadInput(
                f"{entry.where}: {name} is a column of type {value.kind}, not a time{example}: {remedy} in the source "
                f"file would read it."
            )
    raise BadInput(
        f"{entry.where}: {name} is a column of type {value.kind}, not a time{example}: say `unit:` or `format:` in "
        f"the source file, "
        "or convert it to a timestamp."
    )


def run(
    con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, sql: str, parameters: list[Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """Runs SQL over one part. Raises BadInput that names the file for what only reading shows."""
    try:
        return con.execute(sql, parameters or [])
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        used = [f"`{mapping.label(name)}: {text}`" for name, text in entry.texts.items() if not expressions.is_name(text)]
        if not used or "state machine" in str(error):
            raise BadInput(f"{entry.where}: {part.file} cannot be read: {first_line(error)}.") from None
        raise BadInput(
            f"{entry.where}: {part.file} has a row for which {' or '.join(used)} cannot be computed "
            f"({expressions.engine_words(error, {})}): write TRY_CAST for CAST, or say `types:` of the columns in it."
        ) from None
    except duckdb.Error as error:
        raise BadInput(f"{entry.where}: {part.file} cannot be read: {first_line(error)}.") from None


def files_of(config: SourceConfig) -> list[Any]:
    return [file for _, entry in entries_of(config) for file in ([entry.path] if entry.is_delta() else entry.files())]
