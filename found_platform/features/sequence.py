"""`behavior_sequence` and `search_text`: the last N events of every user active on a day, as parallel lists.

A user's events are sorted once, and each active day has a slice of them: from where its lookback begins, or the last N, up to where
it ends. A lone day needs no such places: it has the last N of what is read for it. Only where events arrived late, and only for
their users, each version of a day has a list of its own: what was known by then. Structs sort field by field, time first, so events
of equal time have one order wherever they are stored; sorting an array of structs and slicing it compile for DuckDB and for Spark.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false
# (an Ibis column's type is known only at run time)

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, SEARCH
from found_platform.engine.portable import bucket, microseconds
from found_platform.features.late_arrivals import (
    brought_back,
    created,
    known_day,
    late_events,
    not_of,
    of,
    past,
    versions,
)


def behavior_sequence(
    events: ir.Table, days: ir.Table, length: int, lookback: int, late: ir.Table | None, *, lone: bool = False
) -> ir.Table:
    """One row a day, user with any event but searches and returns that day, and version; lists oldest first, at most `length` long.

    Args:
        events: raw events of the lookbacks of all `days`.
        days: columns day, first_day (start of the lookback), event_timestamp.
        length: N.
        lookback: days.
        late: user_key of the users with events that were not known on their own day, nor by the first of the days; None where
            there are none.
        lone: whether it is one day, and `events` are those of its lookback alone.
    """
    columns = ("text_id", "time", "channel", "amount_bucket", "exposure")
    last = _last_events(events, _acts, days, length, lookback, late, columns, lone=lone)
    return last.rename(text_ids="text_id", times="time", channels="channel", amount_buckets="amount_bucket", exposures="exposure")


def search_text(
    events: ir.Table, days: ir.Table, length: int, lookback: int, late: ir.Table | None, *, lone: bool = False
) -> ir.Table:
    """One row a day, user with a search that day, and version; lists oldest first, at most `length` long. Arguments as above."""
    last = _last_events(events, _searches, days, length, lookback, late, ("text_id", "time"), lone=lone)
    return last.rename(search_text_ids="text_id", search_times="time")


KEYS = ("event_date", "user_key", "event_timestamp", "created_timestamp")


def _acts(events: ir.Table) -> ir.Table:
    return events.filter(events.channel != SEARCH, ~brought_back(events))


def _searches(events: ir.Table) -> ir.Table:
    return events.filter(events.channel == SEARCH)


def _last_events(
    events: ir.Table,
    kind: Callable[[ir.Table], ir.Table],
    days: ir.Table,
    length: int,
    lookback: int,
    late: ir.Table | None,
    columns: tuple[str, ...],
    *,
    lone: bool,
) -> ir.Table:
    """KEYS, and a list for each of these columns of the events of a kind."""

    def prompt_of(events: ir.Table) -> ir.Table:
        if lone:
            return _of_a_day(events, kind, days, length, columns)
        return _slices(kind(events), days, length, lookback, columns)

    if late is None:
        return prompt_of(events)
    prompt, other = prompt_of(not_of(events, late)), _by_version(kind(of(events, late)), days, length, columns)
    return prompt.union(other.select(*prompt.columns).cast(prompt.schema()))


def _of_a_day(
    events: ir.Table, kind: Callable[[ir.Table], ir.Table], day: ir.Table, length: int, columns: tuple[str, ...]
) -> ir.Table:
    """Of users whose events were all known on their own day, and a lone day: the end of each active user's events."""
    # the day is cut out first, and by itself: an engine reads its files, and not the lookback twice
    active = kind(events.semi_join(day, events.event_date == day.day)).select("user_key").distinct()
    own = kind(events).semi_join(active, "user_key")
    listed = own.select("user_key", event=_event(own)).group_by("user_key").agg(s=lambda t: t.event.collect())
    rows = listed.mutate(s=listed.s.sort()[-length:]).cross_join(day)
    return rows.select(
        "user_key",
        "event_timestamp",
        event_date=rows.day,
        created_timestamp=rows.event_timestamp,
        **{c: rows.s.map(lambda e, c=c: e[c]) for c in columns},
    ).select(*KEYS, *columns)


def _slices(events: ir.Table, days: ir.Table, length: int, lookback: int, columns: tuple[str, ...]) -> ir.Table:
    """Of users whose events were all known on their own day: a slice of the user's events for each active day."""
    again = events.view()
    active = again.semi_join(days, again.event_date == days.day).select("user_key").distinct()
    events = events.semi_join(active, "user_key")  # of a lone day most users are not
    listed = events.select("user_key", event=_event(events)).group_by("user_key").agg(s=lambda t: t.event.collect())
    listed = listed.mutate(s=listed.s.sort())
    # once a user, not once a row
    listed = listed.select("user_key", **{c: listed.s.map(lambda e, c=c: e[c]) for c in columns})
    counts = events.group_by("user_key", "event_date").agg(n=events.count())
    counts = counts.mutate(number=counts.event_date.epoch_days())
    so_far = ibis.window(group_by="user_key", order_by="number", preceding=None, following=0)
    in_lookback = ibis.range_window(group_by="user_key", order_by="number", preceding=lookback - 1, following=0)
    ends = counts.select("user_key", "event_date", end=counts.n.sum().over(so_far), some=counts.n.sum().over(in_lookback))
    ends = ends.join(days, ends.event_date == days.day)
    rows = ends.join(listed, "user_key")
    start = rows.end - ibis.least(rows.some, length)
    return rows.select(
        "event_date",
        "user_key",
        "event_timestamp",
        created_timestamp=rows.event_timestamp,
        **{c: rows[c][start : rows.end] for c in columns},
    )


def _by_version(events: ir.Table, days: ir.Table, length: int, columns: tuple[str, ...]) -> ir.Table:
    """Of any users: a list for each active day and version."""
    active = events.semi_join(days, events.event_date == days.day).select("user_key", "event_date").distinct()
    snapshots = active.join(days, active.event_date == days.day).select("user_key", "day", "first_day", "event_timestamp")
    snapshots = versions(snapshots, late_events(events))
    events_again = events.view()
    history = past(snapshots, events_again.mutate(known_day=known_day(events_again)))
    history = history.select("user_key", "day", "event_timestamp", "known", "event_date", event=_event(history))
    grouped = history.group_by("user_key", "day", "event_timestamp", "known").agg(
        s=history.event.collect(), newest=history.event_date.max()
    )
    grouped = grouped.filter(grouped.newest == grouped.day)  # active that day as far as was known
    last = grouped.mutate(s=grouped.s.sort()[-length:], created_timestamp=created(grouped.known)).rename(event_date="day")
    return last.select(*KEYS, **{c: last.s.map(lambda e, c=c: e[c]) for c in columns})


def _event(events: ir.Table) -> ir.StructValue:
    return ibis.struct(
        {
            "time": microseconds(events.event_time),
            "text_id": events.text_id,
            "channel": events.channel.cases(*((c, i) for i, c in enumerate(CHANNELS)), else_=-1).cast("int64"),
            "amount_bucket": bucket(events.amount),
            "exposure": events.exposure.cast("int64"),
        }
    )
