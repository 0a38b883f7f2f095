"""SQLite databases of a home: cells that name persons are overwritten, or their rows removed, and the file holds nothing of them.

What belongs here: any SQLite file, whoever made it (Dagster, MLflow, Feast, the platform). What does not: the vault and the
tombstones, which know their keys; records in PostgreSQL (`records`).
"""

import bisect
import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from found_platform.erasure.persons import Persons

MAGIC = b"SQLite format 3\0"
PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

TRIES = 25
"""How often a write-ahead log is to be emptied, a fifth of a second apart."""

AT_ONCE = 2_000
"""Rows whose cells are searched together."""

BETWEEN = b"\0\n\0"
"""Between cells that are searched together: no id holds a line break."""

ERASED = b"erased"


def is_database(path: Path) -> bool:
    """Whether a file is one, by how it begins."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def clean(path: Path, persons: Persons, *, remove_rows: bool) -> int:
    """Removes the rows that name persons, or overwrites the names in them; returns how many rows. Then the file is written anew.

    Triggers that forbid changes, as those of the audit, are put back as they were.
    """
    changed = 0
    with _opened(path) as con:
        con.execute("PRAGMA secure_delete = ON")
        triggers = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        con.execute("BEGIN IMMEDIATE")
        try:
            for table, columns, key in _tables(con):
                hits = list(_rows_with(con, table, columns, key, persons))
                if hits and triggers:
                    for name, _ in triggers:
                        con.execute(f"DROP TRIGGER IF EXISTS {_quote(name)}")
                for identity, cells in hits:
                    where = " AND ".join(f"{c} IS ?" for c in key)
                    if remove_rows:
                        con.execute(f"DELETE FROM {_quote(table)} WHERE {where}", identity)
                    else:
                        new = [overwritten(value, persons, column) for column, value in zip(columns, cells, strict=True)]
                        sets = ", ".join(f"{_quote(c)} = ?" for c in columns)
                        con.execute(f"UPDATE OR REPLACE {_quote(table)} SET {sets} WHERE {where}", [*new, *identity])
                changed += len(hits)
            kept = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
            for name, sql in triggers:
                if name not in kept:
                    con.execute(sql)
            con.execute("COMMIT")
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("VACUUM")
        for _ in range(TRIES):
            if not con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                break
            time.sleep(0.2)  # somebody reads what is in the log
    return changed


def names_somebody(path: Path, persons: Persons) -> bool:
    """Whether any cell of a database names one of the persons: cells of long texts are scattered over the pages of the file."""
    with _opened(path) as con:
        return any(True for table, columns, key in _tables(con) for _ in _rows_with(con, table, columns, key, persons))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as con:
        con.text_factory = lambda data: data.decode(errors="surrogateescape")  # so that a text stays one, whatever is in it
        yield con


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _tables(con: sqlite3.Connection) -> list[tuple[str, list[str], list[str]]]:
    """Each table, its columns, and what tells a row, quoted: the primary key where it has no row number."""
    tables = []
    listed = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    for name, sql in listed:
        about = con.execute(f"PRAGMA table_info({_quote(name)})").fetchall()
        columns = [row[1] for row in about]
        primary = [_quote(row[1]) for row in sorted(about, key=lambda row: row[5]) if row[5]]
        tables.append((name, columns, primary if "WITHOUT ROWID" in (sql or "").upper() else ["rowid"]))
    return tables


def _rows_with(
    con: sqlite3.Connection, table: str, columns: list[str], key: list[str], persons: Persons
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """What tells each row that names somebody, and its cells."""
    query = f"SELECT {', '.join([*key, *map(_quote, columns)])} FROM {_quote(table)}"
    cursor = con.execute(query)
    while rows := cursor.fetchmany(AT_ONCE):
        for number in naming(columns, [row[len(key) :] for row in rows], persons):
            yield rows[number][: len(key)], rows[number][len(key) :]


def naming(columns: list[str], rows: Sequence[Sequence[Any]], persons: Persons) -> Iterator[int]:
    """Which of some rows of cells name somebody."""
    short = [i for i, column in enumerate(columns) if column.lower() in persons.id_columns]
    texts = [BETWEEN.join(map(_bytes, cells)) for cells in rows]
    ends, end = [], 0
    for text in texts:
        end += len(text) + len(BETWEEN)
        ends.append(end)
    numbers = {bisect.bisect_right(ends, place) for place, _ in persons.needles.places(BETWEEN.join(texts))}
    for number, cells in enumerate(rows):
        if number in numbers or any(_bytes(cells[i]).decode(errors="replace") in persons.cells(columns[i]) for i in short):
            yield number


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()


def overwritten(value: Any, persons: Persons, column: str) -> Any:
    """A cell without the names: a text says that they are erased, bytes become zeros."""
    data = _bytes(value)
    if column.lower() in persons.id_columns and data.decode(errors="replace") in persons.cells(column):
        return ERASED.decode()
    if not persons.needles.among(data):
        return value
    if isinstance(value, bytes):
        return persons.needles.replaced(data, lambda needle: bytes(len(needle)))
    return persons.needles.replaced(data, lambda _: ERASED).decode(errors="surrogateescape")
