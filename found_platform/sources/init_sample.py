"""What `found source init` looks at: a bounded sample of each file, its columns as texts.

What belongs here: encodings, delimiters, a few thousand rows. What does not: which files there are (`init_files`), what a column
means (`init_columns`), and reading whole files (nothing here does).
"""

import codecs
import csv
import datetime as dt
import gzip
import io
import itertools
import json
import os
import re
import statistics
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import bounds
from found_platform.errors import BadInput
from found_platform.sources.dialects import check_distinct, check_text
from found_platform.sources.init_encodings import encoding_of
from found_platform.sources.options import COMPRESSIONS, Kind

SAMPLE_ROWS = 2_000
"""Rows of a table that are looked at."""
SAMPLE_BYTES = 1 << 19
"""Bytes of a text file that are looked at: at its beginning, in its middle and at its end."""
SMALL_ROWS = 200_000
"""A Parquet file of no more rows is read as a whole, since its rows are mostly sorted by person or time."""

DELIMITERS = (",", ";", "\t", "|")
TITLE_LINES = 200
"""Lines among which the column names are looked for."""
DATED = re.compile(r"\d{4}-\d{2}-\d{2}([ T].*)?|\d{1,2}([./])\d{1,2}\2\d{2,4}( .*)?")
"""A date, which is no name of a column."""


TableKind = Kind | Literal["sqlite"]


@dataclass
class Table:
    """Files with the same columns. `columns` holds sampled values as texts, None where there is none.

    Of a table of a database `files` holds the path of the database with the table's name behind it.
    """

    files: list[Path]
    kind: TableKind
    columns: dict[str, list[str | None]]
    types: dict[str, str] = field(default_factory=dict)  # time, date, number or text, where the file itself says so
    lists: list[str] = field(default_factory=list)  # columns of lists: nothing can be mapped to one
    nested: list[dict[str, Any]] = field(default_factory=list)  # the rows themselves, where they hold lists
    paths: dict[str, str] = field(default_factory=dict)  # of columns that a query names anew: the fields of the file
    delimiter: str | None = None
    encoding: str | None = None
    skip: int = 0  # lines above the column names
    is_whole: bool = False  # whether the sample is all there is

    @property
    def name(self) -> str:
        """The first file's name without its endings."""
        return plain_name(self.files[0])

    @property
    def is_in_database(self) -> bool:
        return self.kind == "sqlite"

    @property
    def rows(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)


def plain_name(path: Path) -> str:
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).stem


def sample(file: Path, kind: Kind) -> Table:
    """A sample of one file. Raises BadInput where it cannot be read as what it is."""
    try:
        if kind == "parquet":
            bounds.check_parquet(file)
        if kind in ("parquet", "delta"):
            return _of_arrow(file, kind)
        return _of_lines(file) if kind == "jsonl" else _of_texts(file)
    except (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeError, csv.Error) as error:
        raise BadInput(f"{file} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None


def head(file: Path, kind: Kind) -> pa.Table:
    """Rows of a Parquet file or Delta table: from all over a small file, else from its first, middle and last row group."""
    if kind == "delta":
        from deltalake import DeltaTable

        return DeltaTable(str(file)).to_pyarrow_dataset().head(SAMPLE_ROWS, batch_size=SAMPLE_ROWS)
    with pq.ParquetFile(file) as opened:
        rows, groups = opened.metadata.num_rows, opened.metadata.num_row_groups
        if rows <= SMALL_ROWS:
            table = opened.read()
            return table.take(list(range(0, rows, max(1, -(-rows // SAMPLE_ROWS)))))
        batches = [
            next(opened.iter_batches(SAMPLE_ROWS // 3, row_groups=[group])) for group in sorted({0, groups // 2, groups - 1})
        ]
    return pa.Table.from_batches(batches)


def sampled_lines(file: Path) -> bytes:
    """The sampled bytes of a text file, without lines that are cut in two."""
    blocks, is_whole = _blocks(file)
    cut = [block if number == 0 else block[block.find(b"\n") + 1 :] for number, block in enumerate(blocks)]
    return b"".join(block if is_whole else block[: block.rfind(b"\n") + 1] for block in cut)


def _of_arrow(file: Path, kind: Kind) -> Table:
    table = head(file, kind)
    schema, total = table.schema, pq.read_metadata(file).num_rows if kind == "parquet" else None
    rows = table.to_pylist()
    columns, lists = flat(rows)
    types = {}
    for name, arrow in _leaves(schema):
        columns.setdefault(name, [None] * table.num_rows)
        if pa.types.is_timestamp(arrow):
            types[name] = "zoned time" if arrow.tz else "time"
        elif pa.types.is_date(arrow):
            types[name] = "date"
        elif pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
            types[name] = "number"
    is_whole = total is not None and total <= SAMPLE_ROWS
    return Table([file], kind, columns, types, lists, rows if lists else [], is_whole=is_whole)


def _leaves(schema: Iterable[pa.Field], prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    for f in schema:
        if pa.types.is_struct(f.type):
            yield from _leaves(f.type, f"{prefix}{f.name}.")
        elif not pa.types.is_nested(f.type):
            yield prefix + f.name, f.type


def flat(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, list[str | None]], list[str]]:
    """Rows with nested fields as columns of texts, `properties.name` for a field within another."""
    columns: dict[str, list[str | None]] = {}
    lists: dict[str, None] = {}
    for number, row in enumerate(rows):
        for name, value in fields(row):
            if isinstance(value, list):
                lists[name] = None
                continue
            values = columns.setdefault(name, [])
            values += [None] * (number - len(values))
            values.append(_text(value))
    for values in columns.values():
        values += [None] * (len(rows) - len(values))
    return columns, list(lists)


def fields(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of an object with their paths, `customer.id` for one within another; a list is one value."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), value


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _of_lines(file: Path) -> Table:
    blocks, is_whole = _blocks(file)
    rows: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if blocks[0].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            rows += _objects(blocks[0].decode("utf-8-sig", errors="replace"))
            break
        for line in _whole_lines(block, first=number == 0, last=number == len(blocks) - 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # the latter: nested without an end
                if not rows:
                    raise BadInput(
                        f"{file} is not JSON Lines: a file has one JSON object a line, or is an array of objects."
                    ) from None
                continue
            if isinstance(row, dict):
                rows.append(row)
    if not rows:
        raise BadInput(f"{file} holds no JSON objects, one a line.")
    columns, lists = flat(rows[:SAMPLE_ROWS])
    nested = rows[:SAMPLE_ROWS] if lists else []
    return Table([file], "jsonl", columns, lists=lists, nested=nested, is_whole=is_whole and len(rows) <= SAMPLE_ROWS)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array, as far as the text goes."""
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    while (start := text.find("{", place)) >= 0:
        try:
            row, place = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return
        yield row


def _whole_lines(block: bytes, *, first: bool, last: bool) -> list[str]:
    lines = block.decode("utf-8-sig", errors="replace").splitlines()
    return [line for line in lines[0 if first else 1 : None if last else -1] if line.strip()]


def _of_texts(file: Path) -> Table:
    blocks, is_whole = _blocks(file)
    check_text(file, blocks[0])
    encoding, mark = _encoding(blocks[0])
    if encoding.startswith("utf-16"):  # a block may begin within a character
        blocks, is_whole = blocks[:1], is_whole
    texts = [codecs.getincrementaldecoder(mark or encoding)(errors="replace").decode(block) for block in blocks]
    skip = _title_lines(texts[0])
    texts[0] = "".join(list(io.StringIO(texts[0], newline=""))[skip:])
    delimiter = _delimiter(texts[0])
    names: list[str] = []
    rows: list[list[str]] = []
    for number, text in enumerate(texts):
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        lines = lines[0 if number == 0 else 1 : None if number == len(texts) - 1 and is_whole else -1] or lines[:1]
        if number == 0:
            names, lines = [name.strip() or f"column{i}" for i, name in enumerate(lines[0] if lines else [])], lines[1:]
        rows += lines
    full = [row for row in rows if len(row) == len(names)]
    _check_header(file, names, rows, full)
    step = max(1, len(full) // SAMPLE_ROWS)
    chosen = full[::step][:SAMPLE_ROWS]
    columns: dict[str, list[str | None]] = {n: [row[i].strip() or None for row in chosen] for i, n in enumerate(names)}
    plain = encoding in ("utf-8", "utf-8-sig") or mark is not None
    return Table(
        [file],
        "csv",
        columns,
        delimiter=None if delimiter == "," else delimiter,
        encoding=None if plain else encoding,
        skip=skip,
        is_whole=is_whole and step == 1,
    )


def _check_header(file: Path, names: list[str], rows: list[list[str]], full: list[list[str]]) -> None:
    """Raises BadInput where the first line does not name the columns of the rows below, or where there are none."""
    if not names:
        raise BadInput(f"{file} is empty: a text file starts with its column names.")
    check_distinct(file, names)
    first = ", ".join(names[:8])
    if any(DATED.fullmatch(name) for name in names):
        raise BadInput(f"{file} starts with a row of values ({first}): write a line with a name for each column above it.")
    rows = [row for row in rows if any(row)]
    if not rows:
        raise BadInput(f"{file} has column names and no rows.")
    if len(full) < len(rows) / 2:
        raise BadInput(
            f"{file} starts with {first!r}, which does not head the rows below: a text file starts with its column names, so "
            "delete the lines above them, or say how many they are with `skip:` in the source file."
        )


def _blocks(file: Path) -> tuple[list[bytes], bool]:
    """Bytes of the beginning, the middle and the end of a file, and whether that is all of it."""
    name = file.name.lower()
    if name.endswith(".gz"):
        with gzip.open(file) as opened:
            block = opened.read(SAMPLE_BYTES)
            return [block], not opened.read(1)
    if name.endswith(".zst"):
        with pa.input_stream(str(file), compression="zstd") as opened:
            block = opened.read(SAMPLE_BYTES)
            return [block], not opened.read(1)
    size = os.stat(file).st_size
    with file.open("rb") as opened:
        if size <= 3 * SAMPLE_BYTES:
            return [opened.read()], True
        blocks = []
        for place in (0, (size - SAMPLE_BYTES) // 2, size - SAMPLE_BYTES):
            opened.seek(place)
            blocks.append(opened.read(SAMPLE_BYTES))
    return blocks, False


def _encoding(block: bytes) -> tuple[str, str | None]:
    """The encoding of a text, and the name under which its byte order mark is read, where it has one."""
    if block.startswith(codecs.BOM_UTF8):
        return "utf-8", "utf-8-sig"
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)
        return "utf-8", None
    except UnicodeDecodeError:
        return encoding_of(block), None


def _title_lines(text: str) -> int:
    """How many lines stand above the column names: narrow ones, such as a title and a date, before rows that are all as wide."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), TITLE_LINES))
    likely: tuple[float, int] = (0, 0)
    for sign in DELIMITERS:
        reader, rows, starts = csv.reader(lines, delimiter=sign), list[list[str]](), list[int]()
        before = 0
        for row in reader:
            rows.append(row)
            starts.append(before)
            before = reader.line_num
        width = statistics.mode(map(len, rows)) if rows else 0
        header = next((i for i, row in enumerate(rows) if len(row) == width), 0)
        below = [row for row in rows[header:] if row]
        if width < 3 or any(len(row) * 2 > width for row in rows[:header]) or not all(_may_be_name(n) for n in rows[header]):
            continue
        likely = max(likely, (width * sum(len(row) == width for row in below) / len(below), starts[header]))
    return likely[1]


def _may_be_name(cell: str) -> bool:
    return not DATED.fullmatch(cell) and not re.fullmatch(r"[-+]?[\d.,]+", cell)


def _delimiter(text: str) -> str:
    """The sign that cuts the first lines into the same number of fields, most of them; a comma where none does."""
    lines = list(itertools.islice((line for line in text.splitlines() if line.strip()), 20))
    best = max(DELIMITERS, key=lambda sign: _width(lines, sign))
    return best if _width(lines, best) else ","


def _width(lines: Sequence[str], sign: str) -> float:
    widths = [len(row) for row in csv.reader(lines, delimiter=sign)]
    if not widths or widths[0] < 2:
        return 0
    return widths[0] * sum(w == widths[0] for w in widths) / len(widths)
