"""Totals of a scan: what is asked of all its rows together, by DuckDB in this process or by an engine over the workers' files.

What belongs here: the queries, in SQL that DuckDB and every engine understand, and who answers them. What does not: what follows
from their answers (`counts`, `review`, `survey`, `growth`), single rows (`rows`), the engine (`spread`).

A total is one query, made once whoever makes it. Its answer stands in the scan's database under its name: as a table, or as a view
over the files that an engine has left where it grows with the users.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import duckdb
import pyarrow as pa

from found_platform.contract import RETURN
from found_platform.sources import times

Function = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

LEFT_OUT = "left out by where"
"""What stands in place of a reason where `where` leaves a row out."""

FEW = 100
"""Good rows of a channel below which a share says nothing."""
TIMES_THE_MEAN = 5
"""An id or a text that holds more than this many times the mean share is asked about; a shop of five users is never."""
LEAST_SHARE = {"user_id": 0.1, "text": 0.3}
"""And at least this share: a tenth of all events is no person's, whoever shops most; a start page may be a quarter of all views."""

EQUAL = "channel, user_id, event_time, text_id, category, amount + 0e0, status, payment_method, exposure"
"""What equal rows have in common; a zero has no sign after the sum."""

WORDS = {
    "duckdb": {"hash": "hash", "moment": "TIMESTAMPTZ", "day": times.day("moment"), "equal": f"hash({EQUAL})"},
    "pyspark": {"hash": "xxhash64", "moment": "TIMESTAMP", "day": "CAST(moment AS DATE)", "equal": EQUAL},
}
"""What is said in different ways: a hash of columns, the type of a moment, the UTC day of one, the key of equal rows. Spark's hash
would not do for that: it passes over nulls, and `a, null` would be `null, a`."""

FIRST, LAST = "0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"
"""Moments beyond these, infinity too, have the day of these: not every engine has days for them."""


@dataclass(frozen=True)
class Total:
    """A query over the rows of a scan and totals of before. `large`: the answer may have a row for each user, text or event."""

    sql: str
    schema: pa.Schema
    of: tuple[str, ...] = ()
    large: bool = False


def _schema(**kinds: pa.DataType) -> pa.Schema:
    return pa.schema(list(kinds.items()))


TEXT, NUMBER = pa.string(), pa.int64()


def _frequent(column: str, values: str) -> str:
    return (
        f"SELECT '{column}' AS name, v.channel, v.{column} AS value, v.n, t.total, t.many FROM ({values}) v JOIN (SELECT channel, "
        f"CAST(sum(n) AS BIGINT) AS total, count(*) AS many FROM ({values}) u GROUP BY channel) t ON v.channel = t.channel "
        f"WHERE t.total >= {FEW} AND v.n > t.total * greatest({LEAST_SHARE[column]}e0, {TIMES_THE_MEAN}e0 / t.many)"
    )


TOTALS = {
    "by_text": Total(
        "SELECT channel, exposure, text_id, min(text) AS text, max(text) AS last_text, count(*) AS n FROM scanned "
        "WHERE reason IS NULL GROUP BY channel, exposure, text_id",
        _schema(channel=TEXT, exposure=pa.bool_(), text_id=NUMBER, text=TEXT, last_text=TEXT, n=NUMBER),
        large=True,
    ),
    "by_user": Total(
        "SELECT channel, user_id, count(*) AS n FROM scanned WHERE reason IS NULL GROUP BY channel, user_id",
        _schema(channel=TEXT, user_id=TEXT, n=NUMBER),
        large=True,
    ),
    "row_counts": Total(
        f"SELECT channel, reason, {{day}} AS day, is_return, remarks, count(*) AS n FROM (SELECT channel, CASE WHEN keep THEN "
        f"reason ELSE '{LEFT_OUT}' END AS reason, coalesce(status = '{RETURN}', false) AS is_return, remarks, CASE WHEN keep THEN "
        f"least(greatest(event_time, CAST('{FIRST}' AS {{moment}})), CAST('{LAST}' AS {{moment}})) END AS moment FROM scan_judged "
        "WHERE keep IS NOT NULL) r GROUP BY channel, reason, {day}, is_return, remarks",
        _schema(channel=TEXT, reason=TEXT, day=pa.date32(), is_return=pa.bool_(), remarks=TEXT, n=NUMBER),
    ),
    "clashes": Total(
        "SELECT text_id, least_text AS text, greatest_text AS last_text FROM (SELECT text_id, min(text) AS least_text, "
        "max(last_text) AS greatest_text FROM by_text GROUP BY text_id) t WHERE least_text <> greatest_text LIMIT 1",
        _schema(text_id=NUMBER, text=TEXT, last_text=TEXT),
        of=("by_text",),
    ),
    "different": Total(
        "SELECT channel, 'users' AS name, count(*) AS n FROM by_user GROUP BY channel UNION ALL "
        "SELECT channel, 'texts' AS name, count(DISTINCT text_id) AS n FROM by_text GROUP BY channel UNION ALL "
        "SELECT '' AS channel, 'users' AS name, count(DISTINCT user_id) AS n FROM by_user",
        _schema(channel=TEXT, name=TEXT, n=NUMBER),
        of=("by_text", "by_user"),
    ),
    "frequent": Total(
        f"{_frequent('user_id', 'SELECT * FROM by_user')} UNION ALL "
        f"{_frequent('text', 'SELECT * FROM by_text WHERE NOT exposure')}",  # a mailing says the same to everybody
        _schema(name=TEXT, channel=TEXT, value=TEXT, n=NUMBER, total=NUMBER, many=NUMBER),
        of=("by_text", "by_user"),
    ),
    "equal_rows": Total(
        "SELECT CAST(coalesce(sum(n - 1), 0) AS BIGINT) AS n FROM (SELECT count(*) AS n FROM scanned WHERE reason IS NULL AND "
        "event_id IS NULL GROUP BY {equal}) r",
        _schema(n=NUMBER),
    ),
}
"""The totals by name, each after those that it is made of. Of all channels together `different` has the channel ''. The days of
`row_counts` are those of every row with a time."""


class Asked(Protocol):
    """Who answers what is asked of all rows of a scan."""

    con: duckdb.DuckDBPyConnection
    """The scan's database: it has each name that is made here too."""
    words: dict[str, str]

    def view(self, name: str, sql: str) -> None:
        """Names what a query gives."""
        ...

    def keep(self, name: str, total: Total) -> None:
        """Names the answer of a query, which is made once."""
        ...

    def per_batch(self, sql: str, function: Function, schema: pa.Schema) -> pa.Table:
        """What a function makes of the batches that a query gives: a few rows of each."""
        ...


class InProcess:
    """DuckDB over the tables of a scan; see `Asked`."""

    words = WORDS["duckdb"]

    def __init__(self, con: duckdb.DuckDBPyConnection):
        self.con = con

    def view(self, name: str, sql: str) -> None:
        self.con.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")

    def keep(self, name: str, total: Total) -> None:
        forget(self.con, name)
        self.con.execute(f"CREATE TABLE {name} AS {total.sql.format(**self.words)}")

    def per_batch(self, sql: str, function: Function, schema: pa.Schema) -> pa.Table:
        batches = iter(self.con.execute(sql.format(**self.words)).to_arrow_reader())
        return pa.Table.from_batches(function(batches), schema)


def make_all(asked: Asked) -> None:
    """Makes the totals that are not there yet."""
    for name, total in TOTALS.items():
        if _kind(asked.con, name) is None:
            asked.keep(name, total)


def table(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The name of a total, which DuckDB makes where nobody has."""
    if _kind(con, name) is None:
        for other in TOTALS[name].of:
            table(con, other)
        InProcess(con).keep(name, TOTALS[name])
    return name


def forget(con: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Lets totals go, of which the rows have changed; all of them where none is named."""
    for name in names or TOTALS:
        if kind := _kind(con, name):
            con.execute(f"DROP {kind} {name}")


def exists(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a scan's database has a table or view of this name."""
    return _kind(con, name) is not None


def _kind(con: duckdb.DuckDBPyConnection, name: str) -> str | None:
    query = (
        "SELECT 'TABLE' FROM duckdb_tables() WHERE table_name = $1 UNION ALL SELECT 'VIEW' FROM duckdb_views() WHERE view_name = $1"
    )
    row = con.execute(query, [name]).fetchone()
    return str(row[0]) if row else None
