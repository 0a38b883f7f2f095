"""Files: how each file of a location becomes a DuckDB relation, and what of a text file is no row at all.

What belongs here: columns and their types, rows that cannot be split into columns, row numbers, the errors of files. What does not:
what a column means (`mapping`), signs of text files (`dialects`).
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from found_platform import bounds
from found_platform.bounds import compression, opened
from found_platform.errors import BadInput, JobFailed
from found_platform.lake import as_arrow, literal
from found_platform.sources import dialects
from found_platform.sources.dialects import check_distinct, check_named
from found_platform.sources.options import Location
from found_platform.sources.sieve import Sieved, sieve

JSON_LINE = "line"
JSON_SAMPLE = 20_000  # rows whose keys are the columns of a JSON file, until one is missed


@dataclass(frozen=True)
class Part:
    """One file of a location, a Delta table as a whole, or several Parquet files whose columns are the same (`united`)."""

    file: str  # as errors and the quarantine name it; of several the first one
    relation: str  # what stands after FROM
    columns: dict[str, str]  # DuckDB types by name; of JSON the keys of its objects
    number: str  # SQL of the row number from 1; `row_number() OVER ()` where the order of reading says it
    texts: bool = False  # cells are texts as the file has them
    json: bool = False
    rejects: bool = False  # rows may be refused while reading
    content: Path | None = None  # what is read instead of the file
    note: str = ""
    copy: Any = field(default=None, repr=False)
    sieved: Sieved | None = None
    signs: dict[str, Any] = field(default_factory=dict)  # of a CSV file, as the `csv` module calls them
    each: "tuple[Part, ...]" = ()  # where it stands for several files, those
    place: str = "0"  # SQL of which of them a row is of

    @property
    def single(self) -> "tuple[Part, ...]":
        """Its files, one by one."""
        return self.each or (self,)

    @property
    def names(self) -> list[str]:
        """The names of its files."""
        return [part.file for part in self.single]


IN_ORDER = "row_number() OVER ()"
ROW_OF_FILE = "file_row_number + 1"
MOST = 256  # files that are read as one: progress and errors stay near them
SERIAL = "parallel=false, "  # several threads may lose rows, see `sieve`


def parts(con: duckdb.DuckDBPyConnection, location: Location, where: str, some: Sequence[Path] | None = None) -> list[Part]:
    """The files of a location, or some of them. Raises BadInput that begins with `where` when one cannot be read."""
    if location.is_delta():
        with _naming(location.path, where):
            return [_delta(con, location)]
    files = some or location.files()
    kind = location.kind_of(files[0])
    if kind == "parquet":
        return _parquet(con, files, where)
    read, read_parts = {"csv": _csv, "jsonl": _json}[kind], []
    for file in files:
        with _naming(file, where):
            read_parts.append(read(con, file, location))
    return read_parts


@contextmanager
def _naming(file: Path | str, where: str) -> Iterator[None]:
    """Raises BadInput that names the file for what an engine says of it."""
    try:
        yield
    except (duckdb.Error, DeltaError, pa.ArrowException) as error:
        raise BadInput(f"{where}: {file} cannot be read: {first_line(error)}.") from None


def _delta(con: duckdb.DuckDBPyConnection, location: Location) -> Part:
    name = "delta_" + hashlib.sha256(location.path.encode()).hexdigest()[:16]
    con.register(name, as_arrow(DeltaTable(location.path)))
    return Part(location.path, name, _types(con, name), IN_ORDER)


def _parquet(con: duckdb.DuckDBPyConnection, files: Sequence[Path], where: str) -> list[Part]:
    """Parquet files. What their columns are is asked once for files that have the same ones."""
    read_parts: list[Part] = []
    before: Any = None
    for file in files:
        with _naming(file, where):
            bounds.check_parquet(file)
            relation = _read_parquet([str(file)])
            schema = pq.read_metadata(file).schema
            if before is None or not schema.equals(before):
                columns, before = _types(con, relation), schema
                columns.pop("file_row_number", None)
                # DuckDB gives the second of two names another one
                check_distinct(file, schema.to_arrow_schema().names)
                check_named(file, schema.to_arrow_schema().names)
        read_parts.append(Part(str(file), relation, columns, ROW_OF_FILE))
    return read_parts


def _read_parquet(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}], file_row_number=true)"


def united(files: Sequence[Part]) -> list[Part]:
    """The same files, with neighbours among Parquet files of the same columns as one: each query costs as much as many rows."""
    groups: list[list[Part]] = []
    for part in files:
        together = part.number == ROW_OF_FILE and "file_index" not in map(str.lower, part.columns)
        if together and groups and len(groups[-1]) < MOST and groups[-1][0].columns == part.columns:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [_as_one(group) for group in groups]


def _as_one(group: list[Part]) -> Part:
    if len(group) == 1:
        return group[0]
    relation = _read_parquet([part.file for part in group])
    return replace(group[0], relation=relation, each=tuple(group), place="CAST(file_index AS INTEGER)")


def _types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}


def _csv(con: duckdb.DuckDBPyConnection, file: Path, location: Location) -> Part:
    written = dialects.dialect(file, location)
    sieved = sieve(written.content, len(written.names), written.delimiter, location.quote) if _doubles(location) else None
    read = sieved.content if sieved else written.content
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in written.names)
    relation = (
        f"read_csv({literal(str(read))}, auto_detect=false, {SERIAL}header=true, delim={literal(written.delimiter)}, "
        f"quote={literal(location.quote)}, escape={literal(location.escape if location.quote else '')}, "
        f"allow_quoted_nulls=false, store_rejects=true, compression={literal(compression(read))}, "
        f"columns={{{types}}})"
    )
    columns = dict.fromkeys(written.names, "VARCHAR")
    signs: dict[str, Any] = {"delimiter": written.delimiter, "quotechar": location.quote or None}
    if not location.quote:
        signs["quoting"] = csv.QUOTE_NONE
    elif not _doubles(location):
        signs |= {"escapechar": location.escape, "doublequote": False}
    return Part(
        str(file), relation, columns, IN_ORDER, True, False, True, read, written.note, (written.copy, sieved), sieved, signs
    )


def _doubles(location: Location) -> bool:
    """Whether a quote within quotes is doubled: the sieve knows no other way."""
    return not location.quote or location.escape in ("", location.quote)


def _json(con: duckdb.DuckDBPyConnection, file: Path, location: Location) -> Part:
    bounds.check_text(file)
    encoding = dialects.encoding(file, location)
    read, copy = dialects.in_utf8(file, encoding, encoding)
    packed = literal(compression(read))
    with opened(read) as stream:
        array = stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if array:
        packed = packed.replace("none", "uncompressed")  # this function's word for it
        objects = f"read_json_objects({literal(str(read))}, format='array', compression={packed})"
        relation = f"(SELECT CAST(json AS VARCHAR) AS {JSON_LINE} FROM {objects})"
    else:
        # a line is a row: read as a CSV file of one column, whose delimiter stands in no JSON
        relation = (
            f"read_csv({literal(str(read))}, auto_detect=false, {SERIAL}header=false, delim='\x01', quote='', escape='', "
            f"store_rejects=true, "
            f"compression={packed}, max_line_size=16777216, columns={{'{JSON_LINE}': 'VARCHAR'}})"
        )
    part = Part(str(file), relation, {}, IN_ORDER, True, True, not array, read, "", copy)
    return replace(part, columns=dict.fromkeys(json_keys(con, part, "", JSON_SAMPLE), "JSON"))


def json_keys(con: duckdb.DuckDBPyConnection, part: Part, path: str, limit: int | None = None) -> list[str]:
    """The keys of the objects at `path` (a JSON pointer; empty: the rows themselves), in the first rows or in all."""
    at = f"json_extract({JSON_LINE}, {literal(path)})" if path else JSON_LINE
    rows = f"SELECT {JSON_LINE} FROM {part.relation}" + (f" LIMIT {limit}" if limit else "")
    of_row = f"CASE WHEN json_valid({JSON_LINE}) THEN CASE WHEN json_type({at}) = 'OBJECT' THEN json_keys({at}) END END"
    keys = con.execute(
        f"SELECT key, min(n) FROM (SELECT unnest(keys) AS key, generate_subscripts(keys, 1) AS n FROM (SELECT {of_row} AS keys "
        f"FROM ({rows}))) WHERE NOT contains(key, chr(0)) GROUP BY 1 ORDER BY 2, 1"  # no SQL can name such a key
    ).fetchall()
    forget_rejects(con)
    return [key for key, _ in keys]


def json_pointer(*steps: str) -> str:
    """The place of a nested field, whatever its keys are (RFC 6901): a JSON path knows no empty key, and takes * for all."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


NO_ROWS = """CASE error WHEN 'MISSING COLUMNS' THEN 'wrong number of columns' WHEN 'TOO MANY COLUMNS' THEN 'wrong number of columns'
    WHEN 'INVALID ENCODING' THEN 'not UTF-8' WHEN 'UNQUOTED VALUE' THEN 'a quote that does not close'
    WHEN 'LINE SIZE OVER MAXIMUM' THEN 'a line over 2 MB' ELSE 'not readable as CSV' END"""


def in_parallel(part: Part) -> Part:
    """A text file as several threads read it, where the sieve says that none of its rows can get lost; else as it is."""
    if part.sieved is None or not part.sieved.regular:
        return part
    return replace(part, relation=part.relation.replace(SERIAL, ""))


def forget_rejects(con: duckdb.DuckDBPyConnection) -> None:
    """Forgets what queries so far refused of text files: else it would count again."""
    if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors' AND temporary").fetchone():
        con.execute("DELETE FROM reject_errors")
        con.execute("DELETE FROM reject_scans")


def take_rejects(con: duckdb.DuckDBPyConnection, part: Part, where: str) -> None:
    """Moves what the last query refused of a text file into the temporary table `rejects` (row_number, reason), and forgets it.

    Their row number is DuckDB's line less the header: it counts records, accepted or not (a quoted line break starts none), and
    empty lines. A row with two faults has the first in the order of `NO_ROWS`. Raises BadInput that begins with `where` for a quote
    that may have swallowed the lines after it: nobody can say how many rows those were.
    """
    header = 0 if part.json else 1
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE rejects AS SELECT CAST(line AS BIGINT) - {header} AS row_number, "
        f"{NO_ROWS} AS reason, swallowed FROM (SELECT line, min(error_type) AS error, "
        "bool_or(error_type = 'UNQUOTED VALUE' AND (length(csv_line) >= 10000 OR "  # where DuckDB cuts it
        "regexp_matches(rtrim(csv_line, chr(10) || chr(13)), '[\\n\\r]'))) AS swallowed "
        "FROM reject_errors GROUP BY ALL)"
    )
    forget_rejects(con)
    _renumber(con, "rejects", part)
    for reason, numbers in (part.sieved.refused if part.sieved else {}).items():
        con.register("sieved_rows", pa.table({"row_number": pa.array(numbers, pa.int64())}))
        con.execute("INSERT INTO rejects SELECT row_number, ?, false FROM sieved_rows", [reason])
        con.unregister("sieved_rows")
    first = con.execute("SELECT min(row_number) FROM rejects WHERE swallowed").fetchone()
    if first and first[0] is not None:
        raise _unclosed(part, first[0], where)


def _unclosed(part: Part, row: int, where: str) -> BadInput:
    return BadInput(
        f"{where}: {part.file}, row {row:,}: a double quote opens and does not close where its line ends, so nobody can "
        "say where the row ends: close it, or double it where it is part of a text."
    )


def check_whole(part: Part, rows: int, where: str) -> None:
    """Raises where fewer rows of a text file were read or refused than it has: BadInput for a quote that swallows them.

    A quote that does not close makes DuckDB stop without a word once it has read too far. The sieve knows the number of rows, else
    they are counted by the `csv` module.
    """
    if part.sieved:
        if rows < part.sieved.rows + sum(map(len, part.sieved.refused.values())):
            raise JobFailed(
                f"{part.file} has {part.sieved.rows:,} rows, and {rows:,} were read: the engine has lost some, nothing was kept."
            )
        return
    if part.json or not part.signs or part.content is None:
        return
    limit = csv.field_size_limit(bounds.BLOCK)
    number, longest, lines, before = -1, 0, 0, 0
    try:
        with opened(part.content) as stream:
            records = csv.reader(_lines(stream), **part.signs)
            for record in records:
                number += bool(record)
                if records.line_num - before > lines:
                    longest, lines = number, records.line_num - before
                before = records.line_num
    except csv.Error:  # a quote that swallows so much is not closed where it should be
        raise _unclosed(part, number + 1, where) from None
    finally:
        csv.field_size_limit(limit)
    if rows < number:
        raise _unclosed(part, max(longest, 1), where)


def gaps(con: duckdb.DuckDBPyConnection, part: Part) -> str:
    """SQL of what one text file has between the rows that could be read: `before`, `n`.

    A readable row after the first `before` ones stands `n` rows further on in the file: rows of `rejects` and empty lines are
    passed over. The relation holds until the next call.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE passed_over AS SELECT row_number FROM rejects")
    rows: Any = []
    if part.sieved:
        rows = part.sieved.empty
    elif part.content and not part.json:  # no line of JSON is passed over
        rows = _empty_lines(part.content)
    return _gaps(con, rows)


def _renumber(con: duckdb.DuckDBPyConnection, table: str, part: Part) -> None:
    """Numbers rows of the sieve's copy as they stand in the file."""
    if part.sieved and len(part.sieved.missing):
        con.execute("CREATE OR REPLACE TEMP TABLE passed_over (row_number BIGINT)")
        shift(con, table, _gaps(con, part.sieved.missing))


def shift(con: duckdb.DuckDBPyConnection, table: str, gaps: str) -> None:
    """Numbers the readable rows of a temporary table as they stand in the file."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT s.* REPLACE (s.row_number + coalesce(gaps.n, 0) AS row_number) "
        f"FROM {table} s ASOF LEFT JOIN ({gaps}) gaps ON s.row_number > gaps.before"
    )


def _gaps(con: duckdb.DuckDBPyConnection, more: Any) -> str:
    con.register("more_rows", pa.table({"row_number": pa.array(more, pa.int64())}))
    con.execute("INSERT INTO passed_over SELECT row_number FROM more_rows")
    con.unregister("more_rows")
    # the k-th readable row comes after the n-th passed over where fewer than k readable rows, `before`, come before that one
    return (
        "SELECT row_number - n AS before, max(n) AS n FROM (SELECT *, row_number() OVER (ORDER BY row_number) AS n FROM "
        "(SELECT DISTINCT row_number FROM passed_over)) GROUP BY ALL"
    )


def _empty_lines(path: Path) -> list[int]:
    """Which rows of a CSV file, from 1 below the header, are empty lines: DuckDB passes over them without a word."""
    if not _may_have_empty_lines(path):
        return []
    limit, numbers = csv.field_size_limit(bounds.BLOCK), list[int]()
    try:
        with opened(path) as stream:
            numbers.extend(number for number, row in enumerate(csv.reader(_lines(stream))) if not row)
    except csv.Error:
        pass  # a quote is not closed: `check_whole` says it
    finally:
        csv.field_size_limit(limit)
    return numbers


def _lines(stream: Any) -> io.TextIOWrapper:
    """The lines of a text file as they end: by a line feed, a carriage return or both. Broken bytes stay what they are."""
    return io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")


def _may_have_empty_lines(path: Path) -> bool:
    """Whether line ends follow each other anywhere, be it within quotes: most files have none, and are not read row by row."""
    last = b""
    with opened(path) as stream:
        while block := stream.read(1 << 20):
            if re.search(rb"\n\r?\n|\r\r", last + block):
                return True
            last = block[-2:]
    return False


def query(con: duckdb.DuckDBPyConnection, where: str, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
    """Runs SQL over files. Raises BadInput that begins with `where` for what only reading shows."""
    try:
        return con.execute(sql, parameters or [])
    except duckdb.Error as error:
        raise BadInput(f"{where} cannot be read: {first_line(error)}.") from None


def first_line(error: Exception) -> str:
    """What the engine says, without the kind of error that it calls it."""
    line = re.sub(r"^([A-Z][A-Za-z]* )+Error: ", "", str(error).splitlines()[0].rstrip(".!"))
    return "its lines end in different ways, save it with one kind of line ending" if "state machine" in line else line


def with_hashes(rows: pa.Table) -> pa.Table:
    """The rows with `file_sha256` of their `file`; empty for a Delta folder."""
    files = rows["file"].combine_chunks().dictionary_encode()
    hashes = [_sha256(name) if Path(name).is_file() else "" for name in files.dictionary.to_pylist()]
    return rows.append_column("file_sha256", pa.array(hashes, pa.string()).take(files.indices))


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
