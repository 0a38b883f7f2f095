"""`user_tabular`: for every user seen so far, on every day, the activity aggregates and the profile attributes known by then.

It has a row for the silent too: recency and "the last 7 days" change for those who stay away.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import datetime

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, WINDOWS
from found_platform.features.late_arrivals import brought_back, created, known_day, past, versions


def user_tabular(
    events: ir.Table, user_days: ir.Table, profile: ir.Table | None, days: ir.Table, first: datetime.date, has_late: bool
) -> ir.Table:
    """One row a day, user known by then, and version.

    Args:
        events: raw events of the lookbacks of all `days`.
        user_days: who has events of which day, of all days there are.
        profile: raw profile rows (user_key, as_of, attributes) or None; `as_of` null means known for ever.
        days: columns day, first_day (start of the lookback), event_timestamp.
        first: the first of the days.
        has_late: False where every event was known on its own day, or by the first of the days.
    """
    if has_late:
        events = events.mutate(known_day=known_day(events))
    snapshots = _snapshots(user_days, days, has_late)
    history = _joined(snapshots, _daily(events, has_late), has_late)
    age = history.day.delta(history.event_date, unit="day")  # null without an event in the lookback
    active = history.n > 0

    def within(value: ir.NumericColumn, window: int) -> ir.Scalar:
        return value.sum(where=age < window).fill_null(0)

    active_days = history.n.count(where=active)
    windows = {f"events_{w}d": within(history.n, w).cast("int64") for w in WINDOWS}
    windows |= {f"amount_{w}d": within(history.amount, w).round(2) for w in WINDOWS}
    windows |= {f"active_days_{w}d": history.n.count(where=active & (age < w)) for w in WINDOWS}
    windows |= {f"{c}_{w}d": within(history[c], w).cast("int64") for c in CHANNELS for w in WINDOWS}
    activity = history.group_by(*KEYS).agg(
        **windows,
        events_lookback=history.n.sum().fill_null(0).cast("int64"),
        active_days_lookback=active_days,
        mean_gap_lookback=((age.max(where=active) - age.min(where=active)) / (active_days - 1).nullif(0)).cast("float64"),
        days_since_last=age.min(where=active),
        **{f"days_since_last_{c}": age.min(where=history[c] > 0) for c in CHANNELS},
        days_since_first=history.day.delta(history.first_seen, unit="day").max(),
    )
    recent = events.filter(events.event_date > first - datetime.timedelta(days=DIVERSITY_DAYS))
    diversity = _diversity(snapshots, recent, has_late)
    activity = activity.left_join(diversity, KEYS).drop(*(f"{k}_right" for k in KEYS))
    activity = activity.mutate(
        created_timestamp=created(activity.known), **{DIVERSITY: activity[DIVERSITY].fill_null(0).cast("int64")}
    )
    if profile is not None:
        activity = _with_profile(activity, snapshots, profile)
    return activity.drop("known").rename(event_date="day")


KEYS = ("user_key", "day", "event_timestamp", "known")
DIVERSITY_DAYS = 28
DIVERSITY = f"categories_{DIVERSITY_DAYS}d"


def _snapshots(user_days: ir.Table, days: ir.Table, has_late: bool) -> ir.Table:
    """user_key, day, first_day, event_timestamp, known, first_seen: who was seen by each day, as was known in each version."""
    if not has_late:
        seen = user_days.group_by("user_key").agg(first_seen=user_days.event_date.min())
        grid = seen.join(days, seen.first_seen <= days.day)
        return versions(grid.select("user_key", "day", "first_day", "event_timestamp", "first_seen"), None)
    seen = user_days.group_by("user_key", "known_day").agg(first_seen=user_days.event_date.min())
    before = ibis.window(group_by="user_key", order_by="known_day", preceding=(None, 1))
    seen = seen.mutate(so_far=seen.first_seen.min().over(before))
    seen = seen.filter(seen.so_far.isnull() | (seen.first_seen < seen.so_far)).drop("so_far")
    users = seen.select("user_key").distinct().cross_join(days)
    # an event from before the lookback that arrives late still tells when a user was first seen
    ever = users.mutate(asked_from=users.first_day, first_day=ibis.date("0001-01-01"))
    grid = versions(ever, user_days.filter(user_days.known_day > user_days.event_date))
    first = seen.view()
    joined = grid.join(
        first,
        [
            grid.user_key == first.user_key,
            first.known_day <= grid.known,
            first.first_seen <= grid.day,
        ],
        rname="s_{name}",
    )
    keys = ["user_key", "day", "asked_from", "event_timestamp", "known"]
    return joined.group_by(*keys).agg(first_seen=joined.first_seen.min()).rename(first_day="asked_from")


def _daily(events: ir.Table, has_late: bool) -> ir.Table:
    """What each user did on each day, by the day it was known where that can differ."""
    own = ~events.exposure & ~brought_back(events)
    return events.group_by("user_key", "event_date", *(["known_day"] if has_late else [])).agg(
        n=own.sum(),
        amount=events.amount.sum(where=own),
        **{channel: (own & (events.channel == channel)).sum() for channel in CHANNELS},
    )


def _joined(snapshots: ir.Table, daily: ir.Table, has_late: bool) -> ir.Table:
    """A row a snapshot and day of its lookback with events, as far as was known; one with nulls for a snapshot without any."""
    history = past(snapshots, daily, has_late, how="left")
    if not has_late:
        return history
    summed = {c: history[c].sum() for c in ("n", "amount", *CHANNELS)}
    return history.group_by(*KEYS, "first_seen", "event_date").agg(**summed)


def _diversity(snapshots: ir.Table, events: ir.Table, has_late: bool) -> ir.Table:
    """How many categories the user's own events of the last days had."""
    own = events.filter(~events.exposure, ~brought_back(events), events.category.notnull())
    history = past(snapshots, own, has_late)
    recent = history.filter(history.day.delta(history.event_date, unit="day") < DIVERSITY_DAYS)
    categories = recent.select(*KEYS, "category").distinct()
    return categories.group_by(*KEYS).agg(**{DIVERSITY: categories.category.count()})


def _with_profile(activity: ir.Table, snapshots: ir.Table, profile: ir.Table) -> ir.Table:
    attributes = [c for c in profile.columns if c not in ("user_key", "fold", "as_of")]
    spine = snapshots.select("user_key", "day", "event_timestamp").distinct()
    candidates = spine.inner_join(profile, ["user_key", profile.as_of.isnull() | (profile.as_of < spine.event_timestamp)])
    newest = candidates.mutate(
        newest=ibis.row_number().over(group_by=("user_key", "day"), order_by=candidates.as_of.desc(nulls_first=False))
    ).filter(lambda t: t["newest"] == 0)
    newest = newest.select("user_key", "day", *attributes)
    return activity.left_join(newest, ["user_key", "day"]).drop("user_key_right", "day_right")
