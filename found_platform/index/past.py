"""The past in arrays: who did what, when, and when it was known. What is scored text by text reads it: late interaction, replay.

Days are counted from 1970 in UTC. A moment is 00:00 of a day; what happened on a day before it, and was known by it, is history.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from found_platform import lake, mapped, spill
from found_platform.contract import CHANNELS, RETURN, midnight
from found_platform.settings import Settings

EPOCH = dt.date(1970, 1, 1)

BLOCK = 1 << 20
"""Events counted, or written, at once."""


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
        columns: Mapping[str, np.ndarray],
        of: "tuple[Past, np.ndarray | slice] | None" = None,
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
        firsts = (np.min(self.happened[block], where=~self.exposed[block], initial=self.day) for block in self._blocks())
        return int(min(firsts, default=self.day))

    def volume(self, day: int) -> np.ndarray:
        """(U,) int32 how many events of each user's own were known by a day."""
        counts = np.zeros(self.users, np.int32)
        for block in self._blocks():
            own = self.user[block][~self.exposed[block] & (self.known[block] < day)]
            if len(own):  # users are in order, so these are some next to each other
                counts[own[0] : own[-1] + 1] += np.bincount(own - own[0]).astype(np.int32)
        return counts

    def _blocks(self) -> Iterator[slice]:
        """The events in parts: what is counted over all of them needs no memory for each."""
        return (slice(start, start + BLOCK) for start in range(0, len(self.user), BLOCK))

    def of_users(self, rows: np.ndarray) -> np.ndarray:
        """(M,) places of all events of some users, by row. Events are in the order of users, so nobody else's are read."""
        return self._places(np.sort(rows))[0]

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(M,) places of all events of the users at `rows` (R,), ascending, and how many (R,) each has."""
        bounds = np.stack([rows, rows + 1], 1).astype(self.user.dtype)  # of another type the whole array would be converted
        starts, ends = np.searchsorted(self.user, bounds).T  # in their order, each is looked for near the one before
        counts = ends - starts
        return np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts), counts

    def of_only(self, rows: np.ndarray) -> "Past":
        """The past of the users at `rows` (R,) alone, ascending, who are users 0 to R - 1 of it."""
        places, counts = self._places(rows)
        return Past(self.day, len(rows), self.texts, {"user": np.repeat(np.arange(len(rows)), counts)}, (self, places))

    def between(self, start: int, end: int) -> "Past":
        """The past of the users from `start` to before `end`, who are users 0, 1, … of it; only whose an event is is copied."""
        first, last = np.searchsorted(self.user, np.array([start, end], self.user.dtype))
        places = slice(int(first), int(last))
        return Past(self.day, end - start, self.texts, {"user": self.user[places] - self.user.dtype.type(start)}, (self, places))

    def of_texts(self, chosen: np.ndarray) -> "Past":
        """The events with one of the texts that are `chosen` (T,) bool."""
        return self.at(np.flatnonzero(chosen.take(self.text)))

    def at(self, rows: np.ndarray) -> "Past":
        """Some of the events, by place or as a mask (N,)."""
        return Past(self.day, self.users, self.texts, {}, (self, rows))

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

TYPES: dict[str, type] = {
    **dict.fromkeys(("user", "text", "happened", "known"), np.int32),
    "channel": np.int8,
    "exposed": np.bool_,
    "amount": np.float32,
    "minute": np.int16,
    **dict.fromkeys(VALUES, np.int32),
}
COLUMNS = tuple(TYPES)
"""The columns of events, and their types."""

Values = dict[str, list[str]]
"""By each of VALUES, the values there are, in the order of the alphabet: an event holds the place of its own."""


@dataclass(frozen=True)
class Loaded:
    """`kept`, what users did and kept; `returned`, what they brought back: an act of its own, and none of the others."""

    kept: Past
    returned: Past
    values: Values


def load(settings: Settings, keys: pa.Array, cutoff: dt.date) -> Loaded:
    """All that the users `keys` (U,) did before a cutoff and was known by then, as files that are mapped.

    DuckDB sorts the events within its memory, and beyond it on disk; they are written as they come.
    """
    con = lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")
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
    ).to_arrow_reader(BLOCK)
    with spill.scratch(settings.home / "tmp") as folder:
        texts = _write(folder, rows)
        con.close()
        kept, returned = (
            Past(day_of(cutoff), len(keys), texts, {name: mapped.load(folder / f"{part}_{name}.npy") for name in COLUMNS})
            for part in PARTS
        )
    return Loaded(kept, returned, values)


PARTS = ("kept", "returned")


def _write(folder: Path, rows: pa.RecordBatchReader) -> np.ndarray:
    """Writes the columns of events, those that were kept and those that were brought back apart. Returns the texts (T,) of all."""
    types = {**TYPES, "text": np.int64}  # ids until all texts are known
    texts = np.empty(0, np.int64)
    with contextlib.ExitStack() as stack:
        files = {(part, name): folder / f"{part}_{name}{'_id' if name == 'text' else ''}.npy" for part in PARTS for name in COLUMNS}
        opened = {key: stack.enter_context(mapped.ArrayFile(path, types[key[1]])) for key, path in files.items()}
        for batch in rows:
            columns = {name: batch["text_id" if name == "text" else name].to_numpy(zero_copy_only=False) for name in COLUMNS}
            texts = np.union1d(texts, columns["text"])
            returned = batch["returned"].to_numpy(zero_copy_only=False)
            for part, chosen in zip(PARTS, (~returned, returned), strict=True):
                for name, column in columns.items():
                    opened[part, name].append(column[chosen])
    for part in PARTS:
        ids = mapped.load(folder / f"{part}_text_id.npy")
        with mapped.ArrayFile(folder / f"{part}_text.npy", TYPES["text"]) as file:
            for start in range(0, len(ids), BLOCK):
                file.append(np.searchsorted(texts, ids[start : start + BLOCK]).astype(TYPES["text"]))
    return texts


def _values(con: duckdb.DuckDBPyConnection, name: str, cutoff: dt.date) -> list[str]:
    """The values of a column before the cutoff; a value that came later is not known."""
    rows = con.execute(
        f"SELECT DISTINCT {name} FROM events WHERE {name} IS NOT NULL AND event_date < ? AND arrived_at <= ? ORDER BY 1",
        [cutoff, midnight(cutoff)],
    )
    return [value for (value,) in rows.fetchall()]
