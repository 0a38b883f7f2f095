"""`behavior_text`: each day's distinct event texts. The set of all texts and the day each was first seen are views on it."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false
# (an Ibis column's type is known only at run time)

import ibis.expr.types as ir


def behavior_text(events: ir.Table, days: ir.Table) -> ir.Table:
    """One row a day and text: event_date, text_id, text, events (how many of the day's events carry it)."""
    events = events.semi_join(days, events.event_date == days.day)
    return events.group_by("event_date", "text_id").agg(text=events.text.min(), events=events.count())
