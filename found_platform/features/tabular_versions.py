"""`user_tabular` of users whose events arrived late: each version of a snapshot from what was known by then.

Every snapshot is joined with the days of its lookback, so that each can be asked when it was known. That costs a row for each
snapshot and active day before it: only the users with late events are computed so.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportReturnType=false
# (an Ibis column's type is known only at run time)

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, WINDOWS
from found_platform.engine.portable import EXACT, cents, exact
from found_platform.features.late_arrivals import brought_back, created, known_day, past, versions

KEYS = ("user_key", "day", "event_timestamp", "known")
DIVERSITY_DAYS = 28
DIVERSITY = f"categories_{DIVERSITY_DAYS}d"


def versions_of(events: ir.Table, user_days: ir.Table, days: ir.Table) -> ir.Table:
    """One row a day, user known by then, and version, without profile attributes. Arguments as of `user_tabular`."""
    events = events.mutate(known_day=known_day(events))
    snapshots = _snapshots(user_days, days)
    history = _joined(snapshots, _daily(events))
    first = history.day.delta(history.first_seen, unit="day").max()
    activity = history.group_by(*KEYS).agg(**activity_of(history), days_since_first=first)
    diversity = _diversity(snapshots, events)
    activity = activity.left_join(diversity, KEYS).drop(*(f"{k}_right" for k in KEYS))
    activity = activity.mutate(
        created_timestamp=created(activity.known), **{DIVERSITY: activity[DIVERSITY].fill_null(0).cast("int64")}
    )
    return activity.drop("known").rename(event_date="day")


def activity_of(history: ir.Table) -> dict[str, ir.Scalar]:
    """The aggregates of the days (event_date, n, amount, a count of each channel) before a snapshot (day), within its lookback.

    `event_date` is null, and so is all else, where a snapshot has no such day.
    """
    age = history.day.delta(history.event_date, unit="day")
    active = history.n > 0

    def within(value: ir.NumericColumn, window: int) -> ir.Scalar:
        return value.sum(where=age < window).fill_null(0)

    active_days = history.n.count(where=active)
    windows = {f"events_{w}d": within(history.n, w).cast("int64") for w in WINDOWS}
    windows |= {f"amount_{w}d": cents(within(history.amount, w).cast(EXACT)) for w in WINDOWS}
    windows |= {f"active_days_{w}d": history.n.count(where=active & (age < w)) for w in WINDOWS}
    windows |= {f"{c}_{w}d": within(history[c], w).cast("int64") for c in CHANNELS for w in WINDOWS}
    return windows | {
        "events_lookback": history.n.sum().fill_null(0).cast("int64"),
        "active_days_lookback": active_days,
        "mean_gap_lookback": ((age.max(where=active) - age.min(where=active)) / (active_days - 1).nullif(0)).cast("float64"),
        "days_since_last": age.min(where=active),
        **{f"days_since_last_{c}": age.min(where=history[c] > 0) for c in CHANNELS},
    }


def _snapshots(user_days: ir.Table, days: ir.Table) -> ir.Table:
    """user_key, day, first_day, event_timestamp, known, first_seen: who was seen by each day, as was known in each version."""
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


def _daily(events: ir.Table) -> ir.Table:
    """What each user did on each day, by the day it was known."""
    own = ~events.exposure & ~brought_back(events)
    return events.group_by("user_key", "event_date", "known_day").agg(
        n=own.sum(),
        amount=exact(events.amount).sum(where=own),
        **{channel: (own & (events.channel == channel)).sum() for channel in CHANNELS},
    )


def _joined(snapshots: ir.Table, daily: ir.Table) -> ir.Table:
    """A row a snapshot and day of its lookback with events, as far as was known; one with nulls for a snapshot without any."""
    history = past(snapshots, daily, how="left")
    summed = {c: history[c].sum() for c in ("n", "amount", *CHANNELS)}
    return history.group_by(*KEYS, "first_seen", "event_date").agg(**summed)


def _diversity(snapshots: ir.Table, events: ir.Table) -> ir.Table:
    """How many categories the user's own events of the last days had."""
    own = events.filter(~events.exposure, ~brought_back(events), events.category.notnull())
    history = past(snapshots, own)
    recent = history.filter(history.day.delta(history.event_date, unit="day") < DIVERSITY_DAYS)
    categories = recent.select(*KEYS, "category").distinct()
    return categories.group_by(*KEYS).agg(**{DIVERSITY: categories.category.count()})
