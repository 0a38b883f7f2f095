"""Who asked what: a row for every look-up, for every showing of a person and for every change of state. No user is named in it.

The rows lie in a SQLite database of the home: a look-up takes milliseconds, a Delta commit a tenth of a second (ADR 9). With
`FOUND_DATABASE_URL` they lie in PostgreSQL. Either database itself refuses to change or remove a row.
"""

import contextlib
import datetime as dt
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from found_platform import database, home, lake
from found_platform.errors import JobFailed
from found_platform.privacy import actor, free_texts
from found_platform.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sql

DATABASE = "audit.db"
TABLE = "audit_log"
COLUMNS = ("at", "who", "action", "audience", "question", "rows", "model_version", "index_version", "reason")
NO_REMOVAL = f"CREATE TRIGGER no_removal BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END"
STATEMENTS = (
    f"CREATE TABLE {TABLE} (at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, audience TEXT, question TEXT, "
    "rows INTEGER, model_version TEXT, index_version TEXT, reason TEXT NOT NULL)",
    f"CREATE TRIGGER no_change BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    f"CREATE TRIGGER no_replacement BEFORE INSERT ON {TABLE} WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE rowid = NEW.rowid) "
    "BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    NO_REMOVAL,
)
POSTGRES_STATEMENTS = (
    f"CREATE TABLE {TABLE} (rowid BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, "
    "action TEXT NOT NULL, audience TEXT, question TEXT, rows BIGINT, model_version TEXT, index_version TEXT, "
    "reason TEXT NOT NULL)",
    "CREATE FUNCTION only_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit only grows'; END $$",
    f"CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} EXECUTE FUNCTION only_grows()",
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
    """Adds a row about what was done just now. Words of it that name somebody who was erased, or is being erased, are left out.

    Args:
        action: a verb, as the command has it: find, preview, save, refresh, export, ...
        question: what was asked; it must hold no user ids or keys. What is None in it is left out.
        rows: users that came out of it.

    Raises JobFailed where the database cannot be written.
    """
    audience, question, reason = free_texts.without_erased(settings, [audience, question and dict(question), reason])
    question_json = None if question is None else as_json(question)
    count = None if rows is None else int(rows)
    at = _microseconds(dt.datetime.now(dt.UTC))
    with _opened(settings) as table:
        table.add([(at, str(actor.current()), action, audience, question_json, count, model_version, index_version, reason)])


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
    with _opened(settings) as table:
        conditions = {f"{table.place_of}(who, ?) > 0": who, "audience = ?": audience, "action = ?": action}
        chosen = {condition: value for condition, value in conditions.items() if value}
        where = f"WHERE {' AND '.join(chosen)}" if chosen else ""
        values = list(chosen.values())
        ((count,),) = table.ask(f"SELECT count(*) FROM {TABLE} {where}", values)
        newer = max(count - oldest, 0) if oldest is not None else 0
        rows = table.ask(
            f"SELECT {', '.join(COLUMNS)} FROM {TABLE} {where} ORDER BY at DESC, rowid DESC LIMIT ? OFFSET ?",
            [*values, EVERY if limit is None else limit, start + newer],
        )
        count -= newer
    return count, [dict(zip(COLUMNS, (EPOCH + dt.timedelta(microseconds=row[0]), *row[1:]), strict=True)) for row in rows]


def count_before(settings: Settings, moment: dt.datetime) -> int:
    """How many rows are older than a moment (UTC)."""
    with _opened(settings) as table:
        ((count,),) = table.ask(f"SELECT count(*) FROM {TABLE} WHERE at < ?", [_microseconds(moment)])
    return int(count)


def let_go_before(settings: Settings, moment: dt.datetime) -> int:
    """Removes the rows that are older than a moment (UTC), as the setting retention asks; returns how many.

    What refuses every other change of a row is put back within the same transaction.
    """
    with _opened(settings) as table:
        ((count,),) = table.ask(f"SELECT count(*) FROM {TABLE} WHERE at < ?", [_microseconds(moment)])
        if count:
            table.let_go(_microseconds(moment))
    if count:
        _write_anew(settings)
    return int(count)


def _write_anew(settings: Settings) -> None:
    """Rows that went are nowhere in the file, or in the files of the server's table."""
    store = settings.postgres
    if store is not None:
        with store.engine(database.AUDIT).connect().execution_options(isolation_level="AUTOCOMMIT") as con:
            con.exec_driver_sql(f"VACUUM FULL {TABLE}")
        return
    path = settings.home / DATABASE
    with _turns:
        con = _connection(path, path.stat().st_ino, os.getpid())
        con.execute("VACUUM")
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Table(Protocol):
    """The audit in a database, for one transaction. Values stand for question marks."""

    place_of: str
    """The function that says where a text is in another, from 1; 0 where it is not."""

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None: ...

    def let_go(self, before: int) -> None:
        """Removes the rows of before a time, in microseconds, though the database refuses that of everybody else."""
        ...


INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
EVERY = 2**62
"""A limit that no audit reaches."""


class _Sqlite:
    place_of = "instr"

    def __init__(self, con: sqlite3.Connection):
        self._con = con

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._con.execute(query, values).fetchall()

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._con.executemany(INSERT, rows)

    def let_go(self, before: int) -> None:
        self._con.execute("PRAGMA secure_delete = ON")
        self._con.execute("DROP TRIGGER no_removal")
        self._con.execute(f"DELETE FROM {TABLE} WHERE at < ?", [before])
        self._con.execute(NO_REMOVAL)


class _Postgres:
    place_of = "strpos"

    def __init__(self, con: "sql.Connection"):
        self._con = con

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._con.exec_driver_sql(query.replace("?", "%s"), tuple(values))]

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._con.exec_driver_sql(INSERT.replace("?", "%s"), list(rows))

    def let_go(self, before: int) -> None:
        self._con.exec_driver_sql(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
        self._con.exec_driver_sql(f"DELETE FROM {TABLE} WHERE at < %s", (before,))
        self._con.exec_driver_sql(f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")


def _opened(settings: Settings) -> "contextlib.AbstractContextManager[_Table]":
    store = settings.postgres
    return _in_file(settings) if store is None else _in_postgres(settings, store)


@contextlib.contextmanager
def _in_postgres(settings: Settings, store: database.Database) -> Iterator[_Table]:
    with store.opened(database.AUDIT) as con:
        yield postgres_table(con, lambda: _of_the_lake(settings))


def postgres_table(con: "sql.Connection", first: Callable[[], Sequence[tuple[Any, ...]]] = list) -> _Postgres:
    """The audit in a schema of PostgreSQL; a new one gets the rows of `first`."""
    table = _Postgres(con)
    is_made = "SELECT 1 WHERE to_regclass(?) IS NOT NULL"
    if not table.ask(is_made, [TABLE]):
        con.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema()))")  # of two that make the table, one waits
        if not table.ask(is_made, [TABLE]):
            for statement in POSTGRES_STATEMENTS:
                con.exec_driver_sql(statement)
            table.add(first())
    return table


@contextlib.contextmanager
def _in_file(settings: Settings) -> Iterator[_Table]:
    """The file of the home, for one transaction."""
    path = settings.home / DATABASE
    try:
        if not path.exists():
            settings.home.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
        with _turns:
            con = _connection(path, path.stat().st_ino, os.getpid())
            con.execute("BEGIN IMMEDIATE")
            with con:
                table = _Sqlite(con)
                if not table.ask("SELECT 1 FROM sqlite_master WHERE name = ?", [TABLE]):
                    for statement in STATEMENTS:
                        con.execute(statement)
                    table.add(_of_the_lake(settings))
                yield table
    except (sqlite3.OperationalError, OSError) as error:
        raise JobFailed(f"The audit {path} cannot be used: {error}. Nothing is answered without a row in it.") from error


@lru_cache(maxsize=4)
def _connection(path: Path, inode: int, process: int) -> sqlite3.Connection:
    """Kept open: to close it takes longer than a row. A file put in its place, and a forked process, get their own."""
    del inode, process
    con = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    with home.lock(path.parent, "audit"):  # SQLite does not wait for whoever else changes the mode at the same time
        if con.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            con.execute("PRAGMA journal_mode=WAL")
    con.execute("PRAGMA synchronous=NORMAL")  # a killed process loses no row; a power cut may take the last ones
    return con


def _of_the_lake(settings: Settings) -> list[tuple[Any, ...]]:
    """The rows of a home that kept its audit as a Delta table, oldest first."""
    if not lake.exists(settings.lake, TABLE):
        return []
    rows = lake.read(settings.lake, TABLE, columns=list(COLUMNS)).sort_by("at").to_pylist()
    return [tuple({**row, "at": _microseconds(row["at"])}.values()) for row in rows]


def _microseconds(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(microseconds=1)
