"""Rows that the online store must not have any more: of old snapshots, and of users of whom the lake has nothing left.

What belongs here: which rows are old, in the SQLite file of a home and in Redis. What does not: how long rows stay, and whose stay
longer (`housekeeping.expiry`).
"""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Collection
from pathlib import Path

from found_platform import lake
from found_platform.feature_store import online_redis, silence
from found_platform.feature_store.access import VIEWS, is_sparse, store
from found_platform.privacy import keys
from found_platform.settings import Settings

IN_THE_HOME = "online.db"
"""Beside `online.json`: the store of a home that has no Redis."""

PATIENCE = 60.0
"""Seconds that the file of the store is waited for."""


def let_go_online(settings: Settings, moment: dt.datetime, held: online_redis.Held) -> int:
    """Takes out the rows of snapshots at or before a moment (UTC), wherever the store is; returns how many: in the home one a user
    and feature, in Redis one a user and view.

    Raises JobFailed where a server cannot be used.
    """
    return _let_go(settings, VIEWS, moment, held)


def let_go_of_others(settings: Settings, view: str, since: dt.datetime, moment: dt.datetime) -> int:
    """Takes out the rows of a view of users of whom the lake has none between two moments (UTC); returns how many, as above.

    Who fills a store anew writes who has rows, and would leave who had some before.
    """
    with contextlib.closing(lake.connect(settings.duckdb_memory)) as con:
        lake.view(con, "t", settings.lake, view)
        between, given = "event_timestamp BETWEEN ? AND ?", [since, moment]
        present = {key for (key,) in con.execute(f"SELECT DISTINCT user_key FROM t WHERE {between}", given).fetchall()}
        if is_sparse(settings, view):  # the silent rest on the grid day of the newest one
            newest = f"(SELECT max(event_timestamp) AS n FROM t WHERE {between})"
            grid = f"(SELECT n - to_hours(24 * {silence.since_grid('n')}) FROM {newest})"
            resting = f"SELECT DISTINCT user_key FROM t WHERE event_timestamp = {grid}"
            present |= {key for (key,) in con.execute(resting, given).fetchall()}
    return _let_go(settings, (view,), moment, lambda _: present)


def _let_go(settings: Settings, views: Collection[str], moment: dt.datetime, held: online_redis.Held) -> int:
    count = _in_the_home(settings.home / "feast" / IN_THE_HOME, views, moment, held)
    redis = online_redis.of(settings)
    if redis is not None:
        feast = store(settings)
        features = {name: [feature.name for feature in feast.get_feature_view(name).features] for name in views}
        count += redis.let_go(features, moment, held)
    return count


def _in_the_home(path: Path, views: Collection[str], moment: dt.datetime, held: online_redis.Held) -> int:
    if not path.exists():
        return 0
    count, old = 0, int(moment.timestamp())  # Feast writes seconds since 1970, and SQLite has numbers before every text
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as con:
        con.execute("PRAGMA secure_delete = ON")
        tables = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in (lake.quote(name) for name in tables if name.endswith(tuple(f"_{view}" for view in views))):
            if "event_ts" not in {row[1] for row in con.execute(f"PRAGMA table_info({table})")}:
                continue
            entities = [e for (e,) in con.execute(f"SELECT DISTINCT entity_key FROM {table} WHERE event_ts <= ?", [old])]
            by_entity = {entity: keys.key_in(entity) for entity in entities}
            kept = held(filter(None, by_entity.values()))
            for entity in [e for e, key in by_entity.items() if key not in kept]:
                count += con.execute(f"DELETE FROM {table} WHERE entity_key = ? AND event_ts <= ?", [entity, old]).rowcount
        if count:
            con.execute("VACUUM")
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count
