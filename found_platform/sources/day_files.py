"""The staged days from rows that workers left: an engine gives users their keys, sorts by day and writes.

What belongs here: the query, and the row hashes of its days. What does not: reading files (`workers`), the folder of what is staged
and its manifest (`folders`).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.contract import EVENTS
from found_platform.settings import Settings
from found_platform.sources import scan, spread, workers

USER_KEYS = pa.schema([("user_id", pa.string()), ("user_key", pa.string()), ("fold", pa.int8())])

OF_ROW = ", ".join(f"s.{name}" for name in scan.OF_EVENT)
EVENT = f"""SELECT CAST(s.event_time AS DATE) AS event_date, s.channel, k.user_key, k.fold, {OF_ROW}
    FROM scanned s JOIN user_keys k ON s.user_id = k.user_id WHERE s.reason IS NULL"""
"""SQL of every engine."""

HASHES = pa.schema([("day", pa.string()), ("n", pa.int64()), ("hash", pa.string())])


def write(settings: Settings, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Writes the good rows of a scan into `folder / "events"`, from `user_keys` and the files of its rows below `folder`."""
    events = folder / "events"
    with spread.over(settings, con, folder / workers.ROWS) as asked:
        asked.beside("user_keys", USER_KEYS)
        asked.opened.write(EVENT, events, schema=EVENTS, by="event_date")
    for path in events.glob("**/*"):
        if path.suffix != ".parquet":  # signs of the engine that it has finished
            path.unlink()
    if not list(events.glob("*.parquet")):
        events.mkdir(exist_ok=True)
        pq.write_table(EVENTS.empty_table(), events / "none.parquet")


def hashes(settings: Settings, folder: Path) -> dict[str, list[Any]]:
    """As `hashes_of`, of the events that are in a folder, by the workers of the engine."""
    from found_platform import engine  # it brings Ibis, which a scan in one process does without

    sums: dict[str, list[int]] = {}
    with contextlib.closing(engine.of(settings)) as opened:
        opened.parquet("staged", sorted((folder / "events").glob("*.parquet")), EVENTS)
        opened.map(f"SELECT {', '.join(EVENTS.names)} FROM staged", of_batches, HASHES, "hashes")
        for row in opened.read("SELECT * FROM hashes").read_all().to_pylist():
            so_far = sums.setdefault(row["day"], [0, 0])
            sums[row["day"]] = [so_far[0] + row["n"], so_far[1] + int(row["hash"], 16)]
    return {day: [count, f"{total % 2**64:016x}"] for day, (count, total) in sums.items()}


def of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of each batch what `hashes_of` gives."""
    with contextlib.closing(lake.connect()) as con:
        for batch in batches:
            con.register("batch", pa.table(lake.cast(batch, EVENTS)))
            rows = [{"day": day, "n": count, "hash": number} for day, (count, number) in hashes_of(con, "batch").items()]
            yield from pa.Table.from_pylist(rows, HASHES).to_batches()


def hashes_of(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, list[Any]]:
    """Row count and row hash of each day of a relation of staged events, as a manifest has them."""
    rows = con.execute(
        f"SELECT CAST(event_date AS VARCHAR), count(*), sum(CAST(hash({name}) AS HUGEINT)) % 18446744073709551616 FROM {name} "
        "GROUP BY 1"
    ).fetchall()
    return {day: [count, f"{int(number):016x}"] for day, count, number in rows}
