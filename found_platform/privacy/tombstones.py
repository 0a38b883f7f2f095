"""Tombstones: who was erased, so that nobody asks for them and no scan of a source brings them back.

A tombstone is a keyed hash of the user key, under a key of its own made from the home's secret: with the home alone nobody is named
by it, and it is no user key that could be looked for. While an erasure is under way, the user keys stand beside it, so that whole
populations can be held against them; its last step takes them out.

What belongs here: the database, and who is in it. What does not: erasing (`found_platform.erasure`).
"""

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from found_platform.cache import single_flight
from found_platform.home import PRIVATE_FILE, make_private
from found_platform.settings import Settings

FOLDER, DATABASE = "erasures", "tombstones.db"
PATIENCE = 60.0
"""Seconds that a reader or writer waits for another."""


def path(settings: Settings) -> Path:
    """Where they lie. Without this file a source brings erased users back."""
    return settings.home / FOLDER / DATABASE


def mark(secret: bytes, user_key: str) -> str:
    """The tombstone of a user key, as hex."""
    return hmac.new(secret, b"tombstone " + user_key.encode(), hashlib.sha256).hexdigest()


def add(settings: Settings, secret: bytes, user_keys: Iterable[str]) -> None:
    """Users who are being erased from now on."""
    erased_at = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    rows = [(mark(secret, key), erased_at, key) for key in sorted(user_keys)]
    with _opened(settings) as con, con:
        con.executemany(
            "INSERT INTO tombstones VALUES (?, ?, ?) ON CONFLICT (mark) DO UPDATE SET user_key = excluded.user_key", rows
        )


def settle(settings: Settings) -> None:
    """Takes out the keys that stood beside the tombstones; these stay. Nothing is left of a key in the file."""
    if not path(settings).exists():
        return
    with _opened(settings) as con:
        with con:
            con.execute("UPDATE tombstones SET user_key = NULL WHERE user_key IS NOT NULL")
        con.execute("VACUUM")


def marks_of(file: Path) -> frozenset[str]:
    """The tombstones of a file, as `mark` makes them; it may be of another home with the same secret."""
    return _column(file, "SELECT mark FROM tombstones")


def take_over(settings: Settings, file: Path) -> None:
    """Adds the tombstones of another file, so that no scan brings back whom this home never erased itself."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=PATIENCE)) as other:
        rows = other.execute("SELECT mark, at FROM tombstones").fetchall()
    with _opened(settings) as con, con:
        con.executemany("INSERT OR IGNORE INTO tombstones VALUES (?, ?, NULL)", rows)


def erasing(settings: Settings) -> frozenset[str]:
    """The keys of users who are being erased at this moment; nobody holds anything of the others."""
    return _erasing(*state) if (state := _state(settings)) else frozenset()


def count(settings: Settings) -> int:
    """How many users were erased."""
    return len(_marks(*state)) if (state := _state(settings)) else 0


def erased(settings: Settings, secret: bytes, user_keys: Iterable[str]) -> set[str]:
    """Who of these was erased, or is being erased."""
    state = _state(settings)
    marks = _marks(*state) if state else frozenset()
    return {key for key in user_keys if mark(secret, key) in marks} if marks else set()


State = tuple[Path, int, int, int]


def _state(settings: Settings) -> State | None:
    """What the file holds, as a key of a cache: requests ask again and again, and it seldom changes."""
    file = path(settings)
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return file, about.st_ino, about.st_mtime_ns, about.st_size


@single_flight(4)
def _erasing(file: Path, *_: int) -> frozenset[str]:
    return _column(file, "SELECT user_key FROM tombstones WHERE user_key IS NOT NULL")


@single_flight(4)
def _marks(file: Path, *_: int) -> frozenset[str]:
    return _column(file, "SELECT mark FROM tombstones")


def _column(file: Path, query: str) -> frozenset[str]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=PATIENCE)) as con:
        return frozenset(value for (value,) in con.execute(query))


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[sqlite3.Connection]:
    file = path(settings)
    make_private(file.parent)
    if not file.exists():
        _make(file)
    with contextlib.closing(sqlite3.connect(file, timeout=PATIENCE)) as con:
        con.execute("PRAGMA secure_delete = ON")
        yield con


def _make(file: Path) -> None:
    """Makes the database whole, so that a reader never meets one without its table."""
    partial = file.with_name(f".{DATABASE}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    with contextlib.closing(sqlite3.connect(partial)) as con, con:
        con.execute("CREATE TABLE tombstones (mark TEXT PRIMARY KEY, at TEXT NOT NULL, user_key TEXT) WITHOUT ROWID")
    partial.replace(file)
