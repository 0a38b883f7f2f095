"""`user_tabular` of a few days by themselves, of users whose events were all known on their own day.

Each day is joined with its lookback. For a lone day that is less work than summing up every change of half a year
(`benchmarks/features.py` times it); for many days it is more, since what they share is joined again for each.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS
from found_platform.engine.portable import exact
from found_platform.features.late_arrivals import brought_back
from found_platform.features.tabular_versions import DIVERSITY, DIVERSITY_DAYS, activity_of

FEW = 3
"""So many days are computed so."""


def days_of(events: ir.Table, user_days: ir.Table, days: ir.Table) -> ir.Table:
    """One row a day and user seen by then, without profile attributes. Arguments as of `user_tabular`."""
    users = user_days.group_by("user_key").agg(first_seen=user_days.event_date.min())
    users = users.mutate(user=ibis.row_number().over(order_by="user_key"))  # joined and grouped faster than keys
    own = events.filter(~events.exposure, ~brought_back(events)).join(users.select("user_key", "user"), "user_key")
    of_day = own.group_by("user", "event_date").agg(
        n=own.count(), amount=exact(own.amount).sum(), **{c: (own.channel == c).sum() for c in CHANNELS}
    )
    history = of_day.join(days, [of_day.event_date >= days.first_day, of_day.event_date <= days.day])
    activity = history.group_by("user", "day").agg(**activity_of(history))
    recent = own.join(days, [own.event_date >= days.first_day, own.event_date <= days.day])
    recent = recent.filter(recent.day.delta(recent.event_date, unit="day") < DIVERSITY_DAYS, recent.category.notnull())
    recent = recent.select("user", "day", "category").distinct()
    diversity = recent.group_by("user", "day").agg(**{DIVERSITY: recent.category.count()})

    rows = users.join(days.select("day", "event_timestamp"), users.first_seen <= days.day)
    rows = rows.left_join(activity, ["user", "day"]).drop("user_right", "day_right")
    rows = rows.left_join(diversity, ["user", "day"]).drop("user_right", "day_right")
    unknown_without_any = [c for c in rows.columns if c == "mean_gap_lookback" or c.startswith("days_since_")]
    counted = [c for c in (*activity.columns, DIVERSITY) if c not in ("user", "day", *unknown_without_any)]
    return (
        rows.mutate(
            **{c: rows[c].fill_null(0) for c in counted},
            created_timestamp=rows.event_timestamp,
            days_since_first=rows.day.delta(rows.first_seen, unit="day"),
        )
        .drop("user", "first_seen")
        .rename(event_date="day")
    )
