"""Which rows of `user_tabular` are written: everybody on grid days, and on others those of whom the grid day does not say all.

Who is silent, with no event of their own in the lookback, has only zeros, no ages, and one more day since the first event. So no
row is written of them where their row of the last grid day says the rest: they were known by then, nothing became known of them
since, and their attributes are the same. What a day's rows are follows from events and profile alone, never from other rows.
Reading makes these rows again (`feature_store.silence`).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportReturnType=false
# (an Ibis column's type is known only at run time)

import ibis.expr.types as ir

from found_platform.contract import SILENCE_GRID

BEFORE = SILENCE_GRID * 30_000
"""Days that are added to those since 1970: no date has a number below 0, of which engines have different remainders."""


def written(activity: ir.Table, news: ir.Table, profile: ir.Table | None) -> ir.Table:
    """The rows of everybody without those that rest on a grid day. Arguments as of `user_tabular`.

    `news`: the rows of `user_days` that became known since the grid day of the first of the days. While nothing became known of
    anybody since a grid day, all have rows, so that a day that was made has some.
    """
    rows = activity.mutate(number=_number(activity.event_date))
    rows = rows.mutate(period=_period(rows.number))
    moves = [_moves(news.select("user_key", at="known_day"))]
    first = moves[0].group_by(first_period="period").agg(first=moves[0].number.min())
    if profile is not None:
        changes = profile.filter(profile.as_of.notnull())
        moves.append(_moves(changes.select("user_key", at=changes.as_of.date())))
    movers = moves[0].union(*moves[1:])
    movers = movers.group_by(moved_user="user_key", moved_period="period").agg(since=movers.number.min())
    rows = rows.left_join(movers, [rows.user_key == movers.moved_user, rows.period == movers.moved_period])
    rows = rows.left_join(first, rows.period == first.first_period)
    written_rows = rows.filter(
        (rows.events_lookback != 0)
        | (rows.created_timestamp != rows.event_timestamp)
        | (rows.number == rows.period)
        | (rows.since <= rows.number).fill_null(False)
        | (rows.first > rows.number).fill_null(True)
    )
    return written_rows.select(*activity.columns)


def _number(day: ir.DateColumn) -> ir.IntegerColumn:
    return day.epoch_days().cast("int64") + BEFORE


def _period(number: ir.IntegerColumn) -> ir.IntegerColumn:
    """The number of the last grid day until a day."""
    return number - number % SILENCE_GRID


def _moves(changes: ir.Table) -> ir.Table:
    """user_key, number and period of the days `at`, but of grid days, which say it themselves."""
    days = changes.select("user_key", number=_number(changes["at"]))
    days = days.select("user_key", "number", period=_period(days.number))
    return days.filter(days.number != days.period)
