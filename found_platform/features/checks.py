"""What must hold of a day's features before anything is built on them. Each check answers (passed, why)."""

import datetime as dt
from typing import Any

from found_platform import contract, lake
from found_platform.privacy.retention import kept_from
from found_platform.settings import Settings


def _one(settings: Settings, query: str, given: dict[str, Any], *tables: str) -> int:
    con = lake.connect(settings.duckdb_memory)
    for table in tables:
        lake.view(con, table, settings.lake, table)
    row = con.execute(query, given).fetchone()
    return int(row[0]) if row else 0


def no_event_after_snapshot(settings: Settings, start: dt.date, end: dt.date) -> tuple[bool, str]:
    """No sequence of the days `[start, end)` holds an event at or after its snapshot's time, or is out of order."""
    query = (
        "SELECT count(*) FROM behavior_sequence WHERE event_date >= $start AND event_date < $end "
        "AND (list_last(times) >= epoch_us(event_timestamp) OR times <> list_sort(times))"
    )
    late = _one(settings, query, {"start": start, "end": end}, "behavior_sequence")
    return late == 0, f"{late} snapshots hold events from their future or out of order"


def one_row_for_every_user(settings: Settings, start: dt.date, end: dt.date) -> tuple[bool, str]:
    """On each day of `[start, end)` every user known by then has exactly one row a version, and no recency is negative.

    Of the silent the row may be that of the day's grid day.
    """
    query = """
        WITH seen AS (SELECT user_key, min(known_day) AS first_known FROM user_days WHERE event_date < $end GROUP BY 1),
        days AS (SELECT CAST(d AS DATE) AS day FROM generate_series($start::DATE, $end::DATE - 1, INTERVAL 1 DAY) AS s(d)),
        wanted AS (SELECT day, count(first_known) AS n FROM days LEFT JOIN seen ON first_known <= day GROUP BY 1),
        own AS (SELECT event_date AS day, user_key FROM user_tabular
            WHERE event_date >= $grid AND event_date < $end AND created_timestamp = event_timestamp),
        of_grid AS (SELECT day AS grid, count(*) AS resting FROM own GROUP BY 1),
        of_day AS (SELECT o.day, grid, count(*) AS own, count(*) - count(g.user_key) AS other FROM
            (SELECT *, day - {since_grid} AS grid FROM own) o
            LEFT JOIN own g ON g.day = o.grid AND g.user_key = o.user_key GROUP BY 1, 2),
        known AS (SELECT day,
            CASE WHEN $sparse THEN other + coalesce(resting, 0) ELSE own END AS n FROM of_day LEFT JOIN of_grid USING (grid)),
        there AS (SELECT event_date AS day, count(*) - count(DISTINCT (user_key, created_timestamp)) AS repeated,
            count(*) FILTER (days_since_last < 0 OR days_since_first < 0 OR created_timestamp < event_timestamp) AS impossible
            FROM user_tabular WHERE event_date >= $start AND event_date < $end GROUP BY 1)
        SELECT count(*) FROM wanted LEFT JOIN known USING (day) LEFT JOIN there USING (day)
        WHERE wanted.n <> coalesce(known.n, 0) OR there.repeated > 0 OR there.impossible > 0"""
    query = query.format(since_grid=contract.SINCE_GRID_DAY.format(day="day"))
    parameters = {"start": start, "end": end, "grid": contract.grid_day(start), "sparse": kept_from(settings) is None}
    wrong = _one(settings, query, parameters, "user_days", "user_tabular")
    return wrong == 0, f"{wrong} days have missing, repeated or impossible rows"
