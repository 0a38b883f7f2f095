"""The scan: every row of a source is read once and becomes either a contract row or a reason.

What belongs here: reading files, checking rows, counting. What does not: where good rows are staged (`staging`).
"""

import csv
import datetime as dt
import gzip
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from found_platform.contract import ACTIVITY_FEATURES, EVENT_OPTIONAL, EVENT_REQUIRED, MAX_TEXT, SNAPSHOT_KEYS
from found_platform.errors import BadInput
from found_platform.sources.config import ChannelEntry, ProfileEntry, SourceConfig, Span

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


def quote(identifier: str) -> str:
    """A SQL identifier, whatever is in it."""
    return '"' + identifier.replace('"', '""') + '"'


@cache
def file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _csv_header(path: Path) -> list[str]:
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file))
    except (StopIteration, UnicodeDecodeError, OSError):
        raise BadInput(f"{path} has no header line in UTF-8: a CSV file starts with its column names.") from None


def _rows(con: duckdb.DuckDBPyConnection, files: list[Path], view: str, typed: bool = False) -> list[str]:
    """Makes a view of these files with `_file` and `_row` (from 1) beside their columns, and returns the column names.

    `typed` lets DuckDB guess the types of CSV columns (profiles); otherwise they stay text and are checked row by row.
    """
    paths = [str(f) for f in files]
    try:
        if paths[0].endswith(".parquet"):
            relation = con.read_parquet(paths, filename=True, file_row_number=True)
            names = [c for c in relation.columns if c not in ("filename", "file_row_number")]
            relation.project(", ".join([*map(quote, names), "filename AS _file", "file_row_number + 1 AS _row"])).create_view(
                view, replace=True
            )
            return names
        names = _csv_header(files[0])
        if typed:
            relation = con.read_csv(paths, header=True)  # pyright: ignore[reportArgumentType] (a list is fine)
            relation.project("*, '' AS _file, row_number() OVER () AS _row").create_view(view, replace=True)
            return names
        columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in names)
        con.execute(
            f"CREATE OR REPLACE VIEW {quote(view)} AS SELECT * EXCLUDE (filename), filename AS _file, "
            "row_number() OVER (PARTITION BY filename) AS _row "
            f"FROM read_csv([{', '.join(map(literal, paths))}], auto_detect=false, header=true, delim=',', quote='\"', "
            f"filename=true, store_rejects=true, columns={{{columns}}})"
        )
        return names
    except duckdb.Error as error:
        raise BadInput(f"{files[0]} cannot be read: {_first_line(error)}.") from None


def literal(value: str) -> str:
    """A SQL string, whatever is in it: for DDL, where DuckDB takes no parameters."""
    return "'" + value.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _check_columns(wanted: Iterable[str], there: list[str], files: list[Path], where: str) -> None:
    for column in wanted:
        if column not in there:
            raise BadInput(f"{where}: {files[0]} has no column {column!r}; it has {', '.join(there)}.")


def _time(column: str) -> str:
    # The session's zone is the entry's zone, so the cast reads naive times in it and honours offsets that are there.
    return f"TRY_CAST({column} AS TIMESTAMPTZ)"


def _entry_view(con: duckdb.DuckDBPyConnection, channel: str, entry: ChannelEntry) -> str:
    """Makes the view `entry` of one channel entry in contract columns, unchecked. Raises BadInput for a wrong column or `where`."""
    files = entry.files()
    there = _rows(con, files, "entry_rows")
    _check_columns(entry.columns.values(), there, files, f"channel {channel!r}")
    con.execute("SET TimeZone = ?", [entry.timezone])
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
            {text["status"]} AS status, {text["payment_method"]} AS payment_method, {text["event_id"]} AS event_id,
            {_time(raw["arrived_at"])} AS arrived_at, {text["arrived_at"]} AS raw_arrived, {str(entry.exposure).lower()} AS exposure
        FROM entry_rows WHERE {f"({entry.where})" if entry.where else "true"}"""


def _entries(config: SourceConfig) -> list[tuple[str, ChannelEntry]]:
    return [(channel, entry) for channel, entries in config.channels.items() for entry in entries]


def _query(
    con: duckdb.DuckDBPyConnection, channel: str, sql: str, parameters: list[Any] | None = None
) -> duckdb.DuckDBPyConnection:
    try:
        return con.execute(sql, parameters or [])
    except duckdb.Error as error:
        raise BadInput(f"channel {channel!r} cannot be read: {_first_line(error)}.") from None


def discover(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> SourceConfig:
    """The same config with its span and profile schema filled in; reads times and footers only, writes nothing.

    Raises BadInput for a missing file, a wrong column, or a channel without rows.
    """
    first, last = [], []
    for channel, entry in _entries(config):
        sql = _entry_view(con, channel, entry)
        row = _query(con, channel, f"SELECT count(*), min(event_time), max(event_time) FROM ({sql})").fetchone()
        assert row is not None
        if row[0] == 0:
            raise BadInput(
                f"channel {channel!r} is empty: {entry.path} has no rows" + (f" where {entry.where}." if entry.where else ".")
            )
        if row[1] is None:
            raise BadInput(
                f"channel {channel!r}: no row of {entry.path} has a readable event_time in {entry.columns['event_time']!r}."
            )
        first.append(row[1].astimezone(dt.UTC).date())
        last.append(row[2].astimezone(dt.UTC).date())
    con.execute("SET TimeZone='UTC'")
    span = config.span or Span(start=min(first), end=max(last) + dt.timedelta(days=1))
    schema = profile_attributes(con, config.profile) if config.profile else {}
    return config.model_copy(update={"span": span, "profile_schema": schema})


def profile_attributes(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """Attribute names and types of a profile table."""
    files = entry.files()
    there = _rows(con, files, "profile_rows", typed=True)
    _check_columns([entry.key, *([entry.as_of] if entry.as_of else [])], there, files, "profile")
    types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE profile_rows)").fetchall())
    attributes: dict[str, str] = {}
    for column in there:
        if column in (entry.key, entry.as_of):
            continue
        name = attribute_name(column)
        if name in attributes or name in RESERVED:
            raise BadInput(
                f"profile: the column {column!r} of {files[0]} would be the attribute {name!r}, which is taken: rename it."
            )
        attributes[name] = _attribute_type(types[column])
    return attributes


def attribute_name(column: str) -> str:
    """A profile column as an attribute: letters, digits and underscores, as filters and the index need it."""
    name = re.sub(r"\W", "_", column.strip(), flags=re.ASCII)
    return f"_{name}" if name[:1].isdigit() else name


RESERVED = frozenset(
    {*(f.name for f in SNAPSHOT_KEYS), *(f.name for f in ACTIVITY_FEATURES), "fold", "as_of", "vector", "history_events"}
)


def _attribute_type(kind: str) -> str:
    if kind == "BOOLEAN":
        return "bool"
    if kind.endswith("INT") or kind.endswith("INTEGER"):
        return "int"
    return "float" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "string"


def scan(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Reads every event of the source into the table `scanned`, one row a source row, `reason` null where it is good."""
    assert config.span is not None
    con.execute(
        "CREATE TABLE scanned (channel VARCHAR, file VARCHAR, row_number BIGINT, user_id VARCHAR, event_time TIMESTAMPTZ, "
        "text VARCHAR, text_id BIGINT, category VARCHAR, amount DOUBLE, status VARCHAR, payment_method VARCHAR, "
        "event_id VARCHAR, arrived_at TIMESTAMPTZ, exposure BOOLEAN, reason VARCHAR)"
    )
    end = config.span.end or dt.date(9999, 1, 1)
    for channel, entry in _entries(config):
        sql = _entry_view(con, channel, entry)
        _query(
            con,
            channel,
            f"""
            INSERT INTO scanned BY NAME
            SELECT channel, file, row_number, user_id, event_time, {NORMALISED} AS text, {TEXT_ID} AS text_id, category, amount,
                status, payment_method, event_id, greatest(event_time, coalesce(arrived_at, event_time)) AS arrived_at, exposure,
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
        if entry.files()[0].name.endswith((".csv", ".csv.gz")):
            _take_rejects(con, channel)
    con.execute("SET TimeZone='UTC'")
    con.execute(
        "UPDATE scanned SET reason = 'repeated event_id' WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, "
        "row_number() OVER (PARTITION BY channel, event_id ORDER BY file, row_number) AS n FROM scanned "
        "WHERE reason IS NULL AND event_id IS NOT NULL) WHERE n > 1)"
    )
    clash = con.execute(
        "SELECT text_id, min(text), max(text) FROM scanned WHERE reason IS NULL GROUP BY 1 HAVING min(text) <> max(text) LIMIT 1"
    ).fetchone()
    if clash:
        raise BadInput(f"The texts {clash[1]!r} and {clash[2]!r} have the same 64-bit hash: change one of them.")


def _take_rejects(con: duckdb.DuckDBPyConnection, channel: str) -> None:
    """Rows that are no rows of the file's columns at all. Their number is the line number less the header."""
    con.execute(
        "INSERT INTO scanned BY NAME SELECT ? AS channel, s.file_path AS file, e.line - 1 AS row_number, "
        "'wrong number of columns or encoding' AS reason "
        "FROM (SELECT DISTINCT scan_id, file_id, line FROM reject_errors) e JOIN reject_scans s USING (scan_id, file_id)",
        [channel],
    )
    con.execute("DELETE FROM reject_errors")
    con.execute("DELETE FROM reject_scans")


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
    hashes = [file_sha256(f) for f in rows["file"].to_pylist()]
    return rows.append_column("file_sha256", pa.array(hashes, pa.string()))


def read_profile(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, schema: dict[str, str]) -> tuple[pa.Table, pa.Table]:
    """Good profile rows (user_id, as_of, attributes) and refused ones (quarantine columns).

    One row a user and `as_of` is kept; without `as_of` one row a user.
    """
    there = _rows(con, entry.files(), "profile_rows", typed=True)
    sql_types = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
    as_of = f"TRY_CAST({quote(entry.as_of)} AS TIMESTAMPTZ)" if entry.as_of else "CAST(NULL AS TIMESTAMPTZ)"
    columns = [c for c in there if c not in (entry.key, entry.as_of)]
    attributes = "".join(
        f", CAST({quote(c)} AS {sql_types[schema[attribute_name(c)]]}) AS {quote(attribute_name(c))}" for c in columns
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE profile_scanned AS SELECT *, CASE WHEN user_id IS NULL THEN 'no user_id' "
        "WHEN trim(user_id) = '' THEN 'empty user_id' "
        + ("WHEN as_of IS NULL THEN 'no readable as_of' " if entry.as_of else "")
        + "WHEN row_number() OVER (PARTITION BY user_id, as_of ORDER BY _file, _row) > 1 THEN 'repeated profile row' END AS reason "
        f"FROM (SELECT _file, _row, CAST({quote(entry.key)} AS VARCHAR) AS user_id, {as_of} AS as_of{attributes} FROM profile_rows)"
    )
    good = con.execute("SELECT * EXCLUDE (_file, _row, reason) FROM profile_scanned WHERE reason IS NULL").to_arrow_table()
    bad = con.execute(
        "SELECT 'profile' AS channel, ? AS file, _row AS row_number, reason FROM profile_scanned WHERE reason IS NOT NULL",
        [str(entry.files()[0])],
    ).to_arrow_table()
    return good, bad.append_column("file_sha256", pa.array([file_sha256(f) for f in bad["file"].to_pylist()], pa.string()))
