"""The past in arrays: who did what, when, and when it was known. What is scored text by text reads it: late interaction, replay.

Days are counted from 1970 in UTC. A moment is 00:00 of a day; what happened on a day before it, and was known by it, is history.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from found_platform import lake
from found_platform.contract import CHANNELS, RETURN, midnight
from found_platform.settings import Settings

EPOCH = dt.date(1970, 1, 1)


def day_of(date: dt.date) -> int:
    """Days since 1970."""
    return (date - EPOCH).days


def date_of(day: int) -> dt.date:
    """The date of a day."""
    return EPOCH + dt.timedelta(days=day)


@dataclass(frozen=True, eq=False)
class Past:
    """The events known before a cutoff but what was brought back, ordered by user and, for each, by the day they were known.

    Attributes:
        day: the cutoff, in days.
        users: U, with or without events.
        texts: (T,) ids of the texts there are, ascending.
        user: (N,) whose event it is, ascending.
        text: (N,) which of the texts.
        happened: (N,) day of the event.
        known: (N,) day after which it was known, never before it happened.
        channel: (N,) position in `contract.CHANNELS`.
        exposed: (N,) whether it was done to the user.
        amount: (N,) float32, how much of the source's money, paid or got; 0 where there is none.
    """

    day: int
    users: int
    texts: np.ndarray
    user: np.ndarray
    text: np.ndarray
    happened: np.ndarray
    known: np.ndarray
    channel: np.ndarray
    exposed: np.ndarray
    amount: np.ndarray

    @cached_property
    def first_day(self) -> int:
        """The first day on which a user did something of their own; the cutoff where nobody ever did."""
        return int(np.min(self.happened, where=~self.exposed, initial=self.day))

    def of_users(self, rows: np.ndarray) -> np.ndarray:
        """(M,) places of all events of some users, by row. Events are in the order of users, so nobody else's are read."""
        rows = np.sort(rows).astype(self.user.dtype)  # of another type the whole array would be converted
        starts, ends = np.searchsorted(self.user, rows), np.searchsorted(self.user, rows, "right")
        return np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)]) if len(rows) else np.empty(0, np.int64)

    def of_texts(self, wanted: np.ndarray) -> "Past":
        """The events with one of the texts that are `wanted` (T,) bool."""
        return self.at(np.flatnonzero(wanted[self.text]))

    def at(self, rows: np.ndarray) -> "Past":
        """Some of the events, by place or as a mask (N,)."""
        columns = (self.user, self.text, self.happened, self.known, self.channel, self.exposed, self.amount)
        return Past(self.day, self.users, self.texts, *(c[rows] for c in columns))

    def sum_by_user(self, values: np.ndarray) -> np.ndarray:
        """(U,) the sum of `values` (N,) of each user's events."""
        return np.bincount(self.user, weights=values, minlength=self.users)

    def max_by_user(self, values: np.ndarray) -> np.ndarray:
        """(U,) the largest of `values` (N,) >= 0 of each user's events; 0 without any."""
        largest = np.zeros(self.users)
        np.maximum.at(largest, self.user, values)
        return largest


def load(settings: Settings, keys: pa.Array, cutoff: dt.date) -> Past:
    """The past of the users `keys` (U,) before a cutoff, as far back as a model of it may look."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    con.register("users", pa.table({"user_key": keys, "user": pa.array(np.arange(len(keys)), pa.int32())}))
    con.register("channels", pa.table({"channel": list(CHANNELS), "code": pa.array(range(len(CHANNELS)), pa.int8())}))
    found = con.execute(
        "SELECT user, text_id, date_diff('day', DATE '1970-01-01', event_date)::INTEGER AS happened, "
        "greatest(event_date, CAST(arrived_at - INTERVAL 1 MICROSECOND AS DATE)) AS known_date, "
        "date_diff('day', DATE '1970-01-01', known_date)::INTEGER AS known, code, exposure, "
        "abs(coalesce(amount, 0))::FLOAT AS amount "
        "FROM events JOIN users USING (user_key) JOIN channels USING (channel) "
        f"WHERE status IS DISTINCT FROM '{RETURN}' AND event_date < $cutoff AND event_date >= $first AND arrived_at "
        f"<= $moment ORDER BY user, known, happened, event_time",
        {"cutoff": cutoff, "first": cutoff - dt.timedelta(days=settings.history_days), "moment": midnight(cutoff)},
    ).to_arrow_table()
    texts, text = np.unique(found["text_id"].to_numpy(), return_inverse=True)
    return Past(
        day_of(cutoff),
        len(keys),
        texts,
        found["user"].to_numpy(),
        text.astype(np.int32),
        found["happened"].to_numpy(),
        found["known"].to_numpy(),
        found["code"].to_numpy(),
        found["exposure"].to_numpy(),
        found["amount"].to_numpy(),
    )
