"""The point-in-time join as an Ibis expression, for an engine of many machines: the rows of `point_in_time`, which is DuckDB's own.

What belongs here: which row a moment sees, said for any engine. What does not: Feast, and where the rows lie (`delta_store`).

Keys and times are joined first, and the newest of them is a maximum, not a sort; long lists are fetched last, once. That a user has
one row at a moment of knowledge names it: (user, event time, creation).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from found_platform.contract import SILENCE_GRID
from found_platform.feature_store import silence


@dataclass(frozen=True)
class View:
    """A feature table with `user_key`, `event_timestamp`, `created_timestamp`, of which some columns are asked for."""

    rows: ir.Table
    columns: Sequence[str]
    ttl: dt.timedelta
    sparse: bool = False  # see `silence`


def joined(spine: ir.Table, views: Sequence[View]) -> ir.Table:
    """The rows of a spine (user_key, moment, ...; no such pair twice) with what all views knew of the user then, else nulls."""
    rows = spine
    for view in views:
        seen = _seen(spine, view)
        rows = rows.left_join(seen, [rows.user_key == seen.seen_user, rows.moment == seen.seen_at]).drop("seen_user", "seen_at")
    return rows


def _seen(spine: ir.Table, view: View) -> ir.Table:
    """seen_user, seen_at and the columns of the newest row of a view that each user's moment can see."""
    if view.sparse:
        return _seen_sparse(spine, view)
    moments = spine.select(asking="user_key", moment="moment")
    keys = view.rows.select("user_key", "event_timestamp", "created_timestamp")
    met = moments.join(
        keys,
        [
            moments.asking == keys.user_key,
            keys.event_timestamp <= moments.moment,
            keys.created_timestamp <= moments.moment,
            keys.event_timestamp >= moments.moment - ibis.interval(days=view.ttl.days),
        ],
    )
    newest = met.group_by("asking", "moment").agg(
        best=ibis.struct({"event": met.event_timestamp, "created": met.created_timestamp}).max()
    )
    newest = newest.select(
        seen_user="asking", seen_at="moment", newest_event=newest.best["event"], newest_created=newest.best["created"]
    )
    rows = newest.join(
        view.rows,
        [
            newest.seen_user == view.rows.user_key,
            newest.newest_event == view.rows.event_timestamp,
            newest.newest_created == view.rows.created_timestamp,
        ],
    )
    return rows.select("seen_user", "seen_at", *view.columns)


def _seen_sparse(spine: ir.Table, view: View) -> ir.Table:
    """The same of a sparse view: the row of the newest day that was made, or of its grid day, and a silence since."""
    numbered = view.rows.mutate(number=view.rows.event_date.epoch_days().cast("int64") + silence.BEFORE)
    made_days = numbered.select("event_timestamp", "number").distinct()
    moments = spine.select("moment").distinct()
    in_reach = [
        made_days.event_timestamp <= moments.moment,
        made_days.event_timestamp >= moments.moment - ibis.interval(days=view.ttl.days),
    ]
    newest = moments.join(made_days, in_reach).group_by("moment").agg(newest=made_days.number.max())
    since_grid = newest.newest % SILENCE_GRID
    today = newest.select(at="moment", wanted="newest", silent=ibis.literal(0, "int64"))
    resting = newest.select(at="moment", wanted=newest.newest - since_grid, silent=since_grid.cast("int64"))
    days = today.union(resting.filter(resting.silent > 0))
    spine_days = spine.select(asking="user_key", moment="moment").join(days, [("moment", "at")])
    met = spine_days.join(
        numbered,
        [
            spine_days.asking == numbered.user_key,
            spine_days.wanted == numbered.number,
            numbered.created_timestamp <= spine_days.moment,
        ],
    )
    best = met.group_by("asking", "moment").agg(
        best=ibis.struct({"event": met.event_timestamp, "created": met.created_timestamp, "silent": met.silent}).max()
    )
    best = best.select(
        seen_user="asking", seen_at="moment", event=best.best["event"], created=best.best["created"], silent=best.best["silent"]
    )
    rows = best.join(
        view.rows,
        [
            best.seen_user == view.rows.user_key,
            best.event == view.rows.event_timestamp,
            best.created == view.rows.created_timestamp,
        ],
    )
    return rows.select("seen_user", "seen_at", **{c: silence.value(c, rows[c], rows.silent) for c in view.columns})
