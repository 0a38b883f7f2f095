"""The scan: every row of a source is read once and becomes a contract row, a reason, or a row that is left aside and counted.

What belongs here: checking events, counting. What does not: reading files (`files`, `mapping`), what the whole of a channel says
(`review`), where good rows are staged (`staging`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from found_platform.contract import EVENT_OPTIONAL, EVENT_REQUIRED, MAX_TEXT, RETURN
from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.sources import expressions, mapping, sandbox, times, values
from found_platform.sources.config import ChannelEntry, SourceConfig, Span
from found_platform.sources.files import (
    Part,
    check_whole,
    first_line,
    forget_rejects,
    in_parallel,
    number_refused,
    parts,
    take_rejects,
    with_hashes,
)
from found_platform.sources.mapping import Cells, Value
from found_platform.sources.options import TimeColumn
from found_platform.sources.origins import Lookup
from found_platform.sources.profile import profile_attributes
from found_platform.sources.progress import Progress

# the second form costs three times as much, and few texts need it
PLAIN = r"regexp_matches(text, '[^ -~]|  |^ | $')"
NORMALISED = rf"CASE WHEN {PLAIN} THEN trim(regexp_replace(nfc_normalize(text), '[\t\n\f\r ]+', ' ', 'g'), ' ') ELSE text END"
TEXT_ID = "CAST(CAST(md5_number_lower(text) AS BIT) AS BIGINT)"
"""A 64-bit hash of the normalised text: the second half of its MD5, little-endian, signed."""

REPEATED, OUTSIDE = "repeated event_id", "event_time outside the span"
ASIDE = (REPEATED, OUTSIDE)
"""Reasons that are no faults: the rows are counted and left aside."""
SEPARATOR = "\x1f"  # between remarks on a row


@dataclass(frozen=True)
class ChannelReport:
    """What the scan found in one channel. Days are UTC; `bad` counts refused rows by reason.

    `rows` are those that `where` leaves: good, bad, repeated and outside the span.
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

    @property
    def bad_rows(self) -> int:
        return sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        """Of the rows that were to become events."""
        return self.bad_rows / (self.good + self.bad_rows) if self.bad_rows else 0.0


def bad_share(reports: Sequence[ChannelReport]) -> float:
    """Of the rows of all channels that were to become events."""
    bad = sum(r.bad_rows for r in reports)
    return bad / (bad + sum(r.good for r in reports)) if bad else 0.0


CONTRACT = EVENT_REQUIRED + EVENT_OPTIONAL


@dataclass(frozen=True)
class Entry:
    """A channel entry whose files were opened: what each wanted value is called in them, and how expressions see their columns."""

    number: int
    channel: str
    entry: ChannelEntry
    files: list[Part]
    texts: dict[str, str]
    lookups: dict[str, tuple[Lookup, str]]  # by contract column, with the table that holds it
    types: mapping.Types
    notes: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"channel {self.channel!r}"


def _entries(config: SourceConfig) -> list[tuple[str, ChannelEntry]]:
    return [(channel, entry) for channel, entries in config.channels.items() for entry in entries]


def _open(con: duckdb.DuckDBPyConnection, number: int, channel: str, entry: ChannelEntry, lookups: bool = True) -> Entry:
    """Opens an entry's files. Raises BadInput for what cannot be read, a missing column, or an expression that cannot be used."""
    where = f"channel {channel!r}"
    files = parts(con, entry, where)
    texts: dict[str, str] = {}
    tables: dict[str, tuple[Lookup, str]] = {}
    notes = [part.note for part in files if part.note]
    for name, column in entry.columns.items():
        if isinstance(column, Lookup):
            texts[f"key_{name}"] = column.on or column.key
            table = f"lookup_{number}_{name}"
            if lookups:
                several = mapping.lookup_table(con, column, table, where)
                if several:
                    notes.append(
                        f"{column.title}: {several:,} of its keys have several values of {column.column!r}, the first one counts"
                    )
            tables[name] = (column, table)
        else:
            texts[name] = column.column if isinstance(column, TimeColumn) else column
    texts |= {name: text for name, text in (("where", entry.where), ("returns", entry.returns)) if text}
    columns = []
    for part in files:
        cells = Cells(con, part, entry, where)
        parsed = mapping.expressions_in(con, cells, texts)
        columns = [path for expression in parsed.values() for path in expression.columns] or columns
    types = mapping.text_types(con, entry, files, where, columns)
    return Entry(number, channel, entry, files, texts, tables, types, tuple(dict.fromkeys(notes)))


def _values(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part) -> tuple[Cells, dict[str, Value]]:
    """The cells of one file of an entry, and the wanted values. Raises BadInput for a value of the wrong kind."""
    cells = Cells(con, part, entry.entry, entry.where)
    parsed = mapping.expressions_in(con, cells, entry.texts)
    wanted = mapping.values_of(cells, entry.texts, parsed, entry.types)
    for name, value in wanted.items():
        if name in ("where", "returns"):
            if value.kind != "BOOLEAN":
                raise BadInput(
                    f"{entry.where}: `{name}` cannot be read: `{entry.texts[name]}` is neither true nor false but of "
                    f"type {value.kind}: "
                    "write a comparison, such as \"status = 'paid'\"."
                )
        elif name in ("event_time", "arrived_at"):
            _check_time(con, entry, part, cells, name, value)
        elif not values.is_plain(value.kind):
            raise BadInput(
                f"{entry.where}: {name} is {entry.texts[name]!r} of {part.file}, which holds several values in one: "
                f"name a field of it."
            )
    for name in ("user_id", "event_id"):
        value = wanted.get(name)
        if value is None or value.cell is None:
            continue
        told = mapping.declared(entry.entry, cells.paths[value.cell])
        if told:
            kind = values.SQL_TYPES[told]
            sql = values.as_type(value.sql, value.kind, told, entry.entry.decimal)
            wanted[name] = Value(sql, kind, value.cell)
    return cells, wanted


def _check_time(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, cells: Cells, name: str, value: Value) -> None:
    rule = entry.entry.time_rule(name)
    if times.can_be_time(value.kind, rule):
        return
    example = ""
    if values.is_number(value.kind):
        row = con.execute(
            f"SELECT {values.as_text(value.sql, value.kind)} FROM {cells.relation()} WHERE {value.sql} IS NOT NULL LIMIT 1"
        ).fetchone()
        remedy = times.remedy(con, [row[0]]) if row and row[0] else ""
        example = f" (row 1 or later has {row[0]})" if row and row[0] else ""
        if remedy:
            raise BadInput(
                f"{entry.where}: {name} is a column of type {value.kind}, not a time{example}: {remedy} in the source "
                f"file would read it."
            )
    raise BadInput(
        f"{entry.where}: {name} is a column of type {value.kind}, not a time{example}: say `unit:` or `format:` in "
        f"the source file, "
        "or convert it to a timestamp."
    )


def in_order(entry: Entry, part: Part) -> bool:
    """Whether the order in which a file's rows are inserted numbers them: then several threads may read it."""
    return part.rejects and not entry.lookups


def _raw(entry: Entry, cells: Cells, wanted: dict[str, Value]) -> str:
    """SQL of one file: `_row`, `keep` (null: no row at all), and `x_` of each contract column, as `wanted` has it."""
    keep = f"coalesce({wanted['where'].sql}, false)" if "where" in wanted else "true"
    user = wanted["user_id"].cell
    columns = [f"CASE WHEN _blank THEN NULL WHEN NOT coalesce(_json, false) THEN true ELSE {keep} END AS keep", "_json", "_row"]
    columns += [f"CASE WHEN {keep} THEN {value.sql} END AS x_{name}" for name, value in wanted.items() if name != "where"]
    remarks = [
        cells.placeholder(name, value.cell)
        for name, value in wanted.items()
        if value.cell is not None and values.is_text(cells.kinds[value.cell]) and not name.startswith("key_")
    ]
    listed = f"nullif(concat_ws('{SEPARATOR}', {', '.join(remarks)}), '')" if remarks else "NULL"
    columns.append(f"CASE WHEN {keep} THEN {listed} END AS remarks")
    return f"(SELECT {', '.join(columns)} FROM {cells.relation(user, numbered=not in_order(entry, cells.part))})"


def _event(entry: Entry, part: Part, wanted: dict[str, Value], raw: str) -> str:
    """SQL of one file's rows in contract columns, unchecked."""

    def text(name: str) -> str:
        if name in entry.lookups:
            return f"{entry.lookups[name][1]}.value"
        return values.as_text(f"x_{name}", wanted[name].kind) if name in wanted else "CAST(NULL AS VARCHAR)"

    def time(name: str) -> str:
        if name not in wanted:
            return "CAST(NULL AS TIMESTAMPTZ)"
        return times.moment(f"x_{name}", wanted[name].kind, entry.entry.time_rule(name))

    def present(name: str) -> str:
        return f"x_{name} IS NOT NULL" if name in wanted else "false"

    def cell(name: str) -> str:
        return f"CAST(x_{name} AS VARCHAR)" if name in wanted else "NULL"

    amount = values.as_number("x_amount", wanted["amount"].kind, entry.entry) if "amount" in wanted else "CAST(NULL AS DOUBLE)"
    unmatched = {name: f"x_key_{name} IS NOT NULL AND {table}.key IS NULL" for name, (_, table) in entry.lookups.items()}
    remarks = ["remarks", *(f"CASE WHEN {no} THEN {literal(name + ': no match')} END" for name, no in unmatched.items())]
    joins = "".join(
        f" LEFT JOIN {table} ON {table}.key = trim({values.as_text(f'x_key_{name}', wanted[f'key_{name}'].kind)})"
        for name, (_, table) in entry.lookups.items()
    )
    return f"""
        SELECT keep, {"CAST(NULL AS BIGINT)" if in_order(entry, part) else "_row"} AS row_number,
            coalesce(_json, false) AS readable,
            {text("user_id")} AS user_id, {cell("user_id")} AS raw_user,
            {values.lost_digits("x_user_id", wanted["user_id"].kind)} AS lost_digits,
            {time("event_time")} AS event_time, {cell("event_time")} AS raw_time, {present("event_time")} AS has_time,
            {text("text")} AS text, {unmatched.get("text", "false")} AS unmatched, {text("category")} AS category,
            {amount} AS amount, {cell("amount")} AS raw_amount, {present("amount")} AS has_amount,
            {text("status")} AS status, {text("payment_method")} AS payment_method,
            nullif({values.trimmed(text("event_id"))}, '') AS event_id,
            {time("arrived_at")} AS arrived_at, {cell("arrived_at")} AS raw_arrived, {present("arrived_at")} AS has_arrived,
            {"coalesce(x_returns, false)" if "returns" in wanted else "false"} AS returned,
            nullif(concat_ws('{SEPARATOR}', {", ".join(remarks)}), '') AS remarks
        FROM {raw} raw{joins}"""


def discover(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> SourceConfig:
    """The same config with its span and profile schema filled in; reads times and footers only, writes nothing.

    Raises BadInput for a missing file, a wrong column, or a channel without rows.
    """
    sandbox.lock_source(con, config)
    first, last = [], []
    progress = Progress(con, "looking for days", _files(config))
    for number, (channel, given) in enumerate(_entries(config)):
        entry = _open(con, number, channel, given, lookups=False)
        rows, days, unread = 0, [], []
        for part in entry.files:
            read = _event_times(con, entry, part)
            with progress.file(part.file):
                row = _run(
                    con,
                    entry,
                    part,
                    "SELECT count(*), min(day), max(day) FROM (SELECT "
                    f"{times.day('event_time')} AS day FROM ({read})) "
                    "WHERE day IS NULL OR day BETWEEN DATE '0001-01-02' AND DATE '9999-12-30'",
                ).fetchall()[0]
            rows += row[0]
            progress.rows(rows)
            days += [day for day in row[1:] if day is not None]
            if part.rejects:
                take_rejects(con, part, entry.where)
            if row[0] and row[1] is None:
                unread.append(part)
        if rows == 0:
            raise BadInput(
                f"channel {channel!r} is empty: {given.path} has no rows" + (f" where {given.where}." if given.where else ".")
            )
        if not days:
            raise _unreadable(con, entry, unread[0])
        first.append(min(days))
        last.append(max(days))
    progress.close()
    span = config.span or Span(start=min(first), end=max(last) + dt.timedelta(days=1))
    schema = profile_attributes(con, config.profile) if config.profile else {}
    return config.model_copy(update={"span": span, "profile_schema": schema})


def _event_times(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, numbered: bool = False) -> str:
    """SQL of the times of one file's rows that `where` keeps: `event_time`, `raw_time`, `_row`."""
    cells, wanted = _values(con, entry, part)
    value = wanted["event_time"]
    keep = f"coalesce({wanted['where'].sql}, false)" if "where" in wanted else "true"
    return (
        f"SELECT {times.moment(value.sql, value.kind, entry.entry.time_rule('event_time'))} AS event_time, "
        f"{value.sql} AS raw_time, _row "
        f"FROM {cells.relation(numbered=numbered)} WHERE NOT _blank AND _json AND {keep}"
    )


def _run(
    con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, sql: str, parameters: list[Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """Runs SQL over one file. Raises BadInput that names the file for what only reading shows."""
    try:
        return con.execute(sql, parameters or [])
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        used = [f"`{mapping.label(name)}: {text}`" for name, text in entry.texts.items() if not expressions.is_name(text)]
        if not used or "state machine" in str(error):
            raise BadInput(f"{entry.where}: {part.file} cannot be read: {first_line(error)}.") from None
        raise BadInput(
            f"{entry.where}: {part.file} has a row for which {' or '.join(used)} cannot be computed "
            f"({expressions.engine_words(error, {})}): write TRY_CAST for CAST, or say `types:` of the columns in it."
        ) from None
    except duckdb.Error as error:
        raise BadInput(f"{entry.where}: {part.file} cannot be read: {first_line(error)}.") from None


def _unreadable(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part) -> BadInput:
    """The error of an entry none of whose times can be read: with a value, its row, and what would read it."""
    column, read = entry.texts["event_time"], _event_times(con, entry, part, numbered=True)
    rows = con.execute(f"SELECT _row, CAST(raw_time AS VARCHAR) FROM ({read}) WHERE raw_time IS NOT NULL LIMIT 1000").fetchall()
    forget_rejects(con)
    if not rows:
        return BadInput(f"{entry.where}: no row of {part.file} has an event_time: {column!r} is empty everywhere.")
    number, value = min(rows)
    return BadInput(
        f"{entry.where}: no row of {part.file} has a readable event_time in {column!r}: row {number:,} has {value!r}"
        f"{_remedy(con, [row[1] for row in rows])}."
    )


def _remedy(con: duckdb.DuckDBPyConnection, samples: list[str]) -> str:
    remedy = times.remedy(con, samples)
    return f"; {remedy} in the source file would read it" if remedy else "; say its `format:` in the source file"


def _files(config: SourceConfig) -> list[Any]:
    return [file for _, entry in _entries(config) for file in ([entry.path] if entry.is_delta() else entry.files())]


ROWS = """CREATE OR REPLACE TABLE scan_rows (part INTEGER, row_number BIGINT, keep BOOLEAN, user_id VARCHAR, event_time TIMESTAMPTZ,
    text VARCHAR, text_id BIGINT, category VARCHAR, amount DOUBLE, status VARCHAR, payment_method VARCHAR, event_id VARCHAR,
    arrived_at TIMESTAMPTZ, exposure BOOLEAN, reason VARCHAR, value VARCHAR, remarks VARCHAR)"""
"""Every row of every file, in their order; `keep` is false where `where` leaves it out, null where a line is no row."""

SCANNED = """CREATE OR REPLACE VIEW scanned AS SELECT p.entry, p.channel, p.file,
    coalesce(r.row_number, r.rowid - p.first + 1) AS row_number, r.user_id, r.event_time, r.text, r.text_id, r.category, r.amount,
    r.status, r.payment_method, r.event_id, r.arrived_at, r.exposure, {reason} AS reason, r.value, r.remarks
    FROM scan_rows r JOIN scan_parts p USING (part){joins} WHERE r.keep"""


def scan(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Reads every event of the source into `scanned`, one row a source row, `reason` null where it is good.

    In a CSV file "no user_id" is nothing between two commas, and "empty user_id" a quoted text of nothing or of spaces. Of rows
    with the same `event_id` in a channel the first is kept, by file name and row.
    """
    sandbox.lock_source(con, config)
    con.execute(ROWS)
    con.execute("CREATE OR REPLACE TABLE scan_parts (part INTEGER, entry INTEGER, channel VARCHAR, file VARCHAR, first BIGINT)")
    con.execute("CREATE OR REPLACE TABLE scan_notes (channel VARCHAR, note VARCHAR)")
    con.execute(
        "CREATE OR REPLACE TABLE refused (entry INTEGER, channel VARCHAR, file VARCHAR, row_number BIGINT, reason VARCHAR, "
        "value VARCHAR, unread BOOLEAN)"
    )
    start = f"{config.span.start}T00:00:00Z" if config.span else None
    # an open span ends with today: what is dated later is no news but a mistake
    end = config.span.end if config.span and config.span.end else dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    count, first = 0, 0
    progress = Progress(con, "reading events", _files(config))
    for number, (channel, given) in enumerate(_entries(config)):
        entry = _open(con, number, channel, given)
        con.executemany("INSERT INTO scan_notes VALUES (?, ?)", [[channel, note] for note in entry.notes]) if entry.notes else None
        for part in entry.files:
            con.execute("INSERT INTO scan_parts VALUES (?, ?, ?, ?, ?)", [count, number, channel, part.file, first])
            with progress.file(part.file):
                taken = _take(con, entry, part, count, [start, f"{end}T00:00:00Z"])
            _refuse(con, entry, part, count, taken)
            first += taken
            progress.rows(first)
            count += 1
    progress.close()
    con.execute(SCANNED.format(reason="r.reason", joins=""))
    _mark_repeats(con)
    clash = con.execute(
        "SELECT text_id, min(text), max(text) FROM scanned WHERE reason IS NULL GROUP BY 1 HAVING min(text) <> max(text) LIMIT 1"
    ).fetchone()
    if clash:
        raise BadInput(f"The texts {clash[1]!r} and {clash[2]!r} have the same 64-bit hash: change one of them.")


def _take(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, number: int, span: list[Any]) -> int:
    """Inserts one file, and returns how many rows it has that could be read."""
    read = in_parallel(part) if in_order(entry, part) else part
    forget_rejects(con)
    inserted = _run(con, entry, part, _insert(entry, read, *_values(con, entry, read), number), span).fetchone()
    return int(inserted[0]) if inserted else 0


def _insert(entry: Entry, part: Part, cells: Cells, wanted: dict[str, Value], number: int) -> str:
    """SQL that inserts one file; its parameters are the first day of the span and the day after the last one."""
    event = _event(entry, part, wanted, _raw(entry, cells, wanted))
    back = "returned OR coalesce(amount < 0, false)" if entry.channel == "pay_bill" and not entry.entry.exposure else "returned"
    unmatched = "text"
    if "text" in entry.lookups:
        lookup = entry.lookups["text"][0]
        unmatched = f"{lookup.on or lookup.key} is not in {lookup.title}"
    return f"""
        INSERT INTO scan_rows BY NAME
        SELECT * EXCLUDE (raw_user, raw_time, raw_amount, raw_arrived), CASE reason
                WHEN 'unparsable event_time' THEN raw_time WHEN 'amount is not a number' THEN raw_amount
                WHEN 'amount is not finite' THEN raw_amount WHEN 'unparsable arrived_at' THEN raw_arrived
                WHEN '{LOST_DIGITS}' THEN raw_user END AS value
        FROM (SELECT {number} AS part, row_number, keep, user_id, event_time, text, {TEXT_ID} AS text_id, category, amount,
            CASE WHEN {back} THEN '{RETURN}' ELSE status END AS status, payment_method, event_id,
            greatest(event_time, coalesce(arrived_at, event_time)) AS arrived_at, {str(entry.entry.exposure).lower()} AS exposure,
            raw_user, raw_time, raw_amount, raw_arrived, remarks,
            CASE WHEN keep IS NOT TRUE THEN NULL
                 WHEN NOT readable THEN 'not readable as JSON'
                 WHEN lost_digits THEN '{LOST_DIGITS}'
                 WHEN user_id IS NULL THEN 'no user_id'
                 WHEN trim(user_id) = '' THEN 'empty user_id'
                 WHEN NOT has_time THEN 'no event_time'
                 WHEN event_time IS NULL THEN 'unparsable event_time'
                 WHEN event_time < CAST(? AS TIMESTAMPTZ) OR event_time >= CAST(? AS TIMESTAMPTZ) THEN '{OUTSIDE}'
                 WHEN unmatched THEN {literal(unmatched)}
                 WHEN coalesce(text, '') = '' THEN 'empty text'
                 WHEN length(text) > {MAX_TEXT} THEN 'text over {MAX_TEXT} characters'
                 WHEN has_amount AND amount IS NULL THEN 'amount is not a number'
                 WHEN NOT isfinite(amount) THEN 'amount is not finite'
                 WHEN has_arrived AND arrived_at IS NULL THEN 'unparsable arrived_at'
            END AS reason
        FROM (SELECT * REPLACE ({NORMALISED} AS text) FROM ({event})))"""


LOST_DIGITS = "user_id is a float without its last digits"


def _refuse(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, number: int, taken: int) -> None:
    """Adds the faulty rows of one file to `refused`: those of the `taken` that were read, and those that could not be.

    A row that could not be read belongs to no channel; it is counted once, in the first entry that reads its file.
    """
    aside = ", ".join(map(literal, ASIDE))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE refused_here AS SELECT coalesce(r.row_number, r.rowid - p.first + 1) AS row_number, "
        f"reason, value FROM scan_rows r JOIN scan_parts p USING (part) WHERE r.part = {number} AND keep AND reason "
        f"NOT IN ({aside})"
    )
    if part.rejects:
        take_rejects(con, part, entry.where)
        ((unread,),) = con.execute("SELECT count(*) FROM rejects").fetchall()
        check_whole(part, taken + unread, entry.where)
        number_refused(con, "refused_here", part)
    con.execute(
        "INSERT INTO refused SELECT ?, ?, ?, row_number, reason, value, false FROM refused_here",
        [entry.number, entry.channel, part.file],
    )
    if part.rejects:
        con.execute(
            "INSERT INTO refused SELECT ?, ?, ?, row_number, reason, NULL, true FROM rejects WHERE row_number NOT IN "
            "(SELECT row_number FROM refused WHERE unread AND file = ?)",
            [entry.number, entry.channel, part.file, part.file],
        )


def _mark_repeats(con: duckdb.DuckDBPyConnection) -> None:
    """Finds the good rows whose event_id came before in their channel, by file name and row, and gives them that reason."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE several AS SELECT h FROM (SELECT hash(channel, event_id) AS h FROM scanned "
        "WHERE reason IS NULL AND event_id IS NOT NULL) GROUP BY 1 HAVING count(*) > 1"
    )
    con.execute(
        "CREATE OR REPLACE TABLE repeats AS SELECT id FROM (SELECT r.rowid AS id, row_number() OVER "
        "(PARTITION BY channel, event_id ORDER BY file, coalesce(r.row_number, r.rowid - p.first), entry) AS n "
        "FROM scan_rows r JOIN scan_parts p USING (part) WHERE keep AND reason IS NULL AND event_id IS NOT NULL "
        "AND hash(channel, event_id) IN (SELECT h FROM several)) WHERE n > 1"
    )
    if con.execute("SELECT 1 FROM repeats LIMIT 1").fetchone():
        reason = f"CASE WHEN again.id IS NOT NULL THEN {literal(REPEATED)} ELSE r.reason END"
        con.execute(SCANNED.format(reason=reason, joins=" LEFT JOIN repeats again ON again.id = r.rowid"))


def report(con: duckdb.DuckDBPyConnection) -> list[ChannelReport]:
    """Counts of the scan, a line each channel."""
    good = {
        row[0]: row[1:]
        for row in con.execute(
            "SELECT channel, count(*), count(DISTINCT user_id), count(DISTINCT text_id), min(day), max(day), "
            f"count(*) FILTER (status = {literal(RETURN)}) FROM (SELECT *, {times.day('event_time')} "
            f"AS day FROM scanned "
            "WHERE reason IS NULL) GROUP BY 1"
        ).fetchall()
    }
    aside: dict[tuple[str, str], int] = {
        (channel, reason): n
        for channel, reason, n in con.execute(
            f"SELECT channel, reason, count(*) FROM scanned WHERE reason IN ({', '.join(map(literal, ASIDE))}) GROUP BY 1, 2"
        ).fetchall()
    }
    bad: dict[str, dict[str, int]] = {}
    for channel, reason, n in con.execute("SELECT channel, reason, count(*) FROM refused GROUP BY 1, 2 ORDER BY 1, 2").fetchall():
        bad.setdefault(channel, {})[reason] = n
    left_out = dict(
        con.execute("SELECT channel, count(*) FROM scan_rows JOIN scan_parts USING (part) WHERE NOT keep GROUP BY 1").fetchall()
    )
    nulls: dict[str, dict[str, int]] = {}
    for channel, remark, n in con.execute(
        f"SELECT channel, remark, count(*) FROM (SELECT channel, unnest(string_split(remarks, '{SEPARATOR}')) AS "
        f"remark FROM scanned "
        "WHERE remarks IS NOT NULL) GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).fetchall():
        nulls.setdefault(channel, {})[remark] = n
    channels = [row[0] for row in con.execute("SELECT DISTINCT channel FROM scan_parts ORDER BY 1").fetchall()]
    reports = []
    for channel in channels:
        n, users, texts, first, last, returns = good.get(channel, (0, 0, 0, None, None, 0))
        faults = bad.get(channel, {})
        repeats, outside = (aside.get((channel, reason), 0) for reason in ASIDE)
        rows = n + sum(faults.values()) + repeats + outside
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
            )
        )
    return reports


def equal_rows(con: duckdb.DuckDBPyConnection) -> int:
    """Good rows without an `event_id` that repeat another in every column. They are kept: a basket may hold two."""
    row = con.execute(
        "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM (SELECT hash(channel, user_id, event_time, "
        "text_id, category, "
        "amount, status, payment_method, exposure) AS h FROM scanned WHERE reason IS NULL AND event_id IS NULL) GROUP BY h)"
    ).fetchone()
    return int(row[0]) if row else 0


def quarantined(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """The refused rows in the contract's quarantine columns."""
    rows = con.execute("SELECT channel, file, row_number, reason FROM refused ORDER BY channel, file, row_number").to_arrow_table()
    return with_hashes(rows)
