"""Files of training rows, each mapped when it is read, and rows drawn from them without a number held for each.

What belongs here: one file of rows, which rows of all files there are of a kind, and their random order. What does not: what a
batch is made of (`data`). All rows of a user lie in one file.

A random order of everybody would be a number for each row. So files are put into a random order, and rows are shuffled among those
of WINDOW files at a time: where there are no more files than that, it is a random order of all rows.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

ROWS = {
    "event": ("event_text", "event_time", "event_channel", "event_amount", "event_exposed"),
    "search": ("search_text", "search_time"),
    "item": ("item_text", "item_weight"),
}
"""Ragged columns by their count column, `event_counts` and so on. Beside them: `cells` (N, F), `activity` (N, A), `t1` (N,) and the
times in microseconds UTC, `owner` (N,) whose row it is, `fold` (N,)."""

PART = 65_536
"""Rows whose events are looked through at once."""

WINDOW = 16
"""Files whose rows are shuffled with each other."""


class Shard:
    """One file of rows, memory-mapped. Places count from its first row."""

    def __init__(self, path: Path):
        self.path = path
        self.columns = tensors(path)
        counts = {kind: self.columns[f"{kind}_counts"].long() for kind in ROWS}
        self._starts = {kind: count.cumsum(0) - count for kind, count in counts.items()}

    def __len__(self) -> int:
        return len(self.columns["t1"])

    @cached_property
    def descriptions(self) -> list[str]:
        return json.loads(self.path.with_name(self.path.stem.replace("rows", "descriptions") + ".json").read_text())

    def check(self) -> None:
        """Nothing in a history may have happened at its t1 or later. Raises ValueError that names the row and the time."""
        for kind in ("event", "search"):
            counts, times = self.columns[f"{kind}_counts"].long(), self.columns[f"{kind}_time"]
            if len(times) != int(counts.sum()):
                raise ValueError(f"{self.path}: {kind}_counts add up to {counts.sum()}, not {len(times)}.")
            for first, owner, places in self._parts(kind):
                late = times[places] >= self.columns["t1"][first + owner]
                if late.any():
                    place = int(late.nonzero()[0])
                    row = first + int(owner[place])
                    raise ValueError(
                        f"{self.path}: row {row} holds the {kind} of {_moment(times[places][place])} in its history, which ends "
                        f"before {_moment(self.columns['t1'][row])}."
                    )

    def _parts(self, kind: str) -> Iterator[tuple[int, Tensor, slice]]:
        """What rows have of a kind, PART rows at a time: the first row, whose (M,) each is, counted from that row on, and where
        they lie."""
        starts, counts = self._starts[kind], self.columns[f"{kind}_counts"]
        for first in range(0, len(self), PART):
            of_part = counts[first : first + PART].long()
            start = int(starts[first])
            yield first, torch.repeat_interleave(of_part), slice(start, start + int(of_part.sum()))

    def where(self, chosen: Tensor, described: bool) -> Tensor:
        """The rows (M,) among the `chosen` (N,) bool that have a history; with `described`, one of own acts, and a future."""
        mask = chosen & (self.columns["event_counts"] + self.columns["search_counts"] > 0)
        if described:
            own = self.columns["search_counts"].long().clone()
            for first, owner, places in self._parts("event"):
                acts = torch.bincount(owner[~self.columns["event_exposed"][places].bool()])
                own[first : first + len(acts)] += acts
            mask = mask & (self.columns["item_counts"] > 0) & (own > 0)
        return torch.nonzero(mask)[:, 0]

    def flat(self, kind: str, rows: Tensor) -> dict[str, Tensor]:
        """The ragged columns of a kind of some rows, one row after another."""
        places = spans(self._starts[kind][rows], self.columns[f"{kind}_counts"][rows].long())
        return {name: self.columns[name][places] for name in ROWS[kind]}


class Rows:
    """Rows of one kind, found in their files as they are asked for.

    `counts` (S,) says how many each file has, `of` gives those of a file, as numbers of rows among all files, ascending.
    """

    def __init__(self, counts: Sequence[int], of: Callable[[int], Tensor]):
        self._counts, self._of = counts, of
        self._windows = lru_cache(1)(self._windowed)
        self._order = lru_cache(2)(self._shuffled)  # a batch may lie in two windows

    @classmethod
    def among(cls, rows: Tensor) -> "Rows":
        """Rows (N,) that are known."""
        return cls([len(rows)], lambda _: rows)

    def __len__(self) -> int:
        return sum(self._counts)

    def parts(self) -> Iterator[Tensor]:
        """The rows of each file that has some."""
        return (self._of(shard) for shard, count in enumerate(self._counts) if count)

    def __getitem__(self, places: slice) -> Tensor:
        """Some of the first rows, in their order."""
        start, end, step = places.indices(len(self))
        assert step == 1, "rows are read in their order"
        return self._between([(count, lambda shard=shard: self._of(shard)) for shard, count in enumerate(self._counts)], start, end)

    def shuffled(self, seed: int, start: int, end: int) -> Tensor:
        """The rows from one place to another of a random order, in which each row has one place."""
        parts = [
            (sum(self._counts[shard] for shard in window), lambda number=number: self._order(seed, number))
            for number, window in enumerate(self._windows(seed))
        ]
        return self._between(parts, start, end)

    @staticmethod
    def _between(parts: Sequence[tuple[int, Callable[[], Tensor]]], start: int, end: int) -> Tensor:
        """Of parts one after another, each with a number of rows and what gives them, those from one place to another."""
        rows, first = [torch.empty(0, dtype=torch.long)], 0
        for count, read in parts:
            if count and first < end and start < first + count:
                rows.append(read()[max(0, start - first) : end - first])
            first += count
        return rows[-1] if len(rows) == 2 else torch.cat(rows)

    def _windowed(self, seed: int) -> list[list[int]]:
        """The files by windows: all of them in one, or in a random order."""
        count = len(self._counts)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        return [sorted(order[first : first + WINDOW]) for first in range(0, count, WINDOW)]

    def _shuffled(self, seed: int, number: int) -> Tensor:
        """The rows of a window in the order of an epoch, made once and not at every step."""
        rows = torch.cat([self._of(shard) for shard in self._windows(seed)[number]])
        return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed + (number << 41)))]


def spans(starts: Tensor, counts: Tensor) -> Tensor:
    """The places of spans that begin at `starts` (N,) and have `counts` (N,) places, one span after another."""
    shift = starts - (counts.cumsum(0) - counts)
    return torch.arange(int(counts.sum())) + torch.repeat_interleave(shift, counts)


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, memory-mapped."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def length(path: Path) -> int:
    """How many rows a file has, by its header alone."""
    with safe_open(path, "pt") as file:
        return file.get_slice("t1").get_shape()[0]


def _moment(time: Tensor) -> str:
    return f"{dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(time)):%Y-%m-%d %H:%M:%S.%f} UTC"
