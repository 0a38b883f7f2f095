"""Materialisations of a range of days written to Dagster's event log in one go.

What belongs here: one transaction for many events where the log is Dagster's SQLite, which opens three connections for each event
(20 ms; a run over five years of days has 3,650 of them). What does not: which events there are. Dagster batches events by itself
where `DAGSTER_EVENT_BATCH_SIZE` says so, and asks its storage to write a batch; this is how ours does.
"""

import os
from collections.abc import Sequence

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

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
