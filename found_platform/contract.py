"""The data contract: channels, Arrow schemas and time rules, in this one place.

What belongs here: what an event, a profile row and a day are. What does not: how any of it is read, written or computed.
"""

import datetime as dt
import re
import unicodedata
from pathlib import Path

import pyarrow as pa
import yaml

from found_platform.channels import channels
from found_platform.errors import BadInput

CHANNELS: tuple[str, ...] = tuple(channel.name for channel in channels())
"""The names of the event channels; a channel's position is its code in `behavior_sequence`."""

SEARCH = next(channel.name for channel in channels() if channel.modality == "search")
"""The channel of the searches."""
FOLDS = 5
HELD_OUT_FOLD = 0
"""Users of this fold never enter either training stage."""
MIN_HELD_OUT = 10
"""Held-out users who must act both before a window and in it: on fewer, nobody can judge whether a model has learned anything."""

MAX_AMOUNT = 10**15
"""Amounts from here on, either way, are a slip: no sum of a user's real ones comes near, and sums are exact decimals."""

MAX_TEXT = 4096
MAX_PARTITIONS = 25_000
FEATURE_SERVICE = "found_user_v2"

TIMESTAMP = pa.timestamp("us", tz="UTC")

EVENT_REQUIRED = ("user_id", "event_time", "text")
EVENT_OPTIONAL = ("category", "amount", "status", "payment_method", "event_id", "arrived_at")

RETURN = "return"
"""The `status` of an event that brings back what was bought: an act of its own, which never counts as a purchase."""
OWN_ACT = f"NOT exposure AND status IS DISTINCT FROM '{RETURN}'"
"""In SQL: what a user did of their own accord and kept, the only events that count as doing something."""

EVENTS = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("event_time", TIMESTAMP, nullable=False),
        pa.field("text_id", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("amount", pa.float64()),
        pa.field("status", pa.string()),
        pa.field("payment_method", pa.string()),
        pa.field("event_id", pa.string()),
        pa.field("arrived_at", TIMESTAMP, nullable=False),
        pa.field("exposure", pa.bool_(), nullable=False),
    ]
)
"""One row an event. `event_date` is the UTC day of `event_time`; `exposure` marks what was done to the user."""

QUARANTINE = pa.schema(
    [
        pa.field("channel", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("file_sha256", pa.string(), nullable=False),
        pa.field("row_number", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row a refused source row. `row_number` counts data rows of the file from 1; the raw row stays in the source."""

USER_DAYS = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("known_day", pa.date32(), nullable=False),
    ]
)
"""Which users have events of which day, and on which day that was known: what "seen so far" asks of the whole past, kept small."""

BEHAVIOR_TEXT = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("text_id", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
    ]
)

SNAPSHOT_KEYS = (
    pa.field("event_date", pa.date32(), nullable=False),
    pa.field("user_key", pa.string(), nullable=False),
    pa.field("event_timestamp", TIMESTAMP, nullable=False),
    pa.field("created_timestamp", TIMESTAMP, nullable=False),
)
"""Every feature table starts with these. The snapshot of day d carries `event_timestamp` = 00:00 of day d+1. It has a version for
each later day on which events of its past arrived; `created_timestamp` is 00:00 of the day after what the version knows."""

SEQUENCE_FEATURES = (
    pa.field("text_ids", pa.list_(pa.int64())),
    pa.field("times", pa.list_(pa.int64())),
    pa.field("channels", pa.list_(pa.int64())),
    pa.field("amount_buckets", pa.list_(pa.int64())),
    pa.field("exposures", pa.list_(pa.int64())),
)
"""Oldest event first; `times` are microseconds UTC, `channels` positions in CHANNELS, `amount_buckets` floor(log2(1+|amount|))
or -1 without an amount, `exposures` 1 where the event was done to the user."""

SEARCH_FEATURES = (pa.field("search_text_ids", pa.list_(pa.int64())), pa.field("search_times", pa.list_(pa.int64())))

WINDOWS = (7, 28, 90)
"""Days of the activity windows in `user_tabular`."""

ACTIVITY_FEATURES = (
    *(pa.field(f"events_{w}d", pa.int64()) for w in WINDOWS),
    *(pa.field(f"amount_{w}d", pa.float64()) for w in WINDOWS),
    *(pa.field(f"active_days_{w}d", pa.int64()) for w in WINDOWS),
    pa.field("categories_28d", pa.int64()),
    *(pa.field(f"{channel}_{w}d", pa.int64()) for channel in CHANNELS for w in WINDOWS),
    pa.field("events_lookback", pa.int64()),
    pa.field("active_days_lookback", pa.int64()),
    pa.field("mean_gap_lookback", pa.float64()),
    pa.field("days_since_last", pa.int64()),
    *(pa.field(f"days_since_last_{channel}", pa.int64()) for channel in CHANNELS),
    pa.field("days_since_first", pa.int64()),
)
"""Counts, sums (source currency) and days of the user's own events; exposures are left out. `categories_28d` counts distinct
categories (diversity); `mean_gap_lookback` is the mean number of days between active days, null with fewer than two (regularity).
`days_since_last*` is null for a user silent, in that channel, for longer than the lookback."""


SPARSE = "user_tabular"
"""The table in which the silent rest on a grid day: who has none on a day has a row on `grid_day` of it, and is silent that day."""

SILENCE_GRID = 28
"""Days from a grid day to the next, counted from 1970-01-01, so that they are the same whichever days there are."""

SINCE_GRID_DAY = f"CAST((date_diff('day', DATE '1970-01-01', {{day}}) + {SILENCE_GRID * 30_000}) % {SILENCE_GRID} AS INTEGER)"
"""In SQL: the days since the last grid day until a day."""


def grid_day(day: dt.date) -> dt.date:
    """The last grid day until a day."""
    return day - dt.timedelta(days=(day - dt.date(1970, 1, 1)).days % SILENCE_GRID)


def describe(column: str) -> str:
    """What a column of a feature table holds, for whoever looks at it; empty for a profile attribute."""
    if column in DESCRIPTIONS:
        return DESCRIPTIONS[column]
    for window in WINDOWS:
        name = column.removesuffix(f"_{window}d")
        if name != column and name in WINDOWED:
            return f"{WINDOWED[name]} in the last {window} days"
    channel = column.removeprefix("days_since_last_")
    return f"Days since the last {channel} event; null beyond the lookback" if channel in CHANNELS else ""


WINDOWED = {
    "events": "The user's own events",
    "amount": "Sum of amounts, in the source's currency,",
    "active_days": "Days with an event of the user's own",
    "categories": "Distinct categories of the user's own events",
    **{channel: f"The user's own {channel} events" for channel in CHANNELS},
}
DESCRIPTIONS = {
    "event_date": "UTC day of the snapshot",
    "user_key": "Pseudonym of the user",
    "event_timestamp": "00:00 UTC after the snapshot's day: the moment from which the row may be used",
    "created_timestamp": "00:00 UTC after the day whose knowledge the row holds: later where events arrived late",
    "text_ids": "Ids of the last events' texts, oldest first, searches left out",
    "times": "Times of the last events, microseconds since 1970 in UTC",
    "channels": "Channels of the last events: " + ", ".join(f"{i} {c}" for i, c in enumerate(CHANNELS)),
    "amount_buckets": "floor(log2(1 + |amount|)) of the last events, -1 without an amount",
    "exposures": "1 where the event was done to the user",
    "search_text_ids": "Ids of the last searches' texts, oldest first",
    "search_times": "Times of the last searches, microseconds since 1970 in UTC",
    "events_lookback": "The user's own events in the lookback",
    "active_days_lookback": "Days with an event of the user's own in the lookback",
    "mean_gap_lookback": "Mean number of days between active days of the lookback; null with fewer than two",
    "days_since_last": "Days since the user's last own event; null beyond the lookback",
    "days_since_first": "Days since the user was first seen",
}


def snapshot_schema(features: tuple[pa.Field, ...]) -> pa.Schema:
    """The schema of a daily feature table with these feature columns."""
    return pa.schema([*SNAPSHOT_KEYS, *features])


def snapshot_time(day: dt.date) -> dt.datetime:
    """When day `day` is over: 00:00 UTC of the next day, the `event_timestamp` of its snapshot."""
    return midnight(day + dt.timedelta(days=1))


def midnight(day: dt.date) -> dt.datetime:
    """00:00 UTC of a day."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def parse_day(value: str, what: str) -> dt.date:
    """Reads `YYYY-MM-DD`. Raises BadInput that names `what` otherwise."""
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise BadInput(f"{what} is {value!r}, which is not a day: write it as YYYY-MM-DD.") from None


def parse_cutoff(value: str | None, default: dt.date, end: dt.date) -> dt.date:
    """A day, `latest` for the data's `end`, or None for the default. Raises BadInput otherwise."""
    if value is None:
        return default
    return end if value == "latest" else parse_day(value, "--cutoff")


def days_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """The days of `[start, end)`."""
    return [start + dt.timedelta(days=i) for i in range((end - start).days)]


def normalise_text(text: str) -> str:
    """The form in which two event texts are compared: NFC, white space folded. The SQL of the source scan does the same."""
    return re.sub(r"[\t\n\f\r ]+", " ", unicodedata.normalize("NFC", text)).strip(" ")


def profile_schema(home: Path) -> pa.Schema:
    """The typed profile attributes of a home's source, as `HOME/source.yaml` keeps them; empty without a profile."""
    path = home / "source.yaml"
    if not path.exists():
        return pa.schema([])
    return attributes((yaml.safe_load(path.read_text()) or {}).get("profile_schema") or {})


def attributes(kinds: dict[str, str]) -> pa.Schema:
    """Profile attributes by name and kind, as a schema."""
    return pa.schema([pa.field(name, ATTRIBUTE_TYPES[kind]) for name, kind in kinds.items()])


ATTRIBUTE_TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
"""The types a profile attribute can have; dates and categories become strings."""
