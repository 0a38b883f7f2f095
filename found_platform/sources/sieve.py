"""The sieve: rows of a CSV file that cannot be split are told apart by their bytes, before the engine reads the file.

What belongs here: which lines have another number of columns or are no UTF-8, and a copy of the file without them. What does not:
values. The engine could refuse such rows too, but takes 100 microseconds and 4 kB of memory for each, and loses whole stretches of
rows where several threads begin to read among them (`parallel` of DuckDB 1.5: 82,000 of 200,000 rows). The sieve takes a tenth of a
microsecond a row, half a one where it has quotes, and says how many rows there must be.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from found_platform.bounds import opened
from found_platform.sources import copies

LEAST = 1 << 20  # bytes from which a file is worth it
BLOCK = 1 << 22  # bytes that are looked at at once
LONGEST = 2_000_000  # bytes of a line that the engine reads
COLUMNS, ENCODING = "wrong number of columns", "not UTF-8"
NEWLINE, RETURN, NOT_ASCII = 10, 13, 128


@dataclass(frozen=True)
class Sieved:
    """What a file holds. Rows are numbered from 1 below the header, empty lines among them."""

    rows: int  # that can be split
    refused: dict[str, "array[int]"]  # row numbers by reason
    empty: "array[int]"  # row numbers of empty lines
    regular: bool  # whether every quote stands where it should: then the engine refuses none
    content: Path  # the file, or its copy without the refused rows and the empty lines
    missing: np.ndarray  # row numbers that the copy lacks, ascending
    copy: Any = field(default=None, repr=False)  # the copy goes with its last user


class Unsplittable(Exception):
    """A value may go over several lines, or a line is too long: nothing can be said line by line."""


def sieve(file: Path, columns: int, delimiter: str, quote: str) -> Sieved | None:
    """Looks at each line of a CSV file; None where a value may go over several lines, or the file is small."""
    if columns < 2 or file.stat().st_size < LEAST:
        return None
    lines = _Lines(columns, delimiter.encode(), quote.encode())
    try:
        with opened(file) as stream:
            for block in _blocks(stream):
                lines.look(block)
    except Unsplittable:
        return None
    refused = {COLUMNS: lines.uneven, ENCODING: lines.undecodable}
    bad = sum(map(len, refused.values()))
    rows = max(0, lines.count - 1) - bad - len(lines.empty)
    if not bad:
        return Sieved(rows, refused, lines.empty, lines.regular, file, np.empty(0, np.int64))
    left_out = np.zeros(lines.count, np.bool_)
    for numbers in (*refused.values(), lines.empty):
        left_out[np.frombuffer(numbers, np.int64)] = True
    copy = _without(file, left_out)
    return Sieved(rows, refused, lines.empty, lines.regular, Path(copy.name), np.flatnonzero(left_out), copy)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time. Raises Unsplittable for a line that is longer than the engine reads."""
    rest = b""
    while block := stream.read(BLOCK):
        block = rest + block
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if len(rest) > LONGEST:
            raise Unsplittable
        if end:
            yield block[:end]
    if rest:
        yield rest


def _starts(block: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a block, and where each of its lines starts."""
    signs = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(signs == NEWLINE)
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    return signs, starts[:-1] if block.endswith(b"\n") else starts


class _Lines:
    """What is known of the lines so far. Lines with quotes are looked at one by one, all others many at a time."""

    def __init__(self, columns: int, delimiter: bytes, quote: bytes):
        self.count = 0  # of all lines, the header among them
        self.uneven, self.undecodable, self.empty = array("q"), array("q"), array("q")
        self.regular = True
        self._delimiters = columns - 1
        self._sign, self._mark = delimiter, quote
        self._proper = _proper(delimiter, quote)

    def look(self, block: bytes) -> None:
        """Counts the lines of a block. Raises Unsplittable."""
        signs, starts = _starts(block)
        after = np.append(starts[1:], len(block))
        if (after - starts).max() > LONGEST:
            raise Unsplittable
        returns = np.flatnonzero(signs == RETURN)
        if len(returns) and (returns[-1] == len(block) - 1 or (signs[returns + 1] != NEWLINE).any()):
            raise Unsplittable
        uneven = np.add.reduceat((signs == self._sign[0]).view(np.int8), starts, dtype=np.int32) != self._delimiters
        empty = (signs[starts] == NEWLINE) | (signs[starts] == RETURN)
        undecodable = np.zeros(len(starts), np.bool_)
        if not block.isascii() and not _is_utf8(block):
            for line in np.unique(np.searchsorted(starts, np.flatnonzero(signs >= NOT_ASCII), side="right") - 1):
                undecodable[line] = not _is_utf8(block[starts[line] : after[line]])
        if self._mark and self._mark in block:
            for line in np.unique(np.searchsorted(starts, np.flatnonzero(signs == self._mark[0]), side="right") - 1):
                uneven[line] = self._is_uneven(block[starts[line] : after[line]].rstrip(b"\r\n"))
        undecodable &= ~uneven  # a row with both faults has the first one
        uneven &= ~empty
        for numbers, which in ((self.uneven, uneven), (self.undecodable, undecodable), (self.empty, empty)):
            rows = np.flatnonzero(which) + self.count
            numbers.frombytes(rows[rows > 0].astype(np.int64).tobytes())  # the header is no row
        self.count += len(starts)

    def _is_uneven(self, text: bytes) -> bool:
        """Whether a line with quotes has another number of columns."""
        if text.count(self._mark) % 2:
            raise Unsplittable
        if sum(part.count(self._sign) for part in text.split(self._mark)[::2]) != self._delimiters:
            return True
        self.regular = self.regular and self._proper.fullmatch(text) is not None
        return False


def _proper(sign: bytes, mark: bytes) -> "re.Pattern[bytes]":
    """A line whose quotes begin and end values, doubled within them."""
    if not mark:
        return re.compile(rb".*")
    q, d = re.escape(mark), re.escape(sign)
    value = rb"(?:[^" + q + d + rb"]*|" + q + rb"(?:[^" + q + rb"]|" + q + q + rb")*" + q + rb")"
    return re.compile(value + rb"(?:" + d + value + rb")*")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without(file: Path, left_out: np.ndarray) -> Any:
    """A temporary copy of a file without some of its lines."""
    copy, number = copies.new(), 0
    with opened(file) as stream:
        for block in _blocks(stream):
            signs, starts = _starts(block)
            lengths = np.diff(np.append(starts, len(block)))
            kept = ~left_out[number : number + len(starts)]
            copy.write(signs[np.repeat(kept, lengths)].tobytes())
            number += len(starts)
    copy.flush()
    return copy
