"""What the newest materialisation of each partition says of itself, for us: its fingerprint, the hash of its rows and their number.

What belongs here: reading these from Dagster's event log, and keeping them beside it. What does not: how a fingerprint comes about
(`fingerprints`). An event takes about a millisecond to read, and a five-year home has thousands of them that each run asks for; an
event never changes, so what it says is kept under its number in the log.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dagster_defs import event_log

if TYPE_CHECKING:
    import dagster as dg

DATABASE = "records.db"
PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

AT_ONCE = 500
"""Events asked for at a time: a SQLite statement takes a limited number of values."""

KEPT = {"fingerprint": "fingerprint", "rows_hash": "rows_hash", "rows": "dagster/partition_row_count"}
"""What is kept, and which metadata say it."""

COLUMNS = ", ".join(KEPT)

TABLE = (
    "CREATE TABLE IF NOT EXISTS records (asset TEXT, number INTEGER, at REAL, "
    + "".join(f"{name} TEXT, " for name in KEPT)
    + "PRIMARY KEY (asset, number)) WITHOUT ROWID"
)

SAME_SECONDS = 1e-3
"""Two times of one event differ by less: the log rounds them to microseconds."""

Instance: TypeAlias = "dg.DagsterInstance | Callable[[], dg.DagsterInstance]"
"""The home's instance, or how to open it: where all that is asked has been read before, nobody does."""

Record = dict[str, str]
"""`fingerprint`, `rows_hash` and `rows`, as far as a materialisation has them."""


def newest(folder: Path, instance: Instance, asset: str) -> dict[str, Record]:
    """The record of the newest materialisation of each partition of an asset; "" is an unpartitioned one.

    Args:
        folder: the folder of the home's Dagster instance.
    """
    log = event_log.newest(folder, asset)
    numbers = {partition: number for partition, (number, _) in log.items()} if log is not None else _numbers(instance, asset)
    if not numbers:
        return {}
    with _opened(folder) as con:
        rows = con.execute(f"SELECT number, at, {COLUMNS} FROM records WHERE asset = ?", [asset]).fetchall()
        kept = {number: (at, _record(values)) for number, at, *values in rows}
        witness = max(kept.keys() & numbers.values(), default=None)
        if witness is not None:
            times = dict(log.values()) if log is not None else {n: e.timestamp for n, e in _events(instance, asset, [witness])}
            if abs(times.get(witness, 0.0) - kept[witness][0]) > SAME_SECONDS:
                kept = {}  # the log is another one than it was
        missing = [number for number in numbers.values() if number not in kept]
        if missing:
            kept |= {number: (event.timestamp, _of(event)) for number, event in _events(instance, asset, missing)}
            _keep(con, asset, {number: kept[number] for number in numbers.values() if number in kept})
    return {str(partition): kept[number][1] for partition, number in numbers.items() if number in kept}


def _numbers(instance: Instance, asset: str) -> dict[str, int]:
    """What `event_log.newest` says, asked through Dagster."""
    import dagster as dg

    key, storage = dg.AssetKey(asset), _open(instance).event_log_storage
    numbers = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if numbers:
        return dict(numbers)
    newest_one = storage.fetch_materializations(key, limit=1).records
    return {"": newest_one[0].storage_id} if newest_one else {}


def _open(instance: Instance) -> "dg.DagsterInstance":
    return instance() if callable(instance) else instance


def of_event(metadata: Mapping[str, Any]) -> Record:
    """What the metadata of a materialisation say."""
    return {name: str(metadata[source].value) for name, source in KEPT.items() if source in metadata}


def _of(event: "dg.EventLogEntry") -> Record:
    materialization = event.asset_materialization
    return of_event(materialization.metadata) if materialization else {}


def _record(values: Iterable[str | None]) -> Record:
    return {name: value for name, value in zip(KEPT, values, strict=True) if value is not None}


def _events(instance: Instance, asset: str, numbers: list[int]) -> list[tuple[int, "dg.EventLogEntry"]]:
    """The materialisations of these numbers in the log, read through Dagster."""
    import dagster as dg

    storage, key = _open(instance).event_log_storage, dg.AssetKey(asset)
    parts = [numbers[i : i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE)]
    filters = (dg.AssetRecordsFilter(asset_key=key, storage_ids=part) for part in parts)
    pages = (storage.fetch_materializations(each, limit=AT_ONCE).records for each in filters)
    return [(record.storage_id, record.event_log_entry) for page in pages for record in page]


def _keep(con: sqlite3.Connection, asset: str, records: Mapping[int, tuple[float, Record]]) -> None:
    """Keeps these of an asset, and no others: older events of a partition are not asked for again."""
    rows = ((asset, number, at, *(record.get(name) for name in KEPT)) for number, (at, record) in records.items())
    with con:
        con.execute("DELETE FROM records WHERE asset = ?", [asset])
        con.executemany(f"INSERT OR REPLACE INTO records (asset, number, at, {COLUMNS}) VALUES (?, ?, ?{', ?' * len(KEPT)})", rows)


def _has_columns(con: sqlite3.Connection) -> bool:
    return KEPT.keys() <= {name for _, name, *_ in con.execute("PRAGMA table_info(records)")}


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / DATABASE, timeout=PATIENCE)) as con:
        con.execute(TABLE)
        if not _has_columns(con):  # of an earlier version
            with con:
                con.execute("BEGIN IMMEDIATE")
                if not _has_columns(con):
                    con.execute("DROP TABLE records")
                    con.execute(TABLE)
        yield con
