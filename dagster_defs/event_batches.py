"""Materialisations of a range of days written to Dagster's event log in one go.

What belongs here: one transaction for many events where the log is Dagster's SQLite, which opens three connections for each event
(20 ms; a run over five years of days has 3,650 of them); and the tables of a run's own file, which are made once a process and
copied for each run. What does not: which events there are. Dagster batches events by itself where `DAGSTER_EVENT_BATCH_SIZE` says
so, and asks its storage to write a batch; this is how ours does.
"""

import contextlib
import functools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

BATCH = 1000
"""Events that Dagster holds in memory at most, some kilobytes each, before it has them written."""

OF_ASSETS = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
"""Kinds of events that a range has one of for each day."""


def install(instance: dg.DagsterInstance) -> None:
    """Lets an instance write events of a range together. One on another storage, such as Postgres, keeps its own way."""
    storage = instance.event_log_storage
    if type(storage) is SqliteEventLogStorage:
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH))
        storage.store_event_batch = lambda events: _store(storage, events)
        if "_connect" not in vars(storage):
            storage._connect = functools.partial(_connect, storage)


def _connect(storage: SqliteEventLogStorage, shard: str) -> Any:
    """What `_connect` does, on a file that has its tables already where it is that of a new run."""
    copy_tables(storage, shard)
    return SqliteEventLogStorage._connect(storage, shard)


def copy_tables(storage: SqliteEventLogStorage, shard: str) -> None:
    """Makes the file of a new run, with its tables."""
    file = Path(storage.path_for_shard(shard))
    if shard != INDEX_SHARD_NAME and shard not in storage._initialized_dbs and not file.exists():
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", suffix=".partial") as new:
            new.write(_empty(storage))
            new.flush()
            with contextlib.suppress(
                OSError
            ):  # another thread's or process's is there, or the disk knows no links: Dagster makes it
                os.link(new.name, file)
                storage._initialized_dbs.add(shard)


_made: list[bytes] = []


def _empty(storage: SqliteEventLogStorage) -> bytes:
    """The file of a run without events, as Dagster makes it: it reads all its migrations for that, each time."""
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "empty.db")
            storage._initdb(create_engine(f"sqlite:///{file}", poolclass=NullPool))
            _made.append(file.read_bytes())
    return _made[0]


def _store(storage: SqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
    """What `store_event` does for each event, in one transaction of the run's log and one of the log across runs."""
    others = [event for event in events if event.dagster_event_type not in OF_ASSETS]
    for event in others:  # one planned check a run
        storage.store_event(event)
    for run_id in dict.fromkeys(event.run_id for event in events if event.dagster_event_type in OF_ASSETS):
        _store_of_run(storage, run_id, [e for e in events if e.run_id == run_id and e.dagster_event_type in OF_ASSETS])


def _store_of_run(storage: SqliteEventLogStorage, run_id: str, events: Sequence[EventLogEntry]) -> None:
    rows = [storage._event_to_row(event) for event in events]
    with storage.run_connection(run_id) as con:
        con.execute(SqlEventLogStorageTable.insert(), rows)
    with storage.index_transaction() as con:
        inserted = (con.execute(SqlEventLogStorageTable.insert(), row).inserted_primary_key for row in rows)
        ids = [key[0] for key in inserted if key is not None]
        storage._store_asset_event_tags(con, events, ids)
        # an asset's own row holds its newest event of a kind alone
        newest = {(str(e.get_dagster_event().asset_key), e.dagster_event_type): (e, i) for e, i in zip(events, ids, strict=True)}
        for event, number in newest.values():
            storage._store_asset_event(con, event, number)
