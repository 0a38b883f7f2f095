"""The scan: every row of a source is read once and becomes either a contract row or a reason.

What belongs here: checking events, counting. What does not: reading files (`files`), where good rows are staged (`staging`).
"""

import datetime as dt
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from found_platform.contract import EVENT_OPTIONAL, EVENT_REQUIRED, MAX_TEXT
from found_platform.errors import BadInput
from found_platform.lake import literal, quote
from found_platform.sources.config import ChannelEntry, SourceConfig, Span
from found_platform.sources.files import is_csv, locate_refused, make_view, query, take_rejects, with_hashes
from found_platform.sources.profile import profile_attributes

NORMALISED = r"trim(regexp_replace(nfc_normalize(text), '[\t\n\f\r ]+', ' ', 'g'), ' ')"
TEXT_ID = f"CAST(CAST(md5_number_lower({NORMALISED}) AS BIT) AS BIGINT)"
"""A 64-bit hash of the normalised text: the second half of its MD5, little-endian, signed."""


@dataclass(frozen=True)
class ChannelReport:
    """What the scan found in one channel. Days are UTC; `bad` counts refused rows by reason."""

    channel: str
    rows: int
    good: int
    users: int
    texts: int
    first_day: dt.date | None
    last_day: dt.date | None
    bad: dict[str, int] = field(default_factory=dict)


def _time(column: str) -> str:
    # The session's zone is the entry's zone, so the cast reads naive times in it and honours offsets that are there.
    return f"TRY_CAST({column} AS TIMESTAMPTZ)"


def _entry_view(con: duckdb.DuckDBPyConnection, channel: str, entry: ChannelEntry) -> str:
    """Makes the view `entry` of one channel entry in contract columns, unchecked. Raises BadInput for a wrong column or `where`."""
    make_view(con, entry, "entry_rows", entry.columns.values(), f"channel {channel!r}", key=entry.columns["user_id"])
    try:
        con.execute("SET TimeZone = ?", [entry.timezone])
    except duckdb.Error:
        raise BadInput(
            f"channel {channel!r}: {entry.timezone!r} is no time zone: use an IANA name such as Europe/London."
        ) from None
    raw = {c: quote(entry.columns[c]) if c in entry.columns else "NULL" for c in EVENT_REQUIRED + EVENT_OPTIONAL}
    types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE entry_rows)").fetchall())
    for column in ("event_time", "arrived_at"):
        kind = types.get(entry.columns.get(column, ""), "VARCHAR")
        if not (kind.startswith("TIMESTAMP") or kind in ("VARCHAR", "DATE")):
            raise BadInput(f"channel {channel!r}: {column} is a column of type {kind}, not a time: convert it to a timestamp.")
    text = {c: f"CAST({raw[c]} AS VARCHAR)" for c in raw}
    return f"""
        SELECT {literal(channel)} AS channel, _file AS file, _row AS row_number,
            {text["user_id"]} AS user_id, {_time(raw["event_time"])} AS event_time, {text["event_time"]} AS raw_time,
            {text["text"]} AS text, {text["category"]} AS category,
            TRY_CAST({raw["amount"]} AS DOUBLE) AS amount, {text["amount"]} AS raw_amount,
            {text["status"]} AS status, {text["payment_method"]} AS payment_method,
            nullif(trim({text["event_id"]}), '') AS event_id,
            {_time(raw["arrived_at"])} AS arrived_at, {text["arrived_at"]} AS raw_arrived, {str(entry.exposure).lower()} AS exposure
        FROM entry_rows WHERE {f"({entry.where})" if entry.where else "true"}"""


def _entries(config: SourceConfig) -> list[tuple[str, ChannelEntry]]:
    return [(channel, entry) for channel, entries in config.channels.items() for entry in entries]


def discover(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> SourceConfig:
    """The same config with its span and profile schema filled in; reads times and footers only, writes nothing.

    Raises BadInput for a missing file, a wrong column, or a channel without rows.
    """
    first, last = [], []
    for channel, entry in _entries(config):
        sql = _entry_view(con, channel, entry)
        found = query(
            con,
            f"channel {channel!r}",
            "SELECT count(*), min(day), max(day) FROM (SELECT CASE WHEN isfinite(event_time) THEN "
            f"CAST(event_time AT TIME ZONE 'UTC' AS DATE) END AS day FROM ({sql})) "
            "WHERE day IS NULL OR day BETWEEN DATE '0001-01-02' AND DATE '9999-12-30'",
        )
        ((rows, first_day, last_day),) = found.fetchall()  # to its end: only then the rejects are known
        if is_csv(entry):
            take_rejects(con, f"channel {channel!r}")  # else a scan on this connection would count them again
        if rows == 0:
            raise BadInput(
                f"channel {channel!r} is empty: {entry.path} has no rows" + (f" where {entry.where}." if entry.where else ".")
            )
        if first_day is None:
            raise BadInput(
                f"channel {channel!r}: no row of {entry.path} has a readable event_time in {entry.columns['event_time']!r}."
            )
        first.append(first_day)
        last.append(last_day)
    con.execute("SET TimeZone='UTC'")
    span = config.span or Span(start=min(first), end=max(last) + dt.timedelta(days=1))
    schema = profile_attributes(con, config.profile) if config.profile else {}
    return config.model_copy(update={"span": span, "profile_schema": schema})


def scan(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Reads every event of the source into the table `scanned`, one row a source row, `reason` null where it is good.

    In a CSV file "no user_id" is nothing between two commas, and "empty user_id" a quoted text of nothing or of spaces. Of rows
    with the same `event_id` in a channel the first is kept, by file name and row.
    """
    assert config.span is not None
    con.execute(
        "CREATE TABLE scanned (entry INTEGER, channel VARCHAR, file VARCHAR, row_number BIGINT, user_id VARCHAR, "
        "event_time TIMESTAMPTZ, text VARCHAR, text_id BIGINT, category VARCHAR, amount DOUBLE, status VARCHAR, "
        "payment_method VARCHAR, event_id VARCHAR, arrived_at TIMESTAMPTZ, exposure BOOLEAN, reason VARCHAR)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE rejected (entry INTEGER, channel VARCHAR, file VARCHAR, row_number BIGINT, reason VARCHAR)"
    )
    # an open span ends with today: what is dated later is no news but a mistake
    end = config.span.end or dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    for number, (channel, entry) in enumerate(_entries(config)):
        sql = _entry_view(con, channel, entry)
        query(
            con,
            f"channel {channel!r}",
            f"""
            INSERT INTO scanned BY NAME
            SELECT {number} AS entry, channel, file, row_number, user_id, event_time, {NORMALISED} AS text, {TEXT_ID} AS text_id,
                category, amount, status, payment_method, event_id,
                greatest(event_time, coalesce(arrived_at, event_time)) AS arrived_at, exposure,
                CASE WHEN user_id IS NULL THEN 'no user_id'
                     WHEN trim(user_id) = '' THEN 'empty user_id'
                     WHEN raw_time IS NULL THEN 'no event_time'
                     WHEN event_time IS NULL THEN 'unparsable event_time'
                     WHEN event_time AT TIME ZONE 'UTC' < CAST(? AS TIMESTAMP)
                       OR event_time AT TIME ZONE 'UTC' >= CAST(? AS TIMESTAMP) THEN 'event_time outside the span'
                     WHEN coalesce({NORMALISED}, '') = '' THEN 'empty text'
                     WHEN length(text) > {MAX_TEXT} THEN 'text over {MAX_TEXT} characters'
                     WHEN raw_amount IS NOT NULL AND amount IS NULL THEN 'amount is not a number'
                     WHEN NOT isfinite(amount) THEN 'amount is not finite'
                     WHEN raw_arrived IS NOT NULL AND arrived_at IS NULL THEN 'unparsable arrived_at'
                END AS reason
            FROM ({sql})""",
            [config.span.start, end],
        )
        if is_csv(entry):
            take_rejects(con, f"channel {channel!r}")
            con.execute("INSERT INTO rejected SELECT ?, ?, file, row_number, reason FROM rejects", [number, channel])
    con.execute("SET TimeZone='UTC'")
    con.execute(
        "UPDATE scanned SET reason = 'repeated event_id' WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, "
        "row_number() OVER (PARTITION BY channel, event_id ORDER BY file, row_number, entry) AS n FROM scanned "
        "WHERE reason IS NULL AND event_id IS NOT NULL) WHERE n > 1)"
    )
    _add_rejects(con)
    clash = con.execute(
        "SELECT text_id, min(text), max(text) FROM scanned WHERE reason IS NULL GROUP BY 1 HAVING min(text) <> max(text) LIMIT 1"
    ).fetchone()
    if clash:
        raise BadInput(f"The texts {clash[1]!r} and {clash[2]!r} have the same 64-bit hash: change one of them.")


def _add_rejects(con: duckdb.DuckDBPyConnection) -> None:
    """Adds what CSV files hold beside readable rows to `scanned`, and numbers the other refused rows with them counted.

    A reject belongs to no channel; it is counted once, in the first entry that reads its file.
    """
    locate_refused(con, "scanned")
    con.execute(
        "INSERT INTO scanned BY NAME SELECT * FROM rejected "
        "QUALIFY row_number() OVER (PARTITION BY file, row_number ORDER BY entry) = 1"
    )


def report(con: duckdb.DuckDBPyConnection) -> list[ChannelReport]:
    """Counts of `scanned`, a line each channel."""
    rows = con.execute(
        "SELECT channel, count(*), count(*) FILTER (reason IS NULL), count(DISTINCT user_id) FILTER (reason IS NULL), "
        "count(DISTINCT text_id) FILTER (reason IS NULL), min(CAST(event_time AS DATE)) FILTER (reason IS NULL), "
        "max(CAST(event_time AS DATE)) FILTER (reason IS NULL) FROM scanned GROUP BY 1 ORDER BY 1"
    ).fetchall()
    bad: dict[str, dict[str, int]] = {}
    for channel, reason, n in con.execute(
        "SELECT channel, reason, count(*) FROM scanned WHERE reason IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall():
        bad.setdefault(channel, {})[reason] = n
    return [ChannelReport(*row, bad=bad.get(row[0], {})) for row in rows]


def equal_rows(con: duckdb.DuckDBPyConnection) -> int:
    """Good rows without an `event_id` that repeat another in every column. They are kept: a basket may hold two."""
    row = con.execute(
        "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM scanned WHERE reason IS NULL AND event_id IS NULL "
        "GROUP BY channel, user_id, event_time, text_id, category, amount, status, payment_method, exposure)"
    ).fetchone()
    return int(row[0]) if row else 0


def quarantined(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """The refused rows in the contract's quarantine columns."""
    rows = con.execute(
        "SELECT channel, file, row_number, reason FROM scanned WHERE reason IS NOT NULL ORDER BY channel, file, row_number"
    ).to_arrow_table()
    return with_hashes(rows)
