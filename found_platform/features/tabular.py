"""`user_tabular`: for every user seen so far, on every day, the activity aggregates and the profile attributes known by then.

It has a row for the silent too: recency and "the last 7 days" change for those who stay away. Once nothing of theirs is in the
lookback any more, the row of a grid day stands for those that follow (`silence`).

Between two days on which something enters or leaves one of a user's windows, nothing changes but the ages. So what enters and
leaves is summed up along a user's days of change, and each state holds until the next one: no day is joined with its lookback.
Only where events arrived late, and only for their users, each version of a day is computed from what was known by then
(`tabular_versions`). A few days by themselves are cheaper joined with their lookbacks (`tabular_days`).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportReturnType=false
# (an Ibis column's type is known only at run time)

import datetime
import functools
import operator
from collections.abc import Iterable

import ibis
import ibis.expr.types as ir

from found_platform.contract import CHANNELS, WINDOWS
from found_platform.engine.portable import EXACT, cents, exact
from found_platform.features.late_arrivals import brought_back, not_of, of
from found_platform.features.silence import written
from found_platform.features.tabular_days import days_of
from found_platform.features.tabular_versions import DIVERSITY, DIVERSITY_DAYS, versions_of


def user_tabular(
    events: ir.Table,
    user_days: ir.Table,
    profile: ir.Table | None,
    days: ir.Table,
    span: ir.Table,
    lookback: int,
    late: ir.Table | None,
    *,
    few: bool,
    news: ir.Table | None = None,
    daily: ir.Table | None = None,
) -> ir.Table:
    """One row a day, user known by then, and version.

    Args:
        events: raw events of the lookbacks of all `days`.
        user_days: who has events of which day, of all days there are.
        profile: raw profile rows (user_key, as_of, attributes) or None; `as_of` null means known for ever.
        days: columns day, first_day (start of the lookback), event_timestamp.
        span: one row, the columns first and last: the first and the last of the days.
        lookback: days.
        late: user_key of the users with events that were not known on their own day, nor by the first of the days; None where
            there are none.
        few: whether the days are at most FEW; it changes no row.
        news: rows of `user_days` that became known since the last grid day, where the silent rest on grid days (`silence`); else
            everybody has a row.
        daily: the rows of `daily_sums`, where they lie in a table; of few days nobody asks.
    """

    def of_prompt(events: ir.Table, user_days: ir.Table) -> ir.Table:
        return days_of(events, user_days, days) if few else _activity(events, user_days, days, span, lookback, daily)

    if late is None:
        activity = of_prompt(events, user_days)
    else:
        prompt = of_prompt(not_of(events, late), not_of(user_days, late))
        other = versions_of(of(events, late), of(user_days, late), days)
        activity = prompt.union(other.select(*prompt.columns).cast(prompt.schema()))
    if news is not None:
        activity = written(activity, news, profile)
    if profile is not None:
        activity = _with_profile(activity, profile)
    return activity


LOOKBACK, ENTERED, CATEGORIES = "left_lookback", "entered", "categories"
LEFT = {window: f"left_{window}d" for window in WINDOWS}
CHANGED = (ENTERED, *LEFT.values(), LOOKBACK, CATEGORIES)
"""What a change counts: active days that began, those that left each window, and categories that came or went."""


def daily_sums(events: ir.Table, user_days: ir.Table, late: ir.Table | None) -> ir.Table:
    """What a range of days asks for ten times, of users whose events were all known on their own day: see `_daily`.

    An engine that computes a part of a query wherever it stands may have it as a table. Arguments as of `user_tabular`.
    """
    if late is not None:
        events, user_days = not_of(events, late), not_of(user_days, late)
    return _daily(_own(events), _users(user_days))


def _users(user_days: ir.Table) -> ir.Table:
    users = user_days.group_by("user_key").agg(first_seen=user_days.event_date.min())
    return users.mutate(user=ibis.row_number().over(order_by="user_key"))  # joined and sorted faster than keys


def _own(events: ir.Table) -> ir.Table:
    return events.filter(~events.exposure, ~brought_back(events))


def _activity(
    events: ir.Table, user_days: ir.Table, days: ir.Table, span: ir.Table, lookback: int, daily: ir.Table | None
) -> ir.Table:
    """Of users whose events were all known on their own day: event_date, user_key, the two times, and the activity features."""
    users, own = _users(user_days), _own(events)
    daily = _daily(own, users) if daily is None else daily
    changes = _changes(daily, own, users, lookback)
    changes = changes.join(span, changes.day <= span.last)
    # those before the days asked for happened before them all, whenever that was
    changes = changes.mutate(day=ibis.greatest(changes.day, changes.first))
    states = _windows(_states(changes), daily).join(users, "user")
    return _rows(states, days, lookback)


def _daily(own: ir.Table, users: ir.Table) -> ir.Table:
    """A row for each user's active day, numbered from 1 on, with what the user did until its end."""
    of_day = own.group_by("user_key", "event_date").agg(
        events=own.count(),
        amount=exact(own.amount).sum().fill_null(0).cast(EXACT),
        **{c: (own.channel == c).sum() for c in CHANNELS},
    )
    of_day = of_day.join(users, "user_key").select("user", "event_date", "events", "amount", *CHANNELS)
    along = {"group_by": "user", "order_by": "event_date"}
    so_far = ibis.window(**along, preceding=None, following=0)
    return of_day.select(
        "user",
        "event_date",
        "events",
        number=ibis.row_number().over(**along) + 1,
        amount=of_day.amount.sum().over(so_far),
        **{c: of_day[c].sum().over(so_far) for c in CHANNELS},
        **{f"last_{c}": ibis.ifelse(of_day[c] > 0, of_day.event_date, ibis.null("date")).max().over(so_far) for c in CHANNELS},
    )


def _changes(daily: ir.Table, own: ir.Table, users: ir.Table, lookback: int) -> ir.Table:
    """user, day and what changes on it, see CHANGED: days begin, and leave each window; categories come, and go."""

    def change(table: ir.Table, after: int, name: str, value: int) -> ir.Table:
        counts = {c: ibis.literal(value if c == name else 0, "int32") for c in CHANGED}
        return table.select("user", day=table.event_date + ibis.interval(days=after), **counts)

    recent = min(DIVERSITY_DAYS, lookback)
    of_category = own.filter(own.category.notnull()).select("user_key", "category", "event_date").distinct()
    of_category = of_category.join(users, "user_key").select("user", "category", "event_date")
    day, along = of_category.event_date, ibis.window(group_by=("user", "category"), order_by="event_date")
    spells = of_category.mutate(
        since_last=day.delta(day.lag().over(along), unit="day"), to_next=day.lead().over(along).delta(day, unit="day")
    )
    parts = [
        change(daily, 0, ENTERED, 1),
        *(change(daily, min(window, lookback), name, 1) for window, name in LEFT.items()),
        change(daily, lookback, LOOKBACK, 1),
        # a category counts from a day on which it occurs until it has not for a while
        change(spells.filter(spells.since_last.isnull() | (spells.since_last >= recent)), 0, CATEGORIES, 1),
        change(spells.filter(spells.to_next.isnull() | (spells.to_next >= recent)), recent, CATEGORIES, -1),
        change(users.select("user", event_date="first_seen"), 0, "", 0),
    ]
    return ibis.union(*parts)


def _states(changes: ir.Table) -> ir.Table:
    """user, the days `[since, until)` of each state between two changes, and CHANGED so far."""
    of_day = changes.group_by("user", "day").agg(
        last_day=changes["last"].max(), **{c: changes[c].sum().cast("int32") for c in CHANGED}
    )
    along = {"group_by": "user", "order_by": "day"}
    so_far = ibis.window(**along, preceding=None, following=0)
    return of_day.select(
        "user",
        since=of_day.day,
        until=of_day.day.lead().over(**along).fill_null(of_day.last_day + ibis.interval(days=1)),
        **{c: of_day[c].sum().over(so_far) for c in CHANGED},
    )


def _windows(states: ir.Table, daily: ir.Table) -> ir.Table:
    """The states with the features of their windows: what the user did until now, less what was done until the window began."""
    totals = ("amount", *CHANNELS)
    to_date = daily.select(
        "user",
        number="number",
        last_own="event_date",
        **{f"now_{c}": daily[c] for c in totals},
        **{f"last_{c}": daily[f"last_{c}"] for c in CHANNELS},
    )
    rows = states.left_join(to_date, [states.user == to_date.user, states[ENTERED] == to_date.number]).drop("user_right", "number")
    for window, left in LEFT.items():
        gone = daily.select("user", "number", **{f"{c}_gone": daily[c] for c in totals})
        rows = rows.left_join(gone, [rows.user == gone.user, rows[left] == gone.number])
        within = {f"{c}_{window}d": rows[f"now_{c}"].fill_null(0) - rows[f"{c}_gone"].fill_null(0) for c in totals}
        within[f"active_days_{window}d"] = rows[ENTERED] - rows[left]
        rows = rows.mutate(**within).drop("user_right", "number", *(f"{c}_gone" for c in totals))
    oldest = daily.select("user", "number", first_own="event_date", until_then=_all(daily, CHANNELS) - daily.events)
    rows = rows.left_join(oldest, [rows.user == oldest.user, rows[LOOKBACK] + 1 == oldest.number])
    active = rows[ENTERED] - rows[LOOKBACK]
    return rows.mutate(
        events_lookback=ibis.ifelse(active > 0, _all(rows, [f"now_{c}" for c in CHANNELS]) - rows.until_then, 0),
        active_days_lookback=active,
        mean_gap_lookback=ibis.ifelse(
            active > 1, rows.last_own.delta(rows.first_own, unit="day") / (active - 1), ibis.null("float64")
        ),
    )


def _all(table: ir.Table, columns: Iterable[str]) -> ir.NumericColumn:
    return functools.reduce(operator.add, (table[c] for c in columns))


def _rows(states: ir.Table, days: ir.Table, lookback: int) -> ir.Table:
    """A row for each of the days of each state."""
    each = ibis.range(states.since.epoch_days(), states.until.epoch_days()).unnest()
    rows = states.mutate(number=each).join(days.mutate(number=days.day.epoch_days()), "number")

    def age(day: ir.DateColumn) -> ir.IntegerColumn:
        return rows.day.delta(day, unit="day")

    def recency(day: ir.DateColumn) -> ir.IntegerColumn:
        return ibis.ifelse(age(day) < lookback, age(day), ibis.null("int64"))

    counted = (
        *(f"active_days_{w}d" for w in WINDOWS),
        *(f"{c}_{w}d" for c in CHANNELS for w in WINDOWS),
        "events_lookback",
        "active_days_lookback",
    )
    return rows.select(
        "user_key",
        "event_timestamp",
        event_date=rows.day,
        created_timestamp=rows.event_timestamp,
        **{c: rows[c].cast("int64") for c in counted},
        **{f"events_{w}d": _all(rows, [f"{c}_{w}d" for c in CHANNELS]).cast("int64") for w in WINDOWS},
        **{f"amount_{w}d": cents(rows[f"amount_{w}d"]) for w in WINDOWS},
        **{DIVERSITY: rows[CATEGORIES].cast("int64")},
        mean_gap_lookback=rows.mean_gap_lookback.cast("float64"),
        days_since_last=recency(rows.last_own),
        **{f"days_since_last_{c}": recency(rows[f"last_{c}"]) for c in CHANNELS},
        days_since_first=age(rows.first_seen),
    )


def _with_profile(activity: ir.Table, profile: ir.Table) -> ir.Table:
    """Each row with the attributes of the newest profile row that was known before the day was over."""
    attributes = [c for c in profile.columns if c not in ("user_key", "fold", "as_of")]
    since = profile.as_of.date().fill_null(datetime.date(1, 1, 1))
    newest = profile.mutate(
        since=since,
        order=ibis.row_number().over(group_by=("user_key", since), order_by=profile.as_of.desc(nulls_first=False)),
    ).filter(lambda t: t["order"] == 0)
    until = newest.since.lead().over(ibis.window(group_by="user_key", order_by="since"))
    spells = newest.select("user_key", "since", *attributes, until=until.fill_null(datetime.date(9999, 12, 31)))
    joined = activity.left_join(
        spells,
        [
            activity.user_key == spells.user_key,
            spells.since <= activity.event_date,
            activity.event_date < spells.until,
        ],
    )
    return joined.drop("user_key_right", "since", "until")
