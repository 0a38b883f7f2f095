"""The scan: every row of a source is read once and becomes a contract row, a reason, or a row that is left aside and counted.

What belongs here: the tables of a scan and filling them, repeats. What does not: what makes a row good (`rows`), counting
(`counts`), what the whole of a channel says (`review`), where good rows are staged (`staging`).
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.sources import sandbox, totals
from found_platform.sources.config import SourceConfig
from found_platform.sources.entries import Entry, entries_of, files_of, open_entry, run, values_in
from found_platform.sources.files import Part, check_whole, forget_rejects, gaps, in_parallel, take_rejects
from found_platform.sources.progress import Progress
from found_platform.sources.rows import ASIDE, ERASED, REPEATED, in_order, insertion

ROWS = """CREATE OR REPLACE TABLE scan_rows (part INTEGER, row_number BIGINT, keep BOOLEAN, user_id VARCHAR, event_time TIMESTAMPTZ,
    text VARCHAR, text_id BIGINT, category VARCHAR, amount DOUBLE, status VARCHAR, payment_method VARCHAR, event_id VARCHAR,
    arrived_at TIMESTAMPTZ, exposure BOOLEAN, reason VARCHAR, value VARCHAR, remarks VARCHAR)"""
"""Every row of every file, in their order; `keep` is false where `where` leaves it out, null where a line is no row."""

OF_EVENT = ("event_time", "text", "text_id", "category", "amount", "status", "payment_method", "event_id", "arrived_at", "exposure")
"""The columns of `scan_rows` that become those of an event."""

JUDGED = """SELECT r.part, p.entry, p.channel, p.file, {number} AS row_number, r.keep, r.user_id, {of_event}, {reason} AS reason,
    r.value, r.remarks FROM scan_rows r JOIN scan_parts p ON r.part = p.part{joins}"""
SCANNED = f"""SELECT part, entry, channel, file, row_number, user_id, {", ".join(OF_EVENT)}, reason, value, remarks
    FROM scan_judged WHERE keep"""
"""Their `row_number` counts the rows of the file that could be read; `numbered` has the file's own."""

REPEATS = pa.schema([("part", pa.int32()), ("row_number", pa.int64())])

NUMBER = "coalesce(r.row_number, r.rowid - p.first + 1)"
"""Of a row of the table `scan_rows`; rows in files have theirs."""


def numbered(condition: str) -> str:
    """SQL of the rows of `scanned` under a condition, numbered as they stand in their files."""
    return (
        "(SELECT s.* REPLACE (s.row_number + coalesce(g.n, 0) AS row_number) "
        f"FROM (FROM scanned WHERE {condition}) s ASOF LEFT JOIN scan_gaps g ON s.part = g.part AND s.row_number > g.before)"
    )


def refused() -> str:
    """SQL of every row with a fault, also those that are no rows: `channel`, `file`, `row_number`, `reason`, `value`."""
    faulty = numbered(f"reason NOT IN ({', '.join(map(literal, ASIDE))})")
    return (
        f"(SELECT channel, file, row_number, reason, value FROM {faulty} UNION ALL "
        "SELECT channel, file, row_number, reason, NULL FROM scan_unread)"
    )


def scan(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Reads every event of the source into `scanned`, one row a source row, `reason` null where it is good.

    In a CSV file "no user_id" is nothing between two commas, and "empty user_id" a quoted text of nothing or of spaces. Of rows
    with the same `event_id` in a channel the first is kept, by file name and row.
    """
    sandbox.lock_source(con, config)
    create_tables(con)
    span, count, first = bounds_of(config), 0, 0
    progress = Progress(con, "reading events", files_of(config))
    for number, (channel, channel_entry) in enumerate(entries_of(config)):
        entry = open_entry(con, number, channel, channel_entry)
        note(con, channel, entry.notes)
        for part in entry.files:
            with progress.files(part.names):
                first += take(con, entry, part, count, first, span)
            progress.rows(first)
            count += len(part.names)
    progress.close()
    finish(totals.InProcess(con))


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """The tables of a scan, empty; a part is a file."""
    totals.forget(con, "repeats", *totals.TOTALS)
    con.execute(ROWS)
    con.execute("CREATE OR REPLACE TABLE scan_parts (part INTEGER, entry INTEGER, channel VARCHAR, file VARCHAR, first BIGINT)")
    con.execute("CREATE OR REPLACE TABLE scan_notes (channel VARCHAR, note VARCHAR)")
    con.execute("CREATE OR REPLACE TABLE scan_gaps (part INTEGER, before BIGINT, n BIGINT)")
    con.execute("CREATE OR REPLACE TABLE scan_unread (channel VARCHAR, file VARCHAR, row_number BIGINT, reason VARCHAR)")


def bounds_of(config: SourceConfig) -> list[Any]:
    """The first moment of the days that are read, None where any may be, and the first one after them."""
    start = f"{config.span.start}T00:00:00Z" if config.span else None
    # an open span ends with today: what is dated later is no news but a mistake
    end = config.span.end if config.span and config.span.end else dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    return [start, f"{end}T00:00:00Z"]


def note(con: duckdb.DuckDBPyConnection, channel: str, notes: Sequence[str]) -> None:
    """Keeps what there is to say of the files of a channel."""
    if notes:
        con.executemany("INSERT INTO scan_notes VALUES (?, ?)", [[channel, text] for text in notes])


def take(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, number: int, first: int, span: list[Any]) -> int:
    """Reads one part, whose files are numbered from `number` on, after the `first` rows of before; returns how many it has."""
    con.execute(
        "INSERT INTO scan_parts SELECT ? + unnest(range(len(files))), ?, ?, unnest(files), ? FROM (SELECT ? AS files)",
        [number, entry.number, entry.channel, first, part.names],
    )
    inserted = _insert(con, entry, part, number, span)
    if part.rejects:
        _leave_unread(con, entry, part, number, inserted)
    return inserted


def finish(asked: totals.Asked) -> None:
    """What is known once every row is read: the view `scanned`, and repeats."""
    view_rows(asked)
    asked.keep("repeats", totals.Total(_repeats(_number(asked.con)), REPEATS, large=True))
    if _is_repeated(asked.con):
        view_rows(asked)
    for name in ("by_text", "clashes"):
        asked.keep(name, totals.TOTALS[name])
    clash = asked.con.execute("SELECT text, last_text FROM clashes").fetchone()
    if clash:
        raise BadInput(f"The texts {clash[0]!r} and {clash[1]!r} have the same 64-bit hash: change one of them.")


def view_rows(asked: totals.Asked) -> None:
    """Makes the views over the rows of a scan, as far as it is known which of them repeat others, and who was erased."""
    if is_in_files(asked.con):
        asked.view("scan_rows", _without_erased() if totals.exists(asked.con, "aside") else "SELECT * FROM scan_files")
    number, reason, joins = _number(asked.con), "r.reason", ""
    if totals.exists(asked.con, "repeats") and _is_repeated(asked.con):
        reason = f"CASE WHEN again.part IS NOT NULL THEN {literal(REPEATED)} ELSE r.reason END"
        joins = f" LEFT JOIN repeats again ON again.part = r.part AND again.row_number = {number}"
    of_event = ", ".join(f"r.{name}" for name in OF_EVENT)
    asked.view("scan_judged", JUDGED.format(number=number, reason=reason, joins=joins, of_event=of_event))
    asked.view("scanned", SCANNED)


def _number(con: duckdb.DuckDBPyConnection) -> str:
    """SQL of a row's number in its file."""
    return "r.row_number" if is_in_files(con) else NUMBER


def _is_repeated(con: duckdb.DuckDBPyConnection) -> bool:
    return con.execute("SELECT 1 FROM repeats LIMIT 1").fetchone() is not None


def _insert(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, number: int, span: list[Any]) -> int:
    """Inserts one part, and returns how many rows it has that could be read. Of several files an error names the one it is in."""
    read = in_parallel(part) if in_order(entry, part) else part
    forget_rejects(con)
    sql = insertion(entry, read, *values_in(con, entry, read), number)
    try:
        inserted = run(con, entry, part, sql, span).fetchone()
    except BadInput:
        if not part.each:
            raise
        return sum(_insert(con, entry, single, number + place, span) for place, single in enumerate(part.each))
    return int(inserted[0]) if inserted else 0


def _leave_unread(con: duckdb.DuckDBPyConnection, entry: Entry, part: Part, number: int, inserted: int) -> None:
    """Keeps the rows of one text file that could not be read, beside the `inserted` ones that were.

    Such a row belongs to no channel; it is counted once, in the first entry that reads its file.
    """
    take_rejects(con, part, entry.where)
    ((unread,),) = con.execute("SELECT count(*) FROM rejects").fetchall()
    check_whole(part, inserted + unread, entry.where)
    con.execute(f"INSERT INTO scan_gaps SELECT ?, before, n FROM ({gaps(con, part)})", [number])
    con.execute(
        "INSERT INTO scan_unread SELECT ?, ?, row_number, reason FROM rejects WHERE row_number NOT IN "
        "(SELECT row_number FROM scan_unread WHERE file = ?)",
        [entry.channel, part.file, part.file],
    )


def user_ids(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The distinct users of a scan, by their raw ids, also those of bad rows; the connection is busy until the last."""
    for batch in con.execute("SELECT DISTINCT user_id FROM scan_rows WHERE user_id IS NOT NULL").to_arrow_reader():
        yield from batch["user_id"].to_pylist()


OF_ERASED = {"reason": f"coalesce(reason, {literal(ERASED)})"} | dict.fromkeys(("user_id", "text", "event_id", "value"), "NULL")
"""What becomes of the columns of a row of somebody who was erased."""


def leave_aside(con: duckdb.DuckDBPyConnection, users: Sequence[str]) -> None:
    """Leaves every row of erased users aside: good ones are counted under a reason of their own, the ids go from all of them."""
    con.register("erased_users", pa.table({"user_id": pa.array(users, pa.string())}))
    if is_in_files(con):
        con.execute("CREATE TABLE aside AS FROM erased_users")
        view_rows(totals.InProcess(con))
    else:
        values = ", ".join(f"{name} = {sql}" for name, sql in OF_ERASED.items())
        con.execute(f"UPDATE scan_rows SET {values} WHERE user_id IN (FROM erased_users)")
    con.unregister("erased_users")
    totals.forget(con)


def _without_erased() -> str:
    """SQL of the rows in files, with what is left of those of erased users."""
    columns = ("part", "row_number", "keep", "user_id", *OF_EVENT, "reason", "value", "remarks")
    values = (f"CASE WHEN a.user_id IS NOT NULL THEN {OF_ERASED[name]} ELSE r.{name} END" for name in OF_ERASED)
    of_erased = dict(zip(OF_ERASED, values, strict=True))
    listed = ", ".join(f"{of_erased.get(name, f'r.{name}')} AS {name}" for name in columns)
    return f"SELECT {listed} FROM scan_files r LEFT JOIN aside a ON r.user_id = a.user_id"


def take_over_files(con: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Lets `scan_rows` be the rows of a relation over files, which have their numbers."""
    con.execute(f"CREATE VIEW scan_files AS FROM {rows}")
    con.execute("DROP TABLE scan_rows")
    con.execute("CREATE VIEW scan_rows AS FROM scan_files")


def is_in_files(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the rows of a scan are in files that workers left, and not in its database."""
    return bool(con.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'scan_files'").fetchone())


def _repeats(number: str) -> str:
    """SQL of the good rows whose event_id came before in their channel, by file name and row."""
    several = (
        "SELECT h FROM (SELECT {hash}(channel, event_id) AS h FROM scanned WHERE reason IS NULL AND event_id IS NOT NULL) i "
        "GROUP BY h HAVING count(*) > 1"
    )
    return (
        f"SELECT part, row_number FROM (SELECT r.part, {number} AS row_number, row_number() OVER (PARTITION BY p.channel, "
        f"r.event_id ORDER BY p.file, {number}, p.entry) AS n FROM scan_rows r JOIN scan_parts p ON r.part = p.part WHERE r.keep "
        f"AND r.reason IS NULL AND r.event_id IS NOT NULL AND {{hash}}(p.channel, r.event_id) IN ({several})) s WHERE n > 1"
    )
