"""`user_tabular`: for every user seen so far, on every day, the activity aggregates and the profile attributes known by then.

It has a row for the silent too: recency and "the last 7 days" change for those who stay away.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, WINDOWS


def user_tabular(events: ir.Table, profile: ir.Table | None, days: ir.Table) -> ir.Table:
    """One row a day and user first seen on that day or before.

    Args:
        events: raw events of all days up to the last of `days`; what lies before a day's lookback only says who was seen.
        profile: raw profile rows (user_key, as_of, attributes) or None; `as_of` null means known for ever.
        days: columns day, first_day (start of the lookback), event_timestamp.
    """
    seen = events.group_by("user_key").agg(first_seen=events.event_date.min())
    grid = seen.join(days, seen.first_seen <= days.day).select("user_key", "day", "first_day", "event_timestamp", "first_seen")
    own = ~events.exposure
    daily = events.group_by("user_key", "event_date").agg(
        n=own.sum(),
        amount=events.amount.sum(where=own),
        arrived=events.arrived_at.max(),
        **{channel: (own & (events.channel == channel)).sum() for channel in CHANNELS},
    )
    history = grid.left_join(
        daily,
        [grid.user_key == daily.user_key, daily.event_date >= grid.first_day, daily.event_date <= grid.day],
        rname="d_{name}",
    )
    age = history.day.delta(history.event_date, unit="day")  # null without an event in the lookback
    active = history.n > 0

    def within(value: ir.NumericColumn, window: int) -> ir.Scalar:
        return value.sum(where=age < window).fill_null(0)

    windows = {f"events_{w}d": within(history.n, w).cast("int64") for w in WINDOWS}
    windows |= {f"amount_{w}d": within(history.amount, w).round(2) for w in WINDOWS}
    windows |= {f"active_days_{w}d": history.n.count(where=active & (age < w)) for w in WINDOWS}
    windows |= {f"{c}_{w}d": within(history[c], w).cast("int64") for c in CHANNELS for w in WINDOWS}
    activity = history.group_by("user_key", "day", "event_timestamp").agg(
        created_timestamp=ibis.coalesce(history.arrived.max(), history.first_seen.min().cast(dt.Timestamp("UTC"))),
        **windows,
        events_lookback=history.n.sum().fill_null(0).cast("int64"),
        active_days_lookback=history.n.count(where=active),
        days_since_last=age.min(where=active),
        days_since_first=history.day.delta(history.first_seen, unit="day").max(),
    )
    if profile is not None:
        activity = _with_profile(activity, profile)
    return activity.rename(event_date="day")


def _with_profile(activity: ir.Table, profile: ir.Table) -> ir.Table:
    attributes = [c for c in profile.columns if c not in ("user_key", "fold", "as_of")]
    known = activity.select("user_key", "day", "event_timestamp").inner_join(
        profile,
        ["user_key", profile.as_of.isnull() | (profile.as_of < activity.event_timestamp)],
    )
    newest = known.mutate(
        newest=ibis.row_number().over(group_by=("user_key", "day"), order_by=known.as_of.desc(nulls_first=False))
    ).filter(lambda t: t["newest"] == 0)
    newest = newest.select("user_key", "day", *attributes)
    return activity.left_join(newest, ["user_key", "day"]).drop("user_key_right", "day_right")
