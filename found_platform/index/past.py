"""The past in arrays: who did what, when, and when it was known. What is scored text by text reads it: late interaction, replay.

Days are counted from 1970 in UTC. A moment is 00:00 of a day; what happened on a day before it, and was known by it, is history.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import duckdb
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


class Past:
    """Events known before a cutoff, ordered by user and, for each, by the day they were known.

    Of some of the events a column is taken when it is first read: most questions read a few of them.

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
        minute: (N,) of the day, in UTC: events of one minute are one time.
        category, status, payment_method: (N,) which of the source's values, see `Values`; -1 where there is none.
    """

    user: np.ndarray
    text: np.ndarray
    happened: np.ndarray
    known: np.ndarray
    channel: np.ndarray
    exposed: np.ndarray
    amount: np.ndarray
    minute: np.ndarray
    category: np.ndarray
    status: np.ndarray
    payment_method: np.ndarray

    def __init__(
        self,
        day: int,
        users: int,
        texts: np.ndarray,
        *,
        of: "tuple[Past, np.ndarray] | None" = None,
        **columns: np.ndarray,
    ):
        """`columns` are all of COLUMNS, or those that differ where it is a part `of` another past, at places or by a mask (N,)."""
        self.day, self.users, self.texts, self._of = day, users, texts, of
        vars(self).update(columns)

    def __getattr__(self, column: str) -> np.ndarray:
        if column not in COLUMNS or self._of is None:
            raise AttributeError(column)
        whole, rows = self._of
        return vars(self).setdefault(column, getattr(whole, column)[rows])

    @cached_property
    def first_day(self) -> int:
        """The first day on which a user did something of their own; the cutoff where nobody ever did."""
        return int(np.min(self.happened, where=~self.exposed, initial=self.day))

    def of_users(self, rows: np.ndarray) -> np.ndarray:
        """(M,) places of all events of some users, by row. Events are in the order of users, so nobody else's are read."""
        rows = np.sort(rows).astype(self.user.dtype)  # of another type the whole array would be converted
        starts, ends = np.searchsorted(self.user, rows), np.searchsorted(self.user, rows, "right")
        counts = ends - starts
        return np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)

    def of_only(self, rows: np.ndarray) -> "Past":
        """The past of the users at `rows` (R,) alone, ascending, who are users 0 to R - 1 of it."""
        places = self.of_users(rows)
        return Past(self.day, len(rows), self.texts, of=(self, places), user=np.searchsorted(rows, self.user[places]))

    def of_texts(self, chosen: np.ndarray) -> "Past":
        """The events with one of the texts that are `chosen` (T,) bool."""
        return self.at(np.flatnonzero(chosen[self.text]))

    def at(self, rows: np.ndarray) -> "Past":
        """Some of the events, by place or as a mask (N,)."""
        return Past(self.day, self.users, self.texts, of=(self, rows))

    def sum_by_user(self, values: np.ndarray) -> np.ndarray:
        """(U,) the sum of `values` (N,) of each user's events."""
        return np.bincount(self.user, weights=values, minlength=self.users)

    def max_by_user(self, values: np.ndarray) -> np.ndarray:
        """(U,) the largest of `values` (N,) >= 0 of each user's events; 0 without any."""
        largest = np.zeros(self.users)
        np.maximum.at(largest, self.user, values)
        return largest


VALUES = ("category", "status", "payment_method")
"""Columns of events whose values are told apart by number."""

COLUMNS = ("user", "text", "happened", "known", "channel", "exposed", "amount", "minute", *VALUES)
"""The columns of events."""

Values = dict[str, list[str]]
"""By each of VALUES, the values there are, in the order of the alphabet: an event holds the place of its own."""


@dataclass(frozen=True)
class Loaded:
    """`kept`, what users did and kept; `returned`, what they brought back: an act of its own, and none of the others."""

    kept: Past
    returned: Past
    values: Values


def load(settings: Settings, keys: pa.Array, cutoff: dt.date) -> Loaded:
    """All that the users `keys` (U,) did before a cutoff and was known by then."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    con.register("users", pa.table({"user_key": keys, "user": pa.array(np.arange(len(keys)), pa.int32())}))
    con.register("channels", pa.table({"channel": list(CHANNELS), "code": pa.array(range(len(CHANNELS)), pa.int8())}))
    values = {name: _values(con, name, cutoff) for name in VALUES}
    for name, distinct in values.items():
        con.register(
            f"{name}_values", pa.table({name: pa.array(distinct, pa.string()), "code": pa.array(range(len(distinct)), pa.int32())})
        )
    coded = ", ".join(f"coalesce({name}_values.code, -1)::INTEGER AS {name}" for name in VALUES)
    joins = " ".join(f"LEFT JOIN {name}_values ON events.{name} = {name}_values.{name}" for name in VALUES)
    rows = con.execute(
        "SELECT user, text_id, date_diff('day', DATE '1970-01-01', event_date)::INTEGER AS happened, "
        "greatest(event_date, CAST(arrived_at - INTERVAL 1 MICROSECOND AS DATE)) AS known_date, "
        "date_diff('day', DATE '1970-01-01', known_date)::INTEGER AS known, channels.code AS channel, exposure AS exposed, "
        "abs(coalesce(amount, 0))::FLOAT AS amount, "
        "(epoch_us(event_time) // 60_000_000 % 1440)::SMALLINT AS minute, "
        f"events.status IS NOT DISTINCT FROM '{RETURN}' AS returned, {coded} "
        f"FROM events JOIN users USING (user_key) JOIN channels USING (channel) {joins} "
        "WHERE event_date < $cutoff AND arrived_at <= $moment ORDER BY user, known, happened, event_time",
        {"cutoff": cutoff, "moment": midnight(cutoff)},
    ).to_arrow_table()
    texts, text = np.unique(rows["text_id"].to_numpy(), return_inverse=True)
    columns = {name: rows[name].to_numpy() for name in COLUMNS if name != "text"}
    columns["text"] = text.astype(np.int32)
    returned = rows["returned"].to_numpy()

    def of(mask: np.ndarray) -> Past:
        return Past(day_of(cutoff), len(keys), texts, **{name: column[mask] for name, column in columns.items()})

    return Loaded(of(~returned), of(returned), values)


def _values(con: duckdb.DuckDBPyConnection, name: str, cutoff: dt.date) -> list[str]:
    """The values of a column before the cutoff; a value that came later is not known."""
    rows = con.execute(
        f"SELECT DISTINCT {name} FROM events WHERE {name} IS NOT NULL AND event_date < ? AND arrived_at <= ? ORDER BY 1",
        [cutoff, midnight(cutoff)],
    )
    return [value for (value,) in rows.fetchall()]
