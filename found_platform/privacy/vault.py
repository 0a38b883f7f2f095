"""The vault: the one place that leads from a user key back to the raw id it was made from.

A SQLite database of the home, for its owner alone, keyed by user key: a few users are looked up by a few page reads, whatever the
number of users. Look-up results and exports read it, and nothing else does. A removed row is overwritten (`secure_delete`).
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.home import PRIVATE_FILE, lock
from found_platform.lake_place import FOLDER
from found_platform.privacy import tombstones
from found_platform.settings import Settings

DATABASE = "vault.db"
TABLE = "vault"
COLUMNS = ("user_key", "user_id")

AT_ONCE = 10_000
"""Keys in one query; SQLite takes 32,766 parameters."""

PATIENCE = 60.0
"""Seconds that a reader or writer waits for another."""


def exists(settings: Settings) -> bool:
    """Whether any user was ever seen."""
    return (settings.home / DATABASE).exists() or lake.exists(settings.lake, TABLE)


def add(settings: Settings, keys: pa.Table | pa.RecordBatchReader) -> None:
    """Adds users (columns user_key and user_id), in one transaction; users already there stay. Those of a reader come in key order,
    so that pages are filled one after another, and only a batch of them is held."""
    with _opened(settings, make=True) as con, con:
        _insert(con, keys)


def user_ids(settings: Settings, user_keys: Sequence[str]) -> dict[str, str]:
    """The raw ids of these keys; a key that has no row, or whose user is being erased, is left out."""
    out = tombstones.erasing(settings)
    return {key: user for key, user in _rows(settings, "user_key, user_id", user_keys) if key not in out}


def count(settings: Settings, user_keys: Sequence[str]) -> int:
    """How many of these keys are there; none where there is no vault yet."""
    if not exists(settings):
        return 0
    return sum(1 for _ in _rows(settings, "user_key, NULL", set(user_keys)))


def size(settings: Settings) -> int:
    """How many users are there."""
    if not exists(settings):
        return 0
    with _opened(settings) as con:
        return int(con.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0])


def user_keys(settings: Settings) -> list[str]:
    """The keys of everybody who is there."""
    if not exists(settings):
        return []
    with _opened(settings) as con:
        return [key for (key,) in con.execute(f"SELECT user_key FROM {TABLE}")]


def without_id(settings: Settings, users: int) -> str:
    """A sentence about users who cannot be named, since the vault has no row for them; empty where there are none."""
    if not users:
        return ""
    who = "1 user has no id in the vault and is" if users == 1 else f"{users:,} users have no id in the vault and are"
    return f"{who} left out ({settings.home / DATABASE}: erased, or lost with an older copy of the vault)"


def remove(settings: Settings, user_keys: Sequence[str]) -> None:
    """Removes users: from then on nothing leads back to their raw ids, and the file holds no byte of them."""
    if not exists(settings):
        return
    with _opened(settings) as con:
        with con:
            con.executemany(f"DELETE FROM {TABLE} WHERE user_key = ?", ((key,) for key in user_keys))
        con.execute("VACUUM")


def _rows(settings: Settings, columns: str, user_keys: Sequence[str] | set[str]) -> Iterator[tuple[str, str]]:
    remaining = iter(user_keys)
    with _opened(settings) as con:
        while some := list(islice(remaining, AT_ONCE)):
            marks = ", ".join("?" * len(some))
            yield from con.execute(f"SELECT {columns} FROM {TABLE} WHERE user_key IN ({marks})", some)


@contextlib.contextmanager
def _opened(settings: Settings, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection for one use: to open one takes a fraction of a millisecond, and no handle outlives it."""
    path = settings.home / DATABASE
    before = settings.home / FOLDER / TABLE  # never on object storage
    if before.exists() or (make and not path.exists()):
        _make(settings, path, before)
    if not path.exists():
        raise BadInput(f"The vault {path} is not there, so no user can be named: restore it from a backup, or run `found demo`.")
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as con:
        con.execute("PRAGMA secure_delete = ON")
        yield con


def _make(settings: Settings, path: Path, before: Path) -> None:
    """Makes the database, whole or not at all, with the rows of a home that kept its vault as a Delta table `before`."""
    with lock(settings.home, "vault"):
        if not path.exists():
            partial = path.with_name(f".{DATABASE}.partial")
            partial.unlink(missing_ok=True)
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
            with contextlib.closing(sqlite3.connect(partial)) as con, con:
                con.execute(f"CREATE TABLE {TABLE} (user_key TEXT PRIMARY KEY, user_id TEXT NOT NULL) WITHOUT ROWID")
                if before.exists():
                    _insert(con, _of_delta(settings))
            partial.replace(path)
        shutil.rmtree(before, ignore_errors=True)  # the ids are in one place


def _of_delta(settings: Settings) -> pa.RecordBatchReader:
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "vault", settings.lake, TABLE)
    return con.execute(f"SELECT {', '.join(COLUMNS)} FROM vault ORDER BY user_key").to_arrow_reader(AT_ONCE)


def _insert(con: sqlite3.Connection, keys: pa.Table | pa.RecordBatchReader) -> None:
    """In key order, so that pages are filled one after another."""
    if isinstance(keys, pa.Table):
        keys = keys.select(list(COLUMNS)).sort_by("user_key").to_reader(AT_ONCE)
    for batch in keys:
        columns = (batch[name].to_pylist() for name in COLUMNS)
        con.executemany(f"INSERT OR IGNORE INTO {TABLE} VALUES (?, ?)", zip(*columns, strict=True))
