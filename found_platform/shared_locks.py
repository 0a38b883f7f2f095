"""Locks of a home that hold between machines: in PostgreSQL, beside the files of the home, where its records lie there.

A lock is an advisory one of a session, on a connection of its own that a process keeps while it holds any. It ends with the
process, whose socket closes, and with the connection: PostgreSQL frees the lock of a machine that is gone after some 25 seconds. So
a holder may lose its locks and live on. `check` is asked before what others see is changed, and stops who has lost them; from that
look to the change pass milliseconds, not the hours that a lock is held.

What belongs here: the connection, and noticing that it was lost. What does not: names, waiting, and who holds one (`home`).
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import postgres
from found_platform.errors import JobFailed

if TYPE_CHECKING:
    import pyarrow as pa

KEEPALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""Seconds after which silence is asked about, between two questions, and how many: 25 seconds in all, from both ends."""


class Session:
    """The locks that this process holds in one postgres."""

    def __init__(self, url: str):
        self._url, self._turn = url, threading.RLock()
        self._held: set[int] = set()
        self._connection: Any = None
        self._lost: str | None = None

    def take(self, key: int) -> bool:
        """Takes a lock, if nobody holds it. Raises JobFailed where the server cannot be asked."""
        with self._turn:
            self.check()
            if key in self._held:  # PostgreSQL would give it to the same session again
                return False
            try:
                if is_mine := bool(self._ask("SELECT pg_try_advisory_lock(%s)", key)):
                    self._held.add(key)
                return is_mine
            finally:
                self._end_unheld()

    def give_back(self, key: int) -> None:
        """Gives a lock back that was taken here; one that was lost is gone already."""
        with self._turn:
            self._held.discard(key)
            with contextlib.suppress(JobFailed):
                if self._lost is None:
                    self._ask("SELECT pg_advisory_unlock(%s)", key)
            self._end_unheld()

    def check(self) -> None:
        """Raises JobFailed where locks were taken here and are lost."""
        with self._turn:
            if self._held and self._lost is None:
                with contextlib.suppress(JobFailed):
                    self._ask("SELECT 1")
            if self._held and self._lost is not None:
                raise JobFailed(
                    f"This process has lost its locks, and another may write by now: {self._lost}. What it was about to write "
                    "is not written: run this again."
                )

    def _ask(self, query: str, *values: int) -> Any:
        import psycopg2

        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchone()[0]
        except psycopg2.Error as error:
            reason = " ".join(str(error).split()).rstrip(".")
            self._lost = f"{postgres.place(self._url)} does not answer ({reason})"
            raise JobFailed(f"{self._lost}: the locks of the home lie there. Look whether the server runs.") from error

    def _connect(self) -> Any:
        import psycopg2
        import sqlalchemy as sql

        address = sql.make_url(postgres.address(self._url, "public")).set(drivername="postgresql")
        connection = psycopg2.connect(address.render_as_string(hide_password=False), **KEEPALIVE)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, value in KEEPALIVE.items():
                cursor.execute(f"SET tcp_{name} = {value}")
            cursor.execute("SET idle_session_timeout = 0")
        return connection

    def _end_unheld(self) -> None:
        """Without a lock no connection is kept, and one that was lost is made anew."""
        if self._held:
            return
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = self._lost = None


_sessions: dict[tuple[int, str], Session] = {}
_opening = threading.Lock()


def session(home: Path) -> tuple[Session, str] | None:
    """Where locks of a home are taken beside its files, and its number; None where its records are its own."""
    url = os.environ.get(postgres.SETTING)
    number = postgres.marked(home) if url else None
    if url is None or number is None:
        return None
    with _opening:  # a forked process has its own
        return _sessions.setdefault((os.getpid(), url), Session(url)), number


def key(number: str, name: str) -> int:
    """A lock as PostgreSQL tells it from others: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(f"found {number} {name}".encode()).digest()[:8], "big", signed=True)


def check() -> None:
    """Before what others see is changed: raises JobFailed where this process has lost a lock that it took."""
    for (process, _), held in list(_sessions.items()):
        if process == os.getpid():
            held.check()


def checked(data: "pa.Table | pa.RecordBatchReader") -> "pa.Table | pa.RecordBatchReader":
    """Rows to commit, with a `check` after the last of them was read."""
    import pyarrow as pa

    if not isinstance(data, pa.RecordBatchReader):
        check()
        return data

    def batches() -> "Iterator[pa.RecordBatch]":
        yield from data
        check()

    return pa.RecordBatchReader.from_batches(data.schema, batches())
