"""The files of users that people bring: seeds, exclusions, suppressions, labels. One reader for all of them.

What belongs here: Parquet, CSV and plain text as rows of texts. What does not: what an id becomes (`keys`), and the files of a
source, which are scanned where they lie (`sources`).
"""

import csv
import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import bounds, lake
from found_platform.errors import BadInput


class Row(NamedTuple):
    """Its number from 1 below the header, the raw id, and the texts of the columns that were asked for."""

    number: int
    user_id: str
    values: tuple[str | None, ...]


def read(path: Path, columns: Sequence[str] = (), *, required: str | None = None) -> Iterator[Row]:
    """The rows of a file: Parquet, CSV (also .gz or .zst) or plain text, with a column `user_id`, or nothing but ids, one a line.

    Ids are taken as they are, spaces and leading zeros included, as in a source.

    Args:
        columns: columns beside `user_id`; one that the file does not have is None in every row.
        required: a sentence about the columns, for the error where one of them is missing; None: none has to be there.

    Raises BadInput that names the file and the row.
    """
    if not path.is_file():
        raise BadInput(f"The file of users {path} does not exist: write their ids into a file, one a line, and name it.")
    for number, user_id, values in (_of_parquet if path.suffix == ".parquet" else _of_text)(path, columns, required):
        if not user_id or user_id.isspace():
            raise BadInput(f"{path}, row {number:,}: there is no user id.")
        if "\n" in user_id or "\r" in user_id:
            raise BadInput(f"{path}, row {number:,}: the user id holds a line break: does a double quote open and not close?")
        yield Row(number, user_id, values)


Texts = tuple[int, str | None, tuple[str | None, ...]]


def _of_parquet(path: Path, columns: Sequence[str], required: str | None) -> Iterator[Texts]:
    try:
        bounds.check_parquet(path)
        names = pq.read_schema(path).names
        _check(path, names, columns, required)
        if names.count("user_id") != 1 and len(names) != 1:
            raise _no_column(path, f"; it has {', '.join(names)}")
        selected = ["user_id" if "user_id" in names else names[0], *(c for c in columns if c in names)]
        rows = pq.read_table(path, columns=selected)
        con = lake.connect()
        con.register("file_rows", rows)
        cells = _as_texts(con, selected)
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None
    for number, (user_id, *others) in enumerate(cells, 1):
        beside = dict(zip(selected[1:], others, strict=True))
        yield number, user_id, tuple(beside.get(column) for column in columns)


def _as_texts(con: duckdb.DuckDBPyConnection, selected: Sequence[str]) -> list[tuple[str | None, ...]]:
    texts = ", ".join(f"CAST({lake.quote(name)} AS VARCHAR)" for name in selected)  # a number as the scan of a source writes it
    return con.execute(f"SELECT {texts} FROM file_rows").fetchall()


def _of_text(path: Path, columns: Sequence[str], required: str | None) -> Iterator[Texts]:
    records = _records(path)
    header = next(records, [])
    _check(path, header, columns, required)
    named = header.count("user_id") == 1
    if not named:
        if len(header) != 1 or any(sign in header[0] for sign in ";\t"):
            raise _no_column(path, "")  # what is there may be ids
        header, records = ["user_id"], itertools.chain([header], records)
    for number, record in enumerate(records, 1):
        if record and len(record) != len(header):
            raise BadInput(f"{path}, row {number:,}: {len(record)} values where there should be {len(header)}.")
        if record:  # an empty line is none
            row = dict(zip(header, record, strict=True))
            yield number, row["user_id"], tuple(row.get(column) for column in columns)


def _check(path: Path, names: Sequence[str], columns: Sequence[str], required: str | None) -> None:
    if required and (missing := [c for c in ("user_id", *columns) if c not in names]):
        raise BadInput(f"{path} has no column {', '.join(missing)}: {required}.")


def _records(path: Path) -> Iterator[list[str]]:
    bounds.check_text(path)
    records = None
    try:
        with bounds.opened(path) as stream:
            records = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), strict=True)
            yield from records
    except csv.Error as error:
        raise BadInput(f"{path}, line {records.line_num if records else 1:,} cannot be read as CSV: {error}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text: save it as UTF-8, or as Parquet with the suffix .parquet.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from None


def _no_column(path: Path, listing: str) -> BadInput:
    return BadInput(
        f"{path} has no column user_id{listing}: give it a header with user_id and commas between columns, or nothing but ids, one "
        "a line."
    )
