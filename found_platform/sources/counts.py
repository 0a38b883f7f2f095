"""Counts: what a scan found, by channel, and the rows it refused.

What belongs here: questions to the tables that a scan leaves. What does not: making them (`scan`), sentences about them (`review`).
"""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from found_platform.sources import scan, totals
from found_platform.sources.files import with_hashes
from found_platform.sources.rows import ASIDE, SEPARATOR


class Refusals(ABC):
    """What reports of events and of a profile have in common: refused rows by reason, and their share of `judged` rows."""

    bad: dict[str, int]

    @property
    @abstractmethod
    def judged(self) -> int:
        """Rows that are good or bad."""

    @property
    def bad_rows(self) -> int:
        return sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        return self.bad_rows / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class ChannelReport(Refusals):
    """What the scan found in one channel. Days are UTC; `bad` counts refused rows by reason.

    `rows` are those that `where` leaves: good, bad, repeated, outside the span and of erased users.
    """

    channel: str
    rows: int
    good: int
    users: int
    texts: int
    first_day: dt.date | None
    last_day: dt.date | None
    bad: dict[str, int] = field(default_factory=dict)
    left_out: int = 0  # by `where`
    repeats: int = 0  # of an event_id that came before
    outside: int = 0  # the span
    returns: int = 0  # good rows that bring something back
    nulls: dict[str, int] = field(default_factory=dict)  # how often a placeholder stands for no value, by `column: text`
    erased: int = 0  # of users who were erased

    @property
    def judged(self) -> int:
        """Rows that were to become events."""
        return self.good + self.bad_rows


def bad_share(reports: Sequence[ChannelReport]) -> float:
    """Of the rows of all channels that were to become events."""
    judged = sum(r.judged for r in reports)
    return sum(r.bad_rows for r in reports) / judged if judged else 0.0


def report(con: duckdb.DuckDBPyConnection) -> list[ChannelReport]:
    """Counts of the scan, a line each channel."""
    rows_by = totals.table(con, "row_counts")
    good = {
        row[0]: row[1:]
        for row in con.execute(
            "SELECT channel, sum(n), min(day), max(day), coalesce(sum(n) FILTER (is_return), 0) "
            f"FROM {rows_by} WHERE reason IS NULL GROUP BY 1"
        ).fetchall()
    }
    different = {
        (row[0], row[1]): row[2] for row in con.execute(f"SELECT channel, name, n FROM {totals.table(con, 'different')}").fetchall()
    }
    left_out, refused = dict[str, int](), dict[str, dict[str, int]]()
    for channel, reason, n in con.execute(
        f"SELECT channel, reason, sum(n) FROM (SELECT channel, reason, n FROM {rows_by} WHERE reason IS NOT NULL UNION ALL "
        "SELECT channel, reason, 1 FROM scan_unread) GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall():
        if reason == totals.LEFT_OUT:
            left_out[channel] = n
        else:
            refused.setdefault(channel, {})[reason] = n
    nulls: dict[str, dict[str, int]] = {}
    for channel, remark, n in con.execute(
        f"SELECT channel, remark, sum(n) FROM (SELECT channel, unnest(string_split(remarks, '{SEPARATOR}')) AS remark, n "
        f"FROM {rows_by} WHERE remarks IS NOT NULL) GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).fetchall():
        nulls.setdefault(channel, {})[remark] = n
    channels = [row[0] for row in con.execute("SELECT DISTINCT channel FROM scan_parts ORDER BY 1").fetchall()]
    reports = []
    for channel in channels:
        n, first, last, returns = good.get(channel, (0, None, None, 0))
        users, texts = (different.get((channel, name), 0) for name in ("users", "texts"))
        faults = refused.get(channel, {})
        repeats, outside, erased = (faults.pop(reason, 0) for reason in ASIDE)
        rows = n + sum(faults.values()) + repeats + outside + erased
        reports.append(
            ChannelReport(
                channel,
                rows,
                n,
                users,
                texts,
                first,
                last,
                faults,
                left_out.get(channel, 0),
                repeats,
                outside,
                returns,
                nulls.get(channel, {}),
                erased,
            )
        )
    return reports


def equal_rows(con: duckdb.DuckDBPyConnection) -> int:
    """Good rows without an `event_id` that repeat another in every column. They are kept: a basket may hold two."""
    row = con.execute(f"SELECT n FROM {totals.table(con, 'equal_rows')}").fetchone()
    return int(row[0]) if row else 0


def users(con: duckdb.DuckDBPyConnection) -> int:
    """How many users there are with a good row, of all channels together."""
    row = con.execute(f"SELECT n FROM {totals.table(con, 'different')} WHERE channel = '' AND name = 'users'").fetchone()
    return int(row[0]) if row else 0


def quarantined(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """The refused rows in the contract's quarantine columns."""
    rows = con.execute(
        f"SELECT channel, file, row_number, reason FROM {scan.refused()} ORDER BY channel, file, row_number"
    ).to_arrow_table()
    return with_hashes(rows)
