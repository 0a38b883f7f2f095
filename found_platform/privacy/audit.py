"""Who asked what: a row for every look-up, for every showing of a person and for every change of state. No user is named in it.

The rows lie in a SQLite database of the home: a look-up takes milliseconds, a Delta commit a tenth of a second (ADR 9). The
database itself refuses to change or remove a row.
"""

import contextlib
import datetime as dt
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from found_platform import lake
from found_platform.errors import JobFailed
from found_platform.privacy import actor
from found_platform.settings import Settings

DATABASE = "audit.db"
TABLE = "audit_log"
COLUMNS = ("at", "who", "action", "audience", "question", "rows", "model_version", "index_version", "reason")
STATEMENTS = (
    f"CREATE TABLE {TABLE} (at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, audience TEXT, question TEXT, "
    "rows INTEGER, model_version TEXT, index_version TEXT, reason TEXT NOT NULL)",
    f"CREATE TRIGGER no_change BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    f"CREATE TRIGGER no_replacement BEFORE INSERT ON {TABLE} WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE rowid = NEW.rowid) "
    "BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    f"CREATE TRIGGER no_removal BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
)
"""`at` is microseconds UTC; `who` an actor, with the way in; `question` JSON of what was asked; `rows` how many users came out."""

_turns = threading.Lock()
EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
PATIENCE = 30.0
"""Seconds that a writer waits for another."""


def record(
    settings: Settings,
    action: str,
    *,
    question: Mapping[str, Any] | None = None,
    audience: str | None = None,
    rows: int | None = None,
    model_version: str | None = None,
    index_version: str | None = None,
    reason: str = "",
) -> None:
    """Adds a row about what was done just now.

    Args:
        action: a verb, as the command has it: find, preview, save, refresh, export, ...
        question: what was asked; it must hold no user ids or keys. What is None in it is left out.
        rows: users that came out of it.

    Raises JobFailed where the database cannot be written.
    """
    question_json = None if question is None else as_json(question)
    count = None if rows is None else int(rows)
    at = _microseconds(dt.datetime.now(dt.UTC))
    with _opened(settings) as con:
        _add(con, [(at, str(actor.current()), action, audience, question_json, count, model_version, index_version, reason)])


def as_json(question: Mapping[str, Any]) -> str:
    """What was asked, in one line."""
    return json.dumps({k: v for k, v in question.items() if v is not None}, ensure_ascii=False)


def entries(settings: Settings) -> list[dict[str, Any]]:
    """The rows, newest first; `at` as UTC times."""
    return part(settings)[1]


def part(
    settings: Settings,
    *,
    start: int = 0,
    limit: int | None = None,
    who: str | None = None,
    audience: str | None = None,
    action: str | None = None,
    oldest: int | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """How many rows there are, and `limit` of them (None: all) from place `start` on, newest first.

    Args:
        who: a part of the actor's name.
        audience, action: in full. None takes every row.
        oldest: only so many of the oldest of them count; None: all.
    """
    conditions = {"instr(who, ?) > 0": who, "audience = ?": audience, "action = ?": action}
    chosen = {condition: value for condition, value in conditions.items() if value}
    where = f"WHERE {' AND '.join(chosen)}" if chosen else ""
    values = list(chosen.values())
    with _opened(settings) as con:
        (count,) = con.execute(f"SELECT count(*) FROM {TABLE} {where}", values).fetchone()
        newer = max(count - oldest, 0) if oldest is not None else 0
        rows = con.execute(
            f"SELECT {', '.join(COLUMNS)} FROM {TABLE} {where} ORDER BY at DESC, rowid DESC LIMIT ? OFFSET ?",
            [*values, -1 if limit is None else limit, start + newer],
        ).fetchall()
        count -= newer
    return count, [dict(zip(COLUMNS, (EPOCH + dt.timedelta(microseconds=row[0]), *row[1:]), strict=True)) for row in rows]


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[sqlite3.Connection]:
    """The database, for one transaction."""
    path = settings.home / DATABASE
    try:
        if not path.exists():
            settings.home.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
        with _turns:
            con = _connection(path, path.stat().st_ino, os.getpid())
            con.execute("BEGIN IMMEDIATE")
            with con:
                if con.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [TABLE]).fetchone() is None:
                    for statement in STATEMENTS:
                        con.execute(statement)
                    _add(con, _of_the_lake(settings))
                yield con
    except (sqlite3.OperationalError, OSError) as error:
        raise JobFailed(f"The audit {path} cannot be used: {error}. Nothing is answered without a row in it.") from error


@lru_cache(maxsize=4)
def _connection(path: Path, inode: int, process: int) -> sqlite3.Connection:
    """Kept open: to close it takes longer than a row. A file put in its place, and a forked process, get their own."""
    del inode, process
    con = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    locks = path.parent / "locks"
    locks.mkdir(exist_ok=True)
    with FileLock(locks / "audit.lock"):  # SQLite does not wait for whoever else changes the mode at the same time
        if con.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            con.execute("PRAGMA journal_mode=WAL")
    con.execute("PRAGMA synchronous=NORMAL")  # a killed process loses no row; a power cut may take the last ones
    return con


def _add(con: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    con.executemany(f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", rows)


def _of_the_lake(settings: Settings) -> list[tuple[Any, ...]]:
    """The rows of a home that kept its audit as a Delta table, oldest first."""
    if not lake.exists(settings.lake, TABLE):
        return []
    rows = lake.read(settings.lake, TABLE, columns=list(COLUMNS)).sort_by("at").to_pylist()
    return [tuple({**row, "at": _microseconds(row["at"])}.values()) for row in rows]


def _microseconds(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(microseconds=1)
