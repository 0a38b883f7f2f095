"""What must hold of a day's features before anything is built on them. Each check answers (passed, why)."""

import datetime as dt

from found_platform import lake
from found_platform.settings import Settings


def _one(settings: Settings, query: str, start: dt.date, end: dt.date, *tables: str) -> int:
    con = lake.connect(settings.duckdb_memory)
    for table in tables:
        con.register(table, lake.dataset(settings.lake, table))
    row = con.execute(query, {"start": start, "end": end}).fetchone()
    return int(row[0]) if row else 0


def no_event_after_snapshot(settings: Settings, start: dt.date, end: dt.date) -> tuple[bool, str]:
    """No sequence of the days `[start, end)` holds an event at or after its snapshot's time, or is out of order."""
    query = (
        "SELECT count(*) FROM behavior_sequence WHERE event_date >= $start AND event_date < $end "
        "AND (list_last(times) >= epoch_us(event_timestamp) OR times <> list_sort(times))"
    )
    late = _one(settings, query, start, end, "behavior_sequence")
    return late == 0, f"{late} snapshots hold events from their future or out of order"


def one_row_for_every_user(settings: Settings, start: dt.date, end: dt.date) -> tuple[bool, str]:
    """On each day of `[start, end)` every user seen by then has exactly one row, and no recency is negative."""
    query = """
        WITH seen AS (SELECT user_key, min(event_date) AS first_seen FROM raw_events WHERE event_date < $end GROUP BY 1),
        days AS (SELECT CAST(d AS DATE) AS day FROM generate_series($start::DATE, $end::DATE - 1, INTERVAL 1 DAY) AS s(d)),
        wanted AS (SELECT day, count(first_seen) AS n FROM days LEFT JOIN seen ON first_seen <= day GROUP BY 1),
        there AS (SELECT event_date AS day, count(*) AS n, count(DISTINCT user_key) AS users,
            count(*) FILTER (days_since_last < 0 OR days_since_first < 0) AS negative
            FROM user_tabular WHERE event_date >= $start AND event_date < $end GROUP BY 1)
        SELECT count(*) FROM wanted LEFT JOIN there USING (day)
        WHERE wanted.n <> coalesce(there.n, 0) OR there.n <> there.users OR there.negative > 0"""
    wrong = _one(settings, query, start, end, "raw_events", "user_tabular")
    return wrong == 0, f"{wrong} days have missing, repeated or impossible rows"
