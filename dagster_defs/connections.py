"""Connections to the SQLite files of Dagster's records that stay open while an instance is.

What belongs here: fewer openings. What does not: what is written and when it is safe, which stays as it is.

Dagster opens a connection for each event and closes it again, and whoever closes a file last has SQLite write it through: several
waits for the disk in place of one, for each of some thirty events of a run.
"""

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import QueuePool

from dagster_defs import event_batches

MOST = 8
"""Files that stay open: of the runs that are executed at a time, and that of all runs."""


class Engines:
    """An engine for each file, with one connection that stays open; the file that was used longest ago is closed first."""

    def __init__(self) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, url: str, timeout: float | None = None) -> Engine:
        with self._lock:
            if url not in self._engines:
                options = {} if timeout is None else {"timeout": timeout}
                self._engines[url] = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=options)
            self._engines.move_to_end(url)
            while len(self._engines) > MOST:
                self._engines.popitem(last=False)[1].dispose()
            return self._engines[url]

    def dispose(self) -> None:
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


def install(instance: dg.DagsterInstance) -> None:
    """Has an instance keep its connections until it is disposed of. One on another storage, such as Postgres, pools them itself."""
    events, runs = instance.event_log_storage, instance.run_storage
    if type(events) is SqliteEventLogStorage:
        engines = Engines()
        events._connect = functools.partial(_events, events, engines)
        events.dispose = _both(engines.dispose, events.dispose)
    if type(runs) is SqliteRunStorage:
        engines = Engines()
        runs.connect = functools.partial(_runs, runs, engines)
        runs.dispose = _both(engines.dispose, runs.dispose)


@contextlib.contextmanager
def _events(storage: SqliteEventLogStorage, engines: Engines, shard: str) -> Iterator[Connection]:
    """`SqliteEventLogStorage._connect`."""
    event_batches.copy_tables(storage, shard)
    with storage._db_lock:
        engine = engines.of(storage.conn_string_for_shard(shard), SQLITE_BUSY_TIMEOUT_SECONDS)
        if shard not in storage._initialized_dbs:
            storage._initdb(engine)
            storage._initialized_dbs.add(shard)
        with engine.connect() as connection, connection.begin():
            yield connection


@contextlib.contextmanager
def _runs(storage: SqliteRunStorage, engines: Engines) -> Iterator[Connection]:
    """`SqliteRunStorage.connect`."""
    with engines.of(storage._conn_string).connect() as connection, connection.begin():
        yield connection


def _both(first: Callable[[], object], second: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call
