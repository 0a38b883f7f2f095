"""Many byte strings, searched for at once: the time that a search takes does not grow with how many there are.

The first `WIDTH` bytes at every place become a number; a table of one bit for each of 2^BITS hashes of such numbers rules nearly
all places out; the few that are left are compared.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

WIDTH, BITS = 6, 24
BLOCK = 1 << 22
"""Bytes that are searched at a time: what is computed for them takes twenty times as much memory."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Needles:
    """Byte strings of `WIDTH` bytes at least.

    A plain one counts only as a whole: of "1234567" nothing is found in "12345678", since a digit goes on before or after it, or a
    letter beside a letter. An encoded one counts wherever it stands, as a user key does: arrays hold one after the other.
    """

    def __init__(self, plain: Iterable[bytes], encoded: Iterable[bytes]):
        self._plain = frozenset(plain)
        every = self._plain | frozenset(encoded)
        self.longest = max(map(len, every), default=0)
        # thousands of ids of one form begin alike: those of a length are told by one look into a set
        by_start: dict[bytes, dict[int, set[bytes]]] = {}
        for needle in every:
            by_start.setdefault(needle[:WIDTH], {}).setdefault(len(needle), set()).add(needle)
        self._by_start = {start: sorted(by_length.items(), reverse=True) for start, by_length in by_start.items()}
        starts = np.array([list(start) for start in by_start], np.uint8).reshape(-1, WIDTH)
        self._starts = np.sort(_numbers(starts[:, i] for i in range(WIDTH)))
        self._table = np.zeros(1 << BITS, bool)
        self._table[_hashes(self._starts)] = True

    def places(self, data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
        """Where each of them stands in some bytes, in ascending order."""
        view = memoryview(data)
        count = len(view) - WIDTH + 1
        for start in range(0, max(count, 0), BLOCK):
            block = np.frombuffer(view[start : start + BLOCK + WIDTH - 1], np.uint8)
            n = len(block) - WIDTH + 1
            numbers = _numbers(block[i : i + n] for i in range(WIDTH))
            likely = np.flatnonzero(self._table[_hashes(numbers)])
            for place in (likely[self._begins(numbers[likely])] + start).tolist():
                for length, needles in self._by_start[bytes(view[place : place + WIDTH])]:
                    needle = bytes(view[place : place + length])
                    if needle in needles and self._whole(view, place, needle):
                        yield place, needle

    def _begins(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) bool: whether a byte string begins with the bytes of each of these numbers."""
        places = np.searchsorted(self._starts, numbers)
        places[places == len(self._starts)] = 0
        return self._starts[places] == numbers if len(self._starts) else np.zeros(len(numbers), bool)

    def _whole(self, view: memoryview, place: int, needle: bytes) -> bool:
        if needle not in self._plain:
            return True
        after = place + len(needle)
        before_goes_on = place > 0 and _same_kind(view[place - 1], needle[0])
        return not before_goes_on and not (after < len(view) and _same_kind(view[after], needle[-1]))

    def among(self, data: bytes | memoryview) -> bool:
        """Whether any of them stands in some bytes."""
        return next(self.places(data), None) is not None

    def replaced(self, data: bytes, by: Callable[[bytes], bytes]) -> bytes:
        """The bytes with something else in the place of each of them."""
        parts: list[bytes] = []
        end = 0
        for place, needle in self.places(data):
            if place >= end:
                parts += [data[end:place], by(needle)]
                end = place + len(needle)
        return b"".join([*parts, data[end:]])


def _numbers(columns: Iterable[np.ndarray]) -> np.ndarray:
    """(N,) uint64: the bytes of each row of these columns as one number."""
    number: np.ndarray | None = None
    for i, column in enumerate(columns):
        shifted = column.astype(np.uint64) << np.uint64(8 * i)
        number = shifted if number is None else number | shifted
    assert number is not None
    return number


def _hashes(numbers: np.ndarray) -> np.ndarray:
    return (numbers * MULTIPLIER) >> np.uint64(64 - BITS)


DIGIT, LETTER = re.compile(rb"[0-9]"), re.compile(rb"[A-Za-z]")


def _same_kind(one: int, other: int) -> bool:
    pair = bytes([one]), bytes([other])
    return all(map(DIGIT.match, pair)) or all(map(LETTER.match, pair))
