"""`user_text_pairs`: for every row of a training set, what the user did in the window after it, in sentences (FOUND, equation 4).

The user side ends before t1; the description is of `[t1, t1 + horizon)`, which ends by the cutoff. What was done to the user
(exposures) is no part of it, nor what arrived only after the cutoff.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import engine, lake, row_hash
from found_platform.contract import RETURN, TIMESTAMP, midnight
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.training_data.descriptions import descriptions

TABLE = "user_text_pairs"
RETURNED = f"(e.status IS NOT DISTINCT FROM '{RETURN}')"
"""In SQL: whether an event brings back what was bought: told as that, and as nothing else."""
PART = 32_768
"""Rows described at once: bounds memory. Each part reads the events of its windows again."""

SCHEMA = pa.schema(
    [
        pa.field("cutoff", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("until", TIMESTAMP, nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("item_text_ids", pa.list_(pa.int64()), nullable=False),
        pa.field("item_counts", pa.list_(pa.int64()), nullable=False),
    ]
)
"""One row a row of the training set. `event_timestamp` is t1, `until` the end of the window; `item_text_ids` are the texts of the
window, the most frequent first, with how many events carry each."""


def build(settings: Settings, cutoff: dt.date) -> Written:
    """Writes the pairs of a cutoff's training set, in one commit."""
    timer = lake.Timer()
    versions = {t: lake.version(settings.lake, t) for t in ("training_set", "raw_events")}
    write = _in_parts if settings.engine == "duckdb" else _on_engine
    version = write(settings, cutoff, versions)
    hashes = row_hash.by_key(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff)
    size = lake.size_by(settings.lake, TABLE, "cutoff").get(str(cutoff), 0)
    return Written(TABLE, version, hashes[str(cutoff)][0], size, timer.seconds, versions, hashes)


def _slice(cutoff: dt.date) -> dict[str, Any]:
    """The part of the table that a cutoff replaces."""
    return {"partition_by": ("cutoff",), "predicate": f"cutoff = '{cutoff.isoformat()}'"}


def _rows(settings: Settings, cutoff: dt.date) -> str:
    """In SQL: the rows of the training set, with the end of each one's window."""
    until = f"event_timestamp + INTERVAL '{settings.horizon_days}' DAY"
    return f"SELECT cutoff, user_key, fold, event_timestamp, {until} AS until FROM training_set WHERE cutoff = DATE '{cutoff}'"


def _future(first: dt.date, cutoff: dt.date) -> str:
    """In SQL: the events of the windows of `rows`, none of which begins before `first`, as far as they were known by the cutoff."""
    known_at = f"CAST('{midnight(cutoff).isoformat()}' AS {{timestamp}})"
    return (
        f"SELECT r.user_key, r.event_timestamp, CASE WHEN {RETURNED} THEN NULL ELSE channel END AS channel, text_id, text, amount, "
        f"CASE WHEN NOT {RETURNED} THEN payment_method END AS payment_method, CASE WHEN {RETURNED} THEN text END AS returned "
        "FROM rows r JOIN raw_events e "
        "ON e.user_key = r.user_key AND e.event_time >= r.event_timestamp AND e.event_time < r.until "
        f"WHERE NOT e.exposure AND e.event_date >= DATE '{first}' AND e.event_date < DATE '{cutoff}' "
        f"AND e.arrived_at <= {known_at} AND r.until <= {known_at}"
    )


def _on_engine(settings: Settings, cutoff: dt.date, versions: dict[str, int]) -> int:
    with contextlib.closing(engine.of(settings)) as opened:
        for table, version in versions.items():
            opened.table(table, version)
        opened.view("rows", _rows(settings, cutoff))
        first = opened.read("SELECT min(event_timestamp) AS first FROM rows").read_all()["first"].to_pylist()[0]
        opened.view("future", _future(first.date(), cutoff).format(timestamp="TIMESTAMP"))
        query = descriptions(settings.horizon_days)
        return opened.replace(settings.lake, TABLE, query, schema=SCHEMA, **_slice(cutoff))


def _in_parts(settings: Settings, cutoff: dt.date, versions: dict[str, int]) -> int:
    """In this process, a part of the rows after the other: newest t1 first, then by user."""
    con = lake.connect(settings.duckdb_memory)
    for table, version in versions.items():
        lake.view(con, table, settings.lake, table, version)
    place = f"(row_number() OVER (ORDER BY event_timestamp DESC, user_key) - 1) // {PART} AS part"
    con.execute(f"CREATE TEMP TABLE all_rows AS SELECT *, {place} FROM ({_rows(settings, cutoff)})")
    query = engine.sql_of(descriptions(settings.horizon_days), "duckdb")
    parts = con.execute("SELECT part, min(event_timestamp) FROM all_rows GROUP BY 1 ORDER BY 1").fetchall()

    def batches() -> Iterator[pa.RecordBatch]:
        for part, first in tqdm(parts, desc=TABLE, unit="part", disable=None, leave=False):
            con.execute(f"CREATE OR REPLACE TEMP TABLE rows AS SELECT * EXCLUDE part FROM all_rows WHERE part = {part}")
            con.execute(f"CREATE OR REPLACE TEMP TABLE future AS {_future(first.date(), cutoff).format(timestamp='TIMESTAMPTZ')}")
            for batch in con.execute(f"FROM ({query}) ORDER BY event_timestamp DESC, user_key").to_arrow_reader():
                yield batch.cast(SCHEMA)

    data = pa.RecordBatchReader.from_batches(SCHEMA, batches())
    return lake.replace(settings.lake, TABLE, data, schema=SCHEMA, **_slice(cutoff))
