"""When an audience was refreshed and exported, moved to where a test needs it: simulated data end in the past or the future."""

import datetime as dt

import pyarrow as pa

from found_platform import lake
from found_platform.audiences import membership
from found_platform.privacy import audit
from found_platform.settings import Settings


def midnight(day: dt.date, hours: int = 0) -> dt.datetime:
    """Hours after a day has begun, UTC; before it where negative."""
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(hours=hours)


def dated(settings: Settings, refresh: membership.Refresh, at: dt.datetime) -> None:
    """Lets a refresh have been made at another moment."""
    mine = f"audience = '{refresh.audience}' AND refresh = {refresh.refresh}"
    rows = lake.read(settings.lake, membership.REFRESHES).to_pylist()
    (row,) = (r for r in rows if (r["audience"], r["refresh"]) == (refresh.audience, refresh.refresh))
    table = pa.Table.from_pylist([{**row, "refreshed_at": at}], membership.REFRESHES_SCHEMA)
    lake.replace(settings.lake, membership.REFRESHES, table, schema=membership.REFRESHES_SCHEMA, predicate=mine)


def exported(settings: Settings, refresh: membership.Refresh, at: dt.datetime, more: str = "") -> None:
    """Lets a refresh have been exported at a moment."""
    reason = f"refresh {refresh.refresh}{more}, sha256 0"
    row = (audit._microseconds(at), "somebody", "export", refresh.audience, None, 60, None, None, reason)
    with audit._opened(settings) as con:
        con.add([row])
