"""What the newest materialisation of each partition says of itself, for us: its fingerprint and the hash of its rows.

What belongs here: reading both from Dagster's event log, and keeping them beside it. What does not: how a fingerprint comes about
(`fingerprints`). An event takes about a millisecond to read, and a five-year home has thousands of them that each run asks for; an
event never changes, so what it says is kept under its number in the log.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, EventLogRecord

DATABASE = "records.db"
PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

AT_ONCE = 500
"""Events asked for at a time: a SQLite statement takes a limited number of values."""

KEPT = ("fingerprint", "rows_hash")

Record = dict[str, str]
"""`fingerprint` and `rows_hash`, as far as a materialisation has them."""


def newest(folder: Path, instance: dg.DagsterInstance, asset: str) -> dict[str, Record]:
    """The record of the newest materialisation of each partition of an asset.

    Args:
        folder: the folder of the home's Dagster instance.
    """
    key = dg.AssetKey(asset)
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
    if not ids:
        return {}
    with _opened(folder) as con:
        rows = con.execute("SELECT number, at, fingerprint, rows_hash FROM records WHERE asset = ?", [asset]).fetchall()
        kept = {number: (at, _record(values)) for number, at, *values in rows}
        witness = max(kept.keys() & ids.values(), default=None)
        if witness is not None and [r.timestamp for r in _events(instance, key, [witness])] != [kept[witness][0]]:
            kept = {}  # the log is another one than it was
        missing = [number for number in ids.values() if number not in kept]
        if missing:
            read = {r.storage_id: (r.timestamp, _of(r)) for r in _events(instance, key, missing)}
            kept |= read
            _keep(con, asset, {number: kept[number] for number in ids.values() if number in kept})
    return {str(partition): kept[number][1] for partition, number in ids.items() if number in kept}


def of_event(metadata: Mapping[str, Any]) -> Record:
    """What the metadata of a materialisation say."""
    return {name: str(metadata[name].value) for name in KEPT if name in metadata}


def _of(record: EventLogRecord) -> Record:
    materialization = record.asset_materialization
    return of_event(materialization.metadata) if materialization else {}


def _record(values: Iterable[str | None]) -> Record:
    return {name: value for name, value in zip(KEPT, values, strict=True) if value is not None}


def _events(instance: dg.DagsterInstance, key: dg.AssetKey, numbers: list[int]) -> list[EventLogRecord]:
    parts = [numbers[i : i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE)]
    return [
        record
        for part in parts
        for record in instance.fetch_materializations(AssetRecordsFilter(asset_key=key, storage_ids=part), limit=len(part)).records
    ]


def _keep(con: sqlite3.Connection, asset: str, records: Mapping[int, tuple[float, Record]]) -> None:
    """Keeps these of an asset, and no others: older events of a partition are not asked for again."""
    rows = ((asset, number, at, *(record.get(name) for name in KEPT)) for number, (at, record) in records.items())
    with con:
        con.execute("DELETE FROM records WHERE asset = ?", [asset])
        con.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / DATABASE, timeout=PATIENCE)) as con:
        con.execute(
            "CREATE TABLE IF NOT EXISTS records (asset TEXT, number INTEGER, at REAL, fingerprint TEXT, rows_hash TEXT, "
            "PRIMARY KEY (asset, number)) WITHOUT ROWID"
        )
        yield con
