"""Table values as codes: numbers by quantile, all else by value, "missing" a code of its own. Fitted on training rows alone."""

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


def fit(table: Mapping[str, Sequence[Any]]) -> tuple[Column, ...]:
    """The codes of each column of a table, from its rows. A column of numbers becomes bins, any other a list of its values."""
    return tuple(_fit(name, column) for name, column in table.items())


def _fit(name: str, column: Sequence[Any]) -> Column:
    values = [v for v in column if not _missing(v)]
    if values and all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        numbers = np.array(values, float)
        numbers = numbers[np.isfinite(numbers)]
        edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS)) if len(numbers) else ()
        return Column(name, edges=tuple(float(e) for e in edges))
    names, counts = np.unique([str(v) for v in values], return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")[:VALUES]]
    return Column(name, values=tuple(sorted(str(n) for n in frequent)))


def _missing(value: Any) -> bool:
    return value is None or value != value  # not a number is not itself


def encode(columns: Sequence[Column], table: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """(N, F) int64 codes of a table's rows."""
    if not columns:
        return np.zeros((len(next(iter(table.values()), ())), 0), np.int64)
    return np.stack([c.encode(table[c.name]) for c in columns], 1)
