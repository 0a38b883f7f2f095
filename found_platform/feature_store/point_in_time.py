"""How the rows that a moment sees are found: steps over one DuckDB connection, each leaving a relation for the next.

What belongs here: which row a moment sees, and in which files it lies. What does not: Feast (`delta_store`).

Which row a moment sees, for each view (F: a feature row, t: the spine's moment):

- F belongs to the spine row's key, and `F.event_timestamp <= t`; with a TTL also `t <= F.event_timestamp + TTL` (both ends closed);
  with `filter_by_created_timestamp` also `F.created_timestamp <= t`.
- Of those, the latest by event time, then by creation. Where both are equal, the row written last in the table's file order.

ASOF JOIN takes one inequality. A row can be seen from `visible_from` on: its event time, or the later of its two times where
creation counts. Over a key's rows in the order of `visible_from`, a running maximum of (event time, creation) says which row is the
best by then, so the latest row of that order is all the join has to find; where no row was created after its event time, every row
is its own best. The TTL is applied to the best row afterwards: an earlier one would have expired earlier.

Of a sparse table (`silence`) a moment sees the newest day that was made: the user's row of it, or else that of its grid day, and
`silent`, how many days lie between; 0 where the row is of the day itself.

Rows are first found by times and keys alone, as (file, row in the file); features, among them long lists, are fetched last, once,
from the files that hold a row that is wanted. Only files whose statistics overlap the time asked for are opened at all. Results
stream in the order of the spine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from found_platform import lake
from found_platform.feature_store import silence
from found_platform.lake import quote
from found_platform.lake_place import Away, Place

STATISTICS = timedelta(milliseconds=1)
"""Delta's statistics hold times to the millisecond."""


Step = Callable[[duckdb.DuckDBPyConnection], None]
"""Leaves a relation of the connection behind for the next ones."""


@dataclass(frozen=True)
class Source:
    """A lake table, its newest version if None, and what its columns are called where it is asked for."""

    folder: Place
    table: str
    version: int | None
    timestamp: str
    created: str | None
    renamed: Mapping[str, str] = field(default_factory=dict)  # the asker's name -> column
    sparse: bool = False

    def column(self, name: str) -> str:
        return self.renamed.get(name, name)

    def since(self, first: datetime | None) -> datetime | None:
        """From when on rows are read for moments that see those from `first` on."""
        return first - silence.PERIOD if first and self.sparse else first

    def value(self, name: str, found: str, row: str) -> str:
        """In SQL: a column of a row that a step has found."""
        return silence.column(self.column(name), row, f"{found}.silent") if self.sparse else f"{row}.{quote(self.column(name))}"


@dataclass(frozen=True)
class Spine:
    """`spine`: the rows asked for, with their position."""

    rows: pa.Table

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        # an empty column of objects has no type of its own, and keys are strings
        typed = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in self.rows.schema]
        con.register("given", self.rows.cast(pa.schema(typed)))
        # a table, not a view on Arrow: the planner has to know how many rows there are
        con.execute("CREATE TEMP TABLE spine AS SELECT row_number() OVER () AS __row, * FROM given")
        con.unregister("given")


@dataclass(frozen=True)
class Files:
    """A view on the files of a table that may hold rows of `[since, until]`, with the virtual columns that locate a row."""

    name: str
    source: Source
    since: datetime | None
    until: datetime | None

    @property
    def time(self) -> str:
        return f"CAST({quote(self.source.column(self.source.timestamp))} AS TIMESTAMPTZ)"

    @property
    def created(self) -> str:
        return (
            f"CAST({quote(self.source.column(self.source.created))} AS TIMESTAMPTZ)" if self.source.created else "NULL::TIMESTAMPTZ"
        )

    @property
    def within(self) -> str:
        ends = ((">=", self.since), ("<=", self.until))
        return " AND ".join(["true", *(f"{self.time} {sign} TIMESTAMPTZ '{end.isoformat()}'" for sign, end in ends if end)])

    def _overlaps(self, first: datetime | None, last: datetime | None) -> bool:
        """Whether a file with these statistics may hold rows of the time asked for."""
        first, last = utc(first), utc(last)
        early = self.since is not None and last is not None and last + STATISTICS < self.since
        return not early and not (self.until is not None and first is not None and first - STATISTICS > self.until)

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        column = self.source.column(self.source.timestamp)
        live = lake.files(self.source.folder, self.source.table, self.source.version)
        paths = [f["path"] for f in live if self._overlaps(f.get(f"min.{column}"), f.get(f"max.{column}"))]
        self._view(con, paths)
        con.register(
            "listed", pa.table({"position": pa.array(range(len(paths)), pa.int64()), "path": pa.array(paths, pa.string())})
        )
        con.execute(f"CREATE TEMP TABLE {self.name}_files AS FROM listed")
        con.unregister("listed")

    def _fetch(self, con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
        """Rows of object storage, in the order of their files, where DuckDB numbers them. It spills what memory cannot hold."""
        scan = lake.scan(con, self.source.folder, self.source.table, paths, self.source.version)
        con.execute(f"CREATE TEMP TABLE {self.name}_here AS SELECT * FROM {scan} WHERE {self.within}")
        con.unregister(scan)

    def keep(self, con: duckdb.DuckDBPyConnection, matches: str) -> None:
        """Leaves out the files without any of the rows that a step has found; lists are read from those that are left."""
        if isinstance(self.source.folder, Away):
            return
        needed = f"SELECT position, path FROM {self.name}_files WHERE position IN (SELECT location >> 32 FROM {matches}) ORDER BY 1"
        kept = con.execute(needed).to_arrow_table()
        con.register("moved", pa.table({"old": kept["position"], "new": pa.array(range(kept.num_rows), pa.int64())}))
        location = f"(new << 32) | (location & {2**32 - 1})"
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {matches} AS SELECT p.* REPLACE ({location} AS location) "
            f"FROM {matches} p LEFT JOIN moved ON old = location >> 32"
        )
        con.unregister("moved")
        self._view(con, kept["path"].to_pylist())

    def _view(self, con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
        folder, table = self.source.folder, self.source.table
        if paths and isinstance(folder, Away):
            self._fetch(con, paths)
            query = f"SELECT *, 0::UBIGINT AS file_index, rowid AS file_row_number FROM {self.name}_here"
        elif paths:
            query = f"SELECT *, file_index, file_row_number FROM {lake.scan(con, folder, table, paths, self.source.version)}"
        else:
            con.register(f"{self.name}_schema", lake.dataset(folder, table, self.source.version).schema.empty_table())
            query = f"SELECT *, 0::UBIGINT AS file_index, 0::BIGINT AS file_row_number FROM {self.name}_schema"
        con.execute(f"CREATE OR REPLACE TEMP VIEW {self.name} AS {query}")


LOCATION = "(CAST(file_index AS BIGINT) << 32 | file_row_number)"
"""Which row of which file, in 64 bits: files in the order of their paths."""
ORDER = f"CAST(epoch_us({{time}}) AS HUGEINT) * {2**60} + coalesce(epoch_us({{created}}), {-(2**59)})"
"""Event time, then creation, as one number; a row without a creation time comes first."""


def located(matches: str, row: str) -> str:
    file, position = f"CAST({matches}.location >> 32 AS UBIGINT)", f"({matches}.location & {2**32 - 1})"
    return f"{row}.file_index = {file} AND {row}.file_row_number = {position}"


@dataclass(frozen=True)
class Resolve:
    """`name`: for each spine row the location of the feature row that its moment sees, null where there is none."""

    name: str
    files: Files
    keys: Mapping[str, str]  # column of the source by Feast's name -> column of the spine
    moment: str
    ttl: timedelta | None
    filter_by_created: bool

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        f = self.files
        filtered = self.filter_by_created and f.source.created is not None
        keys = {f"key{i}": (f.source.column(source), spine) for i, (source, spine) in enumerate(self.keys.items())}
        selected = ", ".join(f"{quote(source)} AS {k}" for k, (source, _) in keys.items())
        visible = "greatest(time, created)" if filtered else "time"
        created_condition = f"AND {f.created} IS NOT NULL" if filtered else ""
        key_condition = " AND ".join(f"asked.{quote(spine)} = {f.name}.{quote(source)}" for source, spine in keys.values())
        matched = " AND ".join(f"s.{quote(spine)} = best.{k}" for k, (_, spine) in keys.items())
        by = ", ".join(keys)
        in_reach = self._wanted(con) if f.source.sparse else f.within
        con.execute(f"""
            CREATE TEMP TABLE {self.name}_rows AS
            SELECT {by}, time, {visible} AS visible_from, rank, max(location) AS location FROM (
                SELECT {selected}, {f.time} AS time, {f.created} AS created, {LOCATION} AS location,
                    {ORDER.format(time=f.time, created=f.created)} AS rank
                FROM {f.name} SEMI JOIN spine asked ON {key_condition} WHERE {in_reach} {created_condition})
            GROUP BY ALL""")
        if f.source.sparse:
            self._sparse(con, matched)
        else:
            self._newest(con, by, matched)
        con.execute(f"DROP TABLE {self.name}_rows")
        f.keep(con, self.name)

    def _newest(self, con: duckdb.DuckDBPyConnection, by: str, matched: str) -> None:
        moment = f"s.{quote(self.moment)}"
        expired = f"best.time + {_microseconds(self.ttl)} < {moment}" if self.ttl else "false"
        out_of_order = con.execute(f"SELECT count(*) FROM {self.name}_rows WHERE visible_from > time").fetchone()
        if out_of_order and out_of_order[0]:
            best = f"""
                SELECT DISTINCT ON ({by}, visible_from) {by}, visible_from,
                    max(time) OVER earlier AS time, arg_max(location, rank) OVER earlier AS location
                FROM {self.name}_rows WINDOW earlier AS (PARTITION BY {by} ORDER BY visible_from RANGE UNBOUNDED PRECEDING)"""
        else:  # every row can be seen from its own time on, so the latest by then is the best by then
            best = f"""
                SELECT {by}, time AS visible_from, time, arg_max(location, rank) AS location
                FROM {self.name}_rows GROUP BY {by}, time"""
        con.execute(f"""
            CREATE TEMP TABLE {self.name} AS
            WITH best AS ({best}) -- a moment that is null would be the latest of all
            SELECT s.__row, CASE WHEN {moment} IS NOT NULL AND NOT {expired} THEN best.location END AS location
            FROM spine s ASOF LEFT JOIN best ON {matched} AND {moment} >= best.visible_from""")

    def _wanted(self, con: duckdb.DuckDBPyConnection) -> str:
        """`name_days`: for each moment the event times of the rows it may see, and how long a silence each stands for. Returns, in
        SQL, which rows have one of these times."""
        moment, days, f = f"s.{quote(self.moment)}", silence.since_grid("newest"), self.files
        alive = f"made.time >= {moment} - {_microseconds(self.ttl)}" if self.ttl else "true"
        con.execute(f"""
            CREATE TEMP TABLE {self.name}_days AS
            WITH made AS (SELECT DISTINCT {f.time} AS time FROM {f.name} WHERE {f.within}),
            asked AS (
                SELECT {moment}, max(made.time) AS newest FROM (SELECT DISTINCT {moment} FROM spine s) s
                JOIN made ON {moment} >= made.time AND {alive} GROUP BY 1)
            SELECT *, newest AS wanted, 0 AS silent FROM asked
            UNION ALL SELECT *, newest - to_hours(24 * {days}), {days} FROM asked WHERE {days} > 0""")
        times = con.execute(f"SELECT DISTINCT epoch_us(wanted) FROM {self.name}_days ORDER BY 1").fetchall()
        return f"{f.time} IN ({', '.join(f'make_timestamptz({time})' for (time,) in times)})" if times else "false"

    def _sparse(self, con: duckdb.DuckDBPyConnection, matched: str) -> None:
        con.execute(f"""
            CREATE TEMP TABLE {self.name} AS
            WITH found AS (
                SELECT s.__row, arg_max(best.location, rank) AS location, arg_max(silent, rank) AS silent
                FROM spine s JOIN {self.name}_days USING ({quote(self.moment)}) JOIN {self.name}_rows best
                    ON {matched} AND best.time = wanted AND s.{quote(self.moment)} >= best.visible_from GROUP BY 1)
            SELECT __row, location, coalesce(silent, 0) AS silent FROM spine LEFT JOIN found USING (__row)""")


@dataclass(frozen=True)
class Latest:
    """`name`: the location of each key's latest row since a time, of those created by `known_by` where it is given."""

    name: str
    files: Files
    keys: Sequence[str]
    since: datetime | None
    known_by: datetime | None = None

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        f = self.files
        keys = ", ".join(quote(f.source.column(k)) for k in self.keys)
        in_time = f"AND {f.created} <= TIMESTAMPTZ '{self.known_by.isoformat()}'" if self.known_by and f.source.created else ""
        con.execute(f"""
            CREATE TEMP TABLE {self.name} AS
            WITH rows AS (
                SELECT {keys}, {f.time} AS time, {LOCATION} AS location, {ORDER.format(time=f.time, created=f.created)} AS rank
                FROM {f.name} WHERE {f.within} {in_time}),
            one AS (SELECT {keys}, time, rank, max(location) AS location FROM rows GROUP BY {keys}, time, rank)
            {self._sparse(keys) if f.source.sparse else f"SELECT arg_max(location, rank) AS location FROM one GROUP BY {keys}"}""")
        f.keep(con, self.name)

    def _sparse(self, keys: str) -> str:
        condition = f"time >= TIMESTAMPTZ '{self.since.isoformat()}'" if self.since else "true"
        days = silence.since_grid("newest")
        return f"""
            , newest AS (SELECT max(time) AS newest FROM rows WHERE {condition}),
            grid AS (SELECT *, {days} AS days, newest - to_hours(24 * {days}) AS rest FROM newest),
            of_user AS (
                SELECT arg_max(location, rank) FILTER (time = newest) AS now,
                    arg_max(location, rank) FILTER (time = rest) AS resting,
                    arg_max(location, rank) FILTER ({condition}) AS last, any_value(days) AS days
                FROM one, grid GROUP BY {keys})
            SELECT coalesce(now, resting, last) AS location,
                CASE WHEN now IS NULL AND resting IS NOT NULL THEN days ELSE 0 END AS silent
            FROM of_user WHERE coalesce(now, resting, last) IS NOT NULL"""


def _microseconds(span: timedelta) -> str:
    return f"to_microseconds({span // timedelta(microseconds=1)})"


def utc(moment: datetime | None) -> datetime | None:
    """Feast hands naive times over in UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
