"""Late arrivals (bitemporal snapshots): an event counts from the day it arrived on, so a day's snapshot has versions.

The version of a snapshot that is known on day v holds the events that had arrived by then, and is created at 00:00 of the day
after v. Every snapshot has the version of its own day; it has one more for each later day on which events of its past arrived.
Knowledge is kept by the day, never sooner than the truth. Users without late events have one version, and none of this costs them
a thing: the tables compute them by themselves.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportReturnType=false
# (an Ibis column's type is known only at run time)

from typing import Literal

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from found_platform.contract import RETURN


def brought_back(events: ir.Table) -> ir.Value:
    """Whether an event brings back what was bought: it is no sign of interest, and never counts as a purchase."""
    return events.status.fill_null("") == RETURN


def known_day(events: ir.Table) -> ir.Value:
    """The day on which an event is known: that of its arrival, which is never before its own. 00:00 belongs to the day before."""
    arrived = (events.arrived_at - ibis.interval(microseconds=1)).date()
    return ibis.greatest(events.event_date, arrived)


def late_events(events: ir.Table) -> ir.Table:
    """user_key, event_date and known_day of the events that arrived after their day, without repeats."""
    late = events.select("user_key", "event_date", known_day=known_day(events))
    return late.filter(late.known_day > late.event_date).distinct()


def late_users(seen: ir.Table, span: ir.Table) -> ir.Table:
    """user_key of those with events that were not known on their own day, nor by the first day of the span."""
    late = seen.filter(seen.known_day > seen.event_date)
    return late.join(span, late.known_day > span.first).select("user_key").distinct()


def of(events: ir.Table, users: ir.Table) -> ir.Table:
    """The rows of these users."""
    return events.semi_join(users, "user_key")


def not_of(events: ir.Table, users: ir.Table) -> ir.Table:
    """The rows of all other users."""
    return events.anti_join(users, "user_key")


def versions(snapshots: ir.Table, late: ir.Table) -> ir.Table:
    """The snapshots (user_key, day, first_day, ...) with a column `known`, a row a version. `late` is what `late_events` gives."""
    own = snapshots.mutate(known=snapshots.day)
    matched = snapshots.join(
        late,
        [
            snapshots.user_key == late.user_key,
            late.event_date >= snapshots.first_day,
            late.event_date <= snapshots.day,
            late.known_day > snapshots.day,
        ],
        rname="late_{name}",
    )
    return own.union(matched.select(*snapshots.columns, known=matched.known_day).distinct())


def past(snapshots: ir.Table, events: ir.Table, how: Literal["inner", "left"] = "inner") -> ir.Table:
    """The snapshots (user_key, day, first_day, known, ...) beside what their users did in their lookback, as far as was known.

    Args:
        events: user_key, event_date and known_day; any row a user and day.
        how: `left` keeps a snapshot without any, with nulls.
    """
    conditions = [
        snapshots.user_key == events.user_key,
        events.event_date >= snapshots.first_day,
        events.event_date <= snapshots.day,
        events.known_day <= snapshots.known,
    ]
    return snapshots.join(events, conditions, how=how, rname="past_{name}")


def created(known_day: ir.DateColumn) -> ir.TimestampColumn:
    """When the version that is known on this day was created: 00:00 UTC of the day after."""
    return (known_day + ibis.interval(days=1)).cast(dt.Timestamp("UTC"))
