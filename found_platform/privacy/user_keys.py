"""User keys as one sorted array: where a key stands is found by bisection, and the array may be a file that is mapped."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import pyarrow as pa

TYPE = np.dtype("S32")
"""A key as bytes: the hexadecimal digits of 128 bits."""


def as_bytes(keys: pa.Array) -> np.ndarray:
    """Some keys as an array of bytes."""
    return np.array(keys.to_pylist(), TYPE)


class UserKeys(Sequence[str]):
    """Keys (U,) in the order of the alphabet, as bytes of one width."""

    def __init__(self, sorted_keys: np.ndarray):
        self.array = sorted_keys

    @classmethod
    def of(cls, keys: Sequence[str]) -> "UserKeys":
        """Keys that are in order already."""
        return keys if isinstance(keys, UserKeys) else cls(np.array(keys, np.bytes_))

    def rows(self, keys: Iterable[str]) -> np.ndarray:
        """(N,) int64 where each of some keys stands; -1 for one that is not there."""
        requested = keys.array if isinstance(keys, UserKeys) else np.array(list(keys), np.bytes_)
        if not len(self.array) or not len(requested):
            return np.full(len(requested), -1)
        places = np.minimum(np.searchsorted(self.array, requested), len(self.array) - 1)
        return np.where(self.array[places] == requested, places, -1)

    def beginning_with(self, start: str) -> str | None:
        """The one key that begins so; None where there is none, or more than one."""
        first, after = np.searchsorted(self.array, [start.encode(), start.encode() + b"g"])  # the first letter that is no hex digit
        return self.take(np.array([first]))[0] if after - first == 1 else None

    def mask(self, keys: Iterable[str]) -> np.ndarray:
        """(U,) bool: who is one of some keys."""
        mask = np.zeros(len(self), bool)
        rows = self.rows(keys)
        mask[rows[rows >= 0]] = True
        return mask

    def take(self, rows: np.ndarray) -> list[str]:
        """The keys at some rows."""
        return self.array[rows].astype(str).tolist()

    @cached_property
    def arrow(self) -> pa.Array:
        """The keys as Arrow strings, over the same bytes where none is shorter than the others."""
        width, count = self.array.itemsize, len(self.array)
        if not count or not self.array.view(np.uint8)[width - 1 :: width].all():
            return pa.array(self.array, pa.binary()).cast(pa.string())
        short = width * count < 2**31
        ends = width * np.arange(count + 1, dtype=np.int32 if short else np.int64)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(self.array)]
        return pa.Array.from_buffers(pa.string() if short else pa.large_string(), count, buffers)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[str]:
        return iter(self.array.astype(str).tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        return self.take(np.arange(len(self))[place]) if isinstance(place, slice) else self.array[place].decode()
