"""Dagster's records of a home on their way from SQLite files into PostgreSQL.

What belongs here: which files they are, and how the log of each run, which Dagster keeps in a file of its own beside the log across
runs, becomes one table. Entries of the log across runs keep their numbers, which cursors of automation and `records.db` hold; the
others of a run come after them all.
"""

from pathlib import Path

import sqlalchemy as sql
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

from found_platform import database
from found_platform.database import Database
from found_platform.housekeeping.moving import AT_ONCE, copy_tables, follow_on
from found_platform.settings import Settings

INDEXES = "secondary_indexes"
"""Which changes of its tables Dagster has made: those in PostgreSQL are new."""

ENTRY = [column for column in Events.columns if column.name != "id"]


def copy(settings: Settings, target: Database) -> dict[str, int]:
    """Copies runs, events and ticks. Returns the rows of each table."""
    from dagster_defs.storage import HomeStorage

    history = settings.dagster_home / "history"
    stores = [history / "runs.db", history / "runs" / "index.db", settings.dagster_home / "schedules" / "schedules.db"]
    if not any(path.exists() for path in stores):
        return {}
    HomeStorage(target.address(database.DAGSTER))  # makes the tables
    counts: dict[str, int] = {}
    with target.opened(database.DAGSTER) as con:
        for path in stores:
            if path.exists():
                counts |= copy_tables(path, con, lambda name: name != INDEXES)
        counts[Events.name] += sum(_copy_log(path, con) for path in sorted((history / "runs").glob("*.db")) if path not in stores)
        follow_on(con, Events)
    return counts


def _copy_log(path: Path, con: sql.Connection) -> int:
    """The entries of one run that the log across runs does not have."""
    across: dict[tuple[str, float], int] = {}
    query = sql.select(Events.c.event, Events.c.timestamp).where(Events.c.run_id == path.stem)
    for event, at in con.execute(query):
        key = (event, at.timestamp())
        across[key] = across.get(key, 0) + 1
    rows = []
    with sql.create_engine(f"sqlite:///{path}").connect() as before:
        for row in before.execute(sql.select(*ENTRY).order_by(Events.c.id)):
            key = (row.event, row.timestamp.timestamp())
            if across.get(key):
                across[key] -= 1
            else:
                rows.append(dict(row._mapping))
    follow_on(con, Events)
    for start in range(0, len(rows), AT_ONCE):
        con.execute(Events.insert(), rows[start : start + AT_ONCE])
    return len(rows)
