"""`behavior_sequence` and `search_text`: the last N events of every user active on a day, as parallel lists.

The last-N form (sort an array of structs, take its tail) compiles for DuckDB and for Spark. Structs sort field by field, time
first, so events of equal time have one order wherever they are stored.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false
# (an Ibis column's type is known only at run time)

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, SEARCH
from found_platform.features.late_arrivals import brought_back, created, known_day, late_events, past, versions


def behavior_sequence(events: ir.Table, days: ir.Table, length: int, has_late: bool) -> ir.Table:
    """One row a day, user with any event but searches and returns that day, and version; lists oldest first, at most `length` long.

    Args:
        events: raw events.
        days: columns day, first_day (start of the lookback), event_timestamp.
        length: N.
        has_late: False where every event was known on its own day, or by the first of the days.
    """
    last = _last_events(events.filter(events.channel != SEARCH, ~brought_back(events)), days, length, has_late)
    return last.select(
        *KEYS,
        text_ids=last.s.map(lambda e: e.text_id),
        times=last.s.map(lambda e: e.time),
        channels=last.s.map(lambda e: e.channel),
        amount_buckets=last.s.map(lambda e: e.amount_bucket),
        exposures=last.s.map(lambda e: e.exposure),
    )


def search_text(events: ir.Table, days: ir.Table, length: int, has_late: bool) -> ir.Table:
    """One row a day, user with a search that day, and version; lists oldest first, at most `length` long. Arguments as above."""
    last = _last_events(events.filter(events.channel == SEARCH), days, length, has_late)
    return last.select(*KEYS, search_text_ids=last.s.map(lambda e: e.text_id), search_times=last.s.map(lambda e: e.time))


KEYS = ("event_date", "user_key", "event_timestamp", "created_timestamp")


def _last_events(events: ir.Table, days: ir.Table, length: int, has_late: bool) -> ir.Table:
    active = events.semi_join(days, events.event_date == days.day).select("user_key", "event_date").distinct()
    snapshots = active.join(days, active.event_date == days.day).select("user_key", "day", "first_day", "event_timestamp")
    snapshots = versions(snapshots, late_events(events) if has_late else None)
    events_again = events.view()
    history = past(snapshots, events_again.mutate(known_day=known_day(events_again)) if has_late else events_again, has_late)
    event = ibis.struct(
        {
            # truncated first: the cast of a fraction of a second would round it up, into the future
            "time": history.event_time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + history.event_time.microsecond(),
            "text_id": history.text_id,
            "channel": history.channel.cases(*((c, i) for i, c in enumerate(CHANNELS)), else_=-1).cast("int64"),
            "amount_bucket": (history.amount.abs() + 1).log2().floor().cast("int64").fill_null(-1),
            "exposure": history.exposure.cast("int64"),
        }
    )
    history = history.select("user_key", "day", "event_timestamp", "known", "event_date", event=event)
    grouped = history.group_by("user_key", "day", "event_timestamp", "known").agg(
        s=history.event.collect(), newest=history.event_date.max()
    )
    if has_late:  # active that day as far as was known
        grouped = grouped.filter(grouped.newest == grouped.day)
    return grouped.mutate(s=grouped.s.sort()[-length:], created_timestamp=created(grouped.known)).rename(event_date="day")
