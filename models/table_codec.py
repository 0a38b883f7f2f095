"""Table values as codes: numbers by quantile, all else by value, "missing" a code of its own. Fitted on training rows alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 10
VALUES = 64
"""Most frequent values of a column that get a code; the others share one."""


@dataclass(frozen=True)
class Column:
    """A column's codes: 0 missing; a number 1 + its quantile bin; a value 1 + its place; a value never seen the last code."""

    name: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        return 2 + (len(self.edges) if self.values is None else len(self.values))

    def encode(self, column: Sequence[Any]) -> np.ndarray:
        if self.values is None:
            numbers = np.array([np.nan if v is None else float(v) for v in column])
            return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(self.edges, numbers, side="right"))
        codes = {v: i + 1 for i, v in enumerate(self.values)}
        return np.array([0 if _missing(v) else codes.get(str(v), len(codes) + 1) for v in column], np.int64)


def fit(table: Mapping[str, Sequence[Any] | np.ndarray | Counter]) -> tuple[Column, ...]:
    """The codes of each column of a table, from its rows. A column of numbers becomes bins, any other a list of its values.

    A column is its values, row by row; an array of numbers; or how often each value occurs, of the most frequent VALUES at least.
    """
    return tuple(_fit(name, column) for name, column in table.items())


def _fit(name: str, column: Sequence[Any] | np.ndarray | Counter) -> Column:
    if isinstance(column, Counter):
        return _of_values(name, column)
    if isinstance(column, np.ndarray):
        numbers = column[~np.isnan(column)]
        return _of_numbers(name, numbers) if len(numbers) else Column(name, values=())
    values = [v for v in column if not _missing(v)]
    if values and all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        return _of_numbers(name, np.array(values, float))
    return _of_values(name, Counter(map(str, values)))


def _of_numbers(name: str, numbers: np.ndarray) -> Column:
    numbers = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS)) if len(numbers) else ()
    return Column(name, edges=tuple(float(e) for e in edges))


def _of_values(name: str, counts: Counter) -> Column:
    """Of equally frequent values the first in the alphabet."""
    frequent = sorted(counts, key=lambda value: (-counts[value], str(value)))[:VALUES]
    return Column(name, values=tuple(sorted(map(str, frequent))))


def _missing(value: Any) -> bool:
    return value is None or value != value  # not a number is not itself


def encode(columns: Sequence[Column], table: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """(N, F) int64 codes of a table's rows."""
    if not columns:
        return np.zeros((len(next(iter(table.values()), ())), 0), np.int64)
    return np.stack([c.encode(table[c.name]) for c in columns], 1)
