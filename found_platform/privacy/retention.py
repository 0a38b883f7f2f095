"""Retention: for how many days rows are kept, and the first day of which a home keeps events.

That day lies in `HOME/retention.json` and only moves forward: what was let go is never taken in again, whatever a source still
holds and whatever the setting says later. What belongs here: both of them. What does not: letting rows go (`housekeeping.expiry`).
"""

import datetime as dt
import json
from pathlib import Path

from found_platform.errors import BadInput
from found_platform.home import write_whole
from found_platform.settings import Settings

FILE, EVENTS = "retention.json", "events"

OF_EVENTS = ("training", "embeddings", "scores")
"""What is made of events is kept no longer than they are."""


def days(settings: Settings) -> dict[str, int]:
    """The days of each name that the setting `retention` has, and of what is made of events where these have a number.

    Raises BadInput where events would go before the newest snapshot has looked back on them.
    """
    by_name = settings.retention_days
    events = by_name.get(EVENTS)
    if events is None:
        return by_name
    if events < settings.lookback_days:
        raise BadInput(
            f"The setting retention keeps events for {events} days, and features look back on {settings.lookback_days}: set "
            f"FOUND_LOOKBACK_DAYS to {events} at most, or keep events as long as that."
        )
    return by_name | {name: min(by_name.get(name, events), events) for name in OF_EVENTS}


def kept_from(settings: Settings) -> dt.date | None:
    """The first day (UTC) of which events are kept; None where none were let go."""
    path = _file(settings)
    return dt.date.fromisoformat(json.loads(path.read_text())[EVENTS]) if path.exists() else None


def keep_from(settings: Settings, day: dt.date) -> dt.date:
    """Moves that day forward, never back, and returns it."""
    first = max(day, kept_from(settings) or day)
    write_whole(_file(settings), json.dumps({EVENTS: str(first)}))
    return first


def _file(settings: Settings) -> Path:
    return settings.home / FILE
