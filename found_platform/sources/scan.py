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
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from found_platform.contract import (
    ACTIVITY_FEATURES,
    EVENT_OPTIONAL,
    EVENT_REQUIRED,
    MAX_TEXT,
    SEARCH_FEATURES,
    SEQUENCE_FEATURES,
    SNAPSHOT_KEYS,
)
from found_platform.errors import BadInput
from found_platform.sources.config import ChannelEntry, Location, ProfileEntry, SourceConfig, Span

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


def file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _csv_header(path: Path) -> list[str]:
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            names = next(csv.reader(file))
    except (StopIteration, UnicodeDecodeError, OSError):
        raise BadInput(f"{path} has no header line in UTF-8: a CSV file starts with its column names.") from None
    names = [name or f"column{i}" for i, name in enumerate(names)]
    _check_distinct(path, names)
    return names


def _check_distinct(path: Path, names: list[str]) -> None:
    if len({name.lower() for name in names}) < len(names):
        raise BadInput(f"{path} names a column twice ({', '.join(names)}): names must differ, not only in case.")


def _view(con: duckdb.DuckDBPyConnection, location: Location, view: str, wanted: Iterable[str], where: str) -> list[str]:
    """Makes a view of a location with `_file` and `_row` (from 1) beside its columns, and returns their names.

    CSV columns stay text. Each file is read by its own header, in order. Raises BadInput that begins with `where` when a file
    cannot be read or misses a wanted column.
    """
    files = location.files()
    try:
        if location.is_delta():
            con.register(f"{view}_delta", DeltaTable(location.path).to_pyarrow_dataset())
            con.execute(
                f"CREATE OR REPLACE VIEW {view} AS "
                f"SELECT *, {literal(location.path)} AS _file, row_number() OVER () AS _row FROM {view}_delta"
            )
        elif files[0].name.endswith(".parquet"):
            for file in files:
                _check_distinct(file, pq.read_schema(file).names)
            relation = con.read_parquet([str(f) for f in files], filename=True, file_row_number=True, union_by_name=True)
            names = [c for c in relation.columns if c not in ("filename", "file_row_number")]
            columns = [*map(quote, names), "filename AS _file", "file_row_number + 1 AS _row"]
            relation.project(", ".join(columns)).create_view(view, replace=True)
        else:
            parts = [_csv(file, wanted, where) for file in files]
            con.execute(f"CREATE OR REPLACE VIEW {view} AS " + " UNION ALL BY NAME ".join(parts))
        there = [row[0] for row in con.execute(f"SELECT column_name FROM (DESCRIBE {view})").fetchall()]
    except (duckdb.Error, DeltaError, pa.ArrowException) as error:
        raise BadInput(f"{where}: {files[0]} cannot be read: {_first_line(error)}.") from None
    there = [name for name in there if name not in ("_file", "_row")]
    _check_columns(wanted, there, files[0], where)
    return there


def _csv(file: Path, wanted: Iterable[str], where: str) -> str:
    names = _csv_header(file)
    _check_columns(wanted, names, file, where)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    # one file at a time: over several, rows would have no order to be numbered in
    return (
        f"(SELECT *, {literal(str(file))} AS _file, row_number() OVER () AS _row FROM read_csv({literal(str(file))}, "
        f"auto_detect=false, header=true, delim=',', quote='\"', store_rejects=true, columns={{{columns}}}))"
    )


def literal(value: str) -> str:
    """A SQL string, whatever is in it: for DDL, where DuckDB takes no parameters."""
    return "'" + value.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0].rstrip(".!")
    return "its lines end in different ways, save it with one kind of line ending" if "state machine" in line else line


def _check_columns(wanted: Iterable[str], there: list[str], file: Path, where: str) -> None:
    for column in wanted:
        if column not in there:
            raise BadInput(f"{where}: {file} has no column {column!r}; it has {', '.join(there)}.")


def _time(column: str) -> str:
    # The session's zone is the entry's zone, so the cast reads naive times in it and honours offsets that are there.
    return f"TRY_CAST({column} AS TIMESTAMPTZ)"


def _entry_view(con: duckdb.DuckDBPyConnection, channel: str, entry: ChannelEntry) -> str:
    """Makes the view `entry` of one channel entry in contract columns, unchecked. Raises BadInput for a wrong column or `where`."""
    _view(con, entry, "entry_rows", entry.columns.values(), f"channel {channel!r}")
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
        found = _query(
            con,
            channel,
            "SELECT count(*), min(day), max(day) FROM (SELECT CASE WHEN isfinite(event_time) THEN "
            f"CAST(event_time AT TIME ZONE 'UTC' AS DATE) END AS day FROM ({sql})) "
            "WHERE day IS NULL OR day BETWEEN DATE '0001-01-02' AND DATE '9999-12-30'",
        )
        rows, first_day, last_day = found.fetchone() or (0, None, None)
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


def profile_attributes(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """Attribute names and types of a profile table."""
    attributes: dict[str, str] = {}
    for column, kind in _profile_columns(con, entry).items():
        name = attribute_name(column)
        if name.lower() in {taken.lower() for taken in attributes}:
            raise BadInput(
                f"profile: the column {column!r} of {entry.path} would be the attribute {name!r}, which is taken: rename it."
            )
        attributes[name] = _attribute_type(kind)
    return attributes


def _profile_columns(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """DuckDB types of the attribute columns; makes the view `profile_rows`."""
    keys = [entry.key, *([entry.as_of] if entry.as_of else [])]
    files = entry.files()
    if files[0].name.endswith((".csv", ".csv.gz")):
        header = _csv_header(files[0])
        _check_columns(keys, header, files[0], "profile")
        try:  # typed, unlike events: DuckDB guesses the types of whole columns
            paths: Any = [str(file) for file in files]
            relation = con.read_csv(paths, header=True, names=header, filename=True)
            relation.project("* EXCLUDE (filename), filename AS _file, row_number() OVER () AS _row").create_view("profile_rows")
        except duckdb.Error as error:
            raise BadInput(f"profile: {files[0]} cannot be read: {_first_line(error)}.") from None
    else:
        _view(con, entry, "profile_rows", keys, "profile")
    types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE profile_rows)").fetchall())
    return {name: kind for name, kind in types.items() if name not in (*keys, "_file", "_row")}


def _attribute_type(kind: str) -> str:
    if kind == "BOOLEAN":
        return "bool"
    if kind.endswith("INT") or kind.endswith("INTEGER"):
        return "int"
    return "float" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "string"


def attribute_name(column: str) -> str:
    """A profile column as an attribute: letters, digits and underscores, as filters and the index need it.

    A name that means something else in the platform or its index gets the prefix `profile_`.
    """
    name = re.sub(r"\W", "_", column.strip(), flags=re.ASCII) or "_"
    name = f"_{name}" if name[:1].isdigit() else name
    return f"profile_{name}" if name.lower() in RESERVED else name


RESERVED = frozenset(
    {
        *(f.name for f in (*SNAPSHOT_KEYS, *ACTIVITY_FEATURES, *SEQUENCE_FEATURES, *SEARCH_FEATURES)),
        *("user_id", "fold", "as_of", "vector", "history_events", "day", "first_day", "reason", "newest", "_file", "_row"),
        *("and", "or", "not", "in", "like", "is", "null", "exists", "true", "false"),  # of the index's expressions
    }
)


def scan(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Reads every event of the source into the table `scanned`, one row a source row, `reason` null where it is good."""
    assert config.span is not None
    con.execute(
        "CREATE TABLE scanned (channel VARCHAR, file VARCHAR, row_number BIGINT, user_id VARCHAR, event_time TIMESTAMPTZ, "
        "text VARCHAR, text_id BIGINT, category VARCHAR, amount DOUBLE, status VARCHAR, payment_method VARCHAR, "
        "event_id VARCHAR, arrived_at TIMESTAMPTZ, exposure BOOLEAN, reason VARCHAR)"
    )
    # an open span ends with today: what is dated later is no news but a mistake
    end = config.span.end or dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
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
        if not entry.is_delta() and entry.files()[0].name.endswith((".csv", ".csv.gz")):
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
    return _with_hashes(rows)


def _with_hashes(rows: pa.Table) -> pa.Table:
    names = rows["file"].to_pylist()
    hashes = {name: file_sha256(name) if Path(name).is_file() else "" for name in set(names)}
    return rows.append_column("file_sha256", pa.array([hashes[name] for name in names], pa.string()))


def read_profile(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, schema: dict[str, str]) -> tuple[pa.Table, pa.Table]:
    """Good profile rows (user_id, as_of, attributes) and refused ones (quarantine columns).

    One row a user and `as_of` is kept; without `as_of` one row a user.
    """
    columns = _profile_columns(con, entry)
    sql_types = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
    found = {attribute_name(c): _attribute_type(kind) for c, kind in columns.items()}
    if found != schema:
        changed = sorted(set(found.items()) ^ set(schema.items()))
        raise BadInput(
            f"profile: the attributes of {entry.path} are not those this home was made with "
            f"({', '.join(dict.fromkeys(name for name, _ in changed))}): use another --home for them."
        )
    as_of = f"TRY_CAST({quote(entry.as_of)} AS TIMESTAMPTZ)" if entry.as_of else "CAST(NULL AS TIMESTAMPTZ)"
    attributes = ""
    for column in columns:
        name = attribute_name(column)
        value = f"TRY_CAST({quote(column)} AS {sql_types[schema[name]]})"
        if schema[name] == "float":  # NaN and infinity mean unknown, and compare differently from engine to engine
            value = f"CASE WHEN isfinite({value}) THEN {value} END"
        attributes += f", {value} AS {quote(name)}"
    _query(
        con,
        "profile",
        "CREATE OR REPLACE TEMP TABLE profile_scanned AS SELECT *, CASE WHEN user_id IS NULL THEN 'no user_id' "
        "WHEN trim(user_id) = '' THEN 'empty user_id' "
        + ("WHEN as_of IS NULL THEN 'no readable as_of' " if entry.as_of else "")
        + "WHEN row_number() OVER (PARTITION BY user_id, as_of ORDER BY _file, _row) > 1 THEN 'repeated profile row' END AS reason "
        f"FROM (SELECT _file, _row, CAST({quote(entry.key)} AS VARCHAR) AS user_id, {as_of} AS as_of{attributes} "
        "FROM profile_rows)",
    )
    good = con.execute("SELECT * EXCLUDE (_file, _row, reason) FROM profile_scanned WHERE reason IS NULL").to_arrow_table()
    bad = con.execute(
        "SELECT 'profile' AS channel, _file AS file, _row AS row_number, reason FROM profile_scanned WHERE reason IS NOT NULL"
    ).to_arrow_table()
    return good, _with_hashes(bad)
