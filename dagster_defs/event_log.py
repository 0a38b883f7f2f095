"""The newest materialisation of each partition, straight from the file in which a home's Dagster keeps its events.

What belongs here: that one question, without Dagster, which takes two seconds to load and several milliseconds to answer. What does
not: what an event says (`records`). A home whose events are elsewhere, in Postgres for example, has to be asked through Dagster.
"""

import contextlib
import datetime as dt
import json
import sqlite3
from pathlib import Path

import yaml

ELSEWHERE = ("storage", "event_log_storage")
"""Keys of `dagster.yaml` that put the events into another place than `history/runs/index.db`."""

NEWEST = """
    SELECT partition, max(id), timestamp FROM event_logs
    WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION' AND timestamp > ? GROUP BY partition
"""


def newest(folder: Path, asset: str) -> dict[str, tuple[int, float]] | None:
    """Of each partition the number of its newest materialisation and its time, in seconds since 1970; "" is an unpartitioned asset.

    What a person has wiped in Dagster is not counted. None where the log is not a file of this folder.

    Args:
        folder: the folder of the home's Dagster instance.
    """
    path = folder / "history" / "runs" / "index.db"
    if not path.exists() or is_elsewhere(folder / "dagster.yaml"):
        return None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as con:
        key = json.dumps([asset])
        row = con.execute("SELECT asset_details FROM asset_keys WHERE asset_key = ?", [key]).fetchone()
        wiped = json.loads(row[0]).get("last_wipe_timestamp") if row and row[0] else None
        rows = con.execute(NEWEST, [key, str(dt.datetime.fromtimestamp(wiped or 0, dt.UTC).replace(tzinfo=None))]).fetchall()
    events = {partition or "": (number, _seconds(at)) for partition, number, at in rows}
    return events if len(events) == 1 else {key: event for key, event in events.items() if key}


def is_elsewhere(config: Path) -> bool:
    """Whether a `dagster.yaml` keeps the records in another place than files beside it."""
    content = yaml.safe_load(config.read_text()) if config.exists() else None
    return any(key in (content or {}) for key in ELSEWHERE)


def _seconds(timestamp: str) -> float:
    return dt.datetime.fromisoformat(timestamp).replace(tzinfo=dt.UTC).timestamp()
