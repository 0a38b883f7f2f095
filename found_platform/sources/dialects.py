"""Dialects: the signs a text file is written with, told or recognised by its header.

What belongs here: encodings, the delimiter, the header line. What does not: reading rows (`files`).
"""

import codecs
import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from found_platform import bounds
from found_platform.bounds import compression, opened
from found_platform.errors import BadInput
from found_platform.sources import copies
from found_platform.sources.options import Location

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a file begins with that says its encoding; the longer marks first, for one begins with another."""
MOST_COLUMNS = 5_000
HEADER_LIMIT = 1 << 20  # bytes in which a header line must end


@dataclass(frozen=True)
class Dialect:
    """How one CSV file is written, and its column names."""

    file: Path
    content: Path  # the file, or its copy in UTF-8
    names: list[str]
    delimiter: str
    note: str = ""  # what was recognised instead of told
    copy: Any = field(default=None, repr=False)  # the copy goes with its last user


def encoding(file: Path, location: Location) -> str:
    """The encoding of a text file: as its first bytes say, else as told, else UTF-8."""
    with opened(file) as stream:
        start = stream.read(4)
    marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    if marked is None and location.encoding is None and len(start) == 4 and b"\0" in start:
        return "utf-16-le" if start[1] == 0 else "utf-16-be"
    return marked or location.encoding or "utf-8"


def in_utf8(file: Path, name: str, label: str, skip: int = 0) -> tuple[Path, Any]:
    """The file itself where it is UTF-8 already and no line is skipped, else a temporary copy, and what its life hangs on."""
    is_utf8 = codecs.lookup(name).name in ("utf-8", "ascii")
    if is_utf8 and not skip:
        return file, None
    copy = copies.new()
    try:
        with opened(file) as stream:
            errors = "surrogateescape" if is_utf8 else "strict"  # of UTF-8 broken bytes stay: they spoil their row, not the file
            text = io.TextIOWrapper(stream, encoding=name, errors=errors, newline="")
            for _ in range(skip):
                text.readline()
            shutil.copyfileobj(text, codecs.getwriter("utf-8")(copy, errors), 1 << 20)
    except UnicodeError as error:
        raise BadInput(f"{file} is not {label}: {error}; say its `encoding` in the source file.") from None
    copy.flush()
    return Path(copy.name), copy


FOREIGN = {
    b"PK\x03\x04": "an Excel or ZIP file",
    b"\xd0\xcf\x11\xe0": "an Excel file of an old version",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"%PDF": "a PDF file",
    b"SQLite format 3": "a SQLite database",
}
"""First bytes of what is no text."""


def check_text(file: Path, start: bytes) -> None:
    """Raises BadInput where the first bytes are those of a file of another kind."""
    if (kind := next((kind for mark, kind in FOREIGN.items() if start.startswith(mark)), None)) is not None:
        raise BadInput(f"{file} is {kind}, whatever its name: save it as CSV, or give it the ending of what it is.")


def dialect(file: Path, location: Location) -> Dialect:
    """The dialect of a CSV file. Raises BadInput where it has no header line or where the delimiter is not clear."""
    bounds.check_text(file)
    name = encoding(file, location)
    try:
        read, copy = in_utf8(file, name, name, location.skip or 0)
        with opened(read) as stream:
            start = stream.read(HEADER_LIMIT).removeprefix(codecs.BOM_UTF8)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise BadInput(f"{file} cannot be read: {str(error).splitlines()[0]}.") from None
    if not start.strip():
        if location.skip:
            raise BadInput(
                f"{file} ends before line {location.skip + 1:,}, where `skip: {location.skip}` expects the column names."
            )
        raise BadInput(f"{file} is empty: a text file starts with its column names; take it away, or give it that line.")
    check_text(file, start)
    # broken bytes in the rows below must not spoil the header
    text = start.decode("utf-8", errors="surrogateescape")
    line = next(iter(_records(text, location.quote)), "")
    if not line.strip() and text.strip():
        raise BadInput(f"{file} has an empty line where its column names belong: `skip:` says how many lines stand above them.")
    if not line.strip() or any(0xDC80 <= ord(c) <= 0xDCFF for c in line):
        remedy = "" if location.encoding else "; another encoding is told by `encoding:`, for example `encoding: cp1252`"
        raise BadInput(f"{file} has no header line in UTF-8: a CSV file starts with its column names{remedy}.")
    delimiter = location.delimiter or ("\t" if _bare(file).endswith(".tsv") else None)
    note = ""
    if delimiter is None:
        delimiter, note = _recognised(file, line, location.quote)
    try:
        names = next(csv.reader([line], delimiter=delimiter, **_quoting(location)), [])
    except csv.Error as error:
        raise BadInput(f"{file} has no header line that can be read ({error}): a CSV file starts with its column names.") from None
    if len(names) > MOST_COLUMNS:
        raise BadInput(f"{file} has {len(names):,} columns: at most {MOST_COLUMNS:,} are read. Leave out what no entry maps.")
    names = [name.strip() or f"column{i}" for i, name in enumerate(names)]
    check_distinct(file, names)
    check_named(file, names)
    return Dialect(file, read, names, delimiter, note, copy)


def _bare(file: Path) -> str:
    """The name of a file in lower case, without the ending of its compression."""
    return file.name.lower() if compression(file) == "none" else file.stem.lower()


def _quoting(location: Location) -> dict[str, Any]:
    if not location.quote:
        return {"quoting": csv.QUOTE_NONE}
    return {"quotechar": location.quote, "strict": False}


def _records(text: str, quote: str) -> Iterator[str]:
    """The first record: up to the first line end that is not within quotes."""
    within = False
    for i, sign in enumerate(text):
        if quote and sign == quote:
            within = not within
        elif sign in "\r\n" and not within:
            yield text[:i]
            return
    yield text


def _recognised(file: Path, line: str, quote: str) -> tuple[str, str]:
    """The delimiter of a header line, and a note where it is no comma. Raises BadInput where two could be meant."""
    within = line.split(quote)[::2] if quote else [line]  # what stands in quotes is part of a name
    counts = {sign: sum(part.count(sign) for part in within) for sign in DELIMITERS}
    signs = [sign for sign, n in counts.items() if n]
    if len(signs) > 1:
        listed = " and ".join(f"{DELIMITERS[sign]} ({counts[sign]})" for sign in signs)
        raise BadInput(
            f"{file}: its header holds {listed}, so its columns are not clear: say `delimiter:` in the source file, "
            f'for example `delimiter: "{max(signs, key=lambda s: counts[s])}"`.'
        )
    if not signs or signs == [","]:
        return ",", ""
    return signs[0], f"{file.name}: recognised the {DELIMITERS[signs[0]]} as delimiter"


def check_named(file: Path, names: list[str]) -> None:
    """Raises BadInput where the name of a column is no text: no query could name it."""
    if any("\0" in name for name in names):
        raise BadInput(f"{file} has a column whose name holds a zero byte: is it in another encoding? Say its `encoding:`.")


def check_distinct(file: Path, names: list[str]) -> None:
    if len({name.lower() for name in names}) < len(names):
        raise BadInput(
            f"{file} names a column twice ({', '.join(names)}): names must differ, not only in case; "
            "give one of them another name in its first line."
        )
