"""The files a training process reads, in one folder, and batches made of them.

texts.safetensors   vectors (T, E) float16, counts (T,) how many users of the training folds have the text
rows-NNNNN.safetensors   rows, one a user and moment t1, in files of some ten thousand: see `shards.ROWS`; ragged columns lie flat,
                    with a count a row. All rows of a user lie in one file; one file alone may be called rows.safetensors
data.json           {"encoder", "encoder_revision", "columns", ...}
texts.json, descriptions-NNNNN.json   the strings, for text towers that are trained

What is held of a row is nothing: rows are numbered from file to file, and a batch reads the files that it touches.
"""

import json
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from found_platform.training import shards
from found_platform.training.shards import ROWS, Rows, Shard
from models.histories import Histories

HELD_OUT_FOLD = 0
"""Users of this fold enter no step of training; they say when to stop."""

DAY = 86_400_000_000
"""Microseconds."""


class TrainingData:
    """The folder, memory-mapped."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.about: dict[str, Any] = json.loads((folder / "data.json").read_text())
        self._texts = shards.tensors(folder / "texts.safetensors")
        self._paths = sorted(folder.glob("rows*.safetensors"))
        if not self._paths:
            raise FileNotFoundError(f"{folder} holds no rows: there is no file rows-00000.safetensors.")
        self._firsts = torch.tensor([0, *map(shards.length, self._paths)]).cumsum(0)  # (S + 1,) the first row of each file
        self._shard = lru_cache(2 * shards.WINDOW)(lambda number: Shard(self._paths[number]))
        for path in self._paths:
            Shard(path).check()

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def text_vectors(self) -> Tensor:
        """(T, E) float16"""
        return self._texts["vectors"]

    @property
    def text_counts(self) -> Tensor:
        """(T,) float"""
        return self._texts["counts"].float()

    @cached_property
    def texts(self) -> list[str]:
        return json.loads((self.folder / "texts.json").read_text())

    def descriptions(self, rows: Tensor) -> list[str]:
        """The sentences about the futures of rows (B,)."""
        told = [""] * len(rows)
        for shard, at, places in self._by_shard(rows):
            for place, row in zip(at.tolist(), places.tolist(), strict=True):
                told[place] = shard.descriptions[row]
        return told

    @property
    def fold(self) -> "Column":
        return Column(self, "fold")

    @property
    def owner(self) -> "Column":
        """(N,) rows of one user carry the same number."""
        return Column(self, "owner")

    @property
    def activity(self) -> "Column":
        """(N, A) float"""
        return Column(self, "activity")

    @property
    def cells(self) -> "Column":
        """(N, F) codes, small integers"""
        return Column(self, "cells")

    def training_rows(self, *, described: bool) -> Rows:
        """Rows of the training folds that have a history; with `described`, one of own acts, and a future."""
        return self._where(described, held_out=False)

    def held_out_rows(self, *, described: bool) -> Rows:
        """The same of the held-out fold."""
        return self._where(described, held_out=True)

    def users(self, rows: Rows | Tensor | None = None) -> int:
        """How many users have the rows; without any, all rows."""
        if isinstance(rows, Tensor):
            return len(self.owner[rows].unique())
        parts = map(self._all, range(len(self._paths))) if rows is None else rows.parts()
        return sum(len(self.owner[part].unique()) for part in parts)

    def _all(self, shard: int) -> Tensor:
        return torch.arange(int(self._firsts[shard]), int(self._firsts[shard + 1]))

    def _where(self, described: bool, *, held_out: bool) -> Rows:
        def of(number: int, shard: Shard) -> Tensor:
            return shard.where((shard.columns["fold"] == HELD_OUT_FOLD) == held_out, described) + self._firsts[number]

        counts = [len(of(number, Shard(path))) for number, path in enumerate(self._paths)]
        return Rows(counts, lambda number: of(number, self._shard(number)))

    def _by_shard(self, rows: Tensor) -> Iterator[tuple[Shard, Tensor, Tensor]]:
        """The files that rows (B,) lie in: each with the places of its rows among these, and in the file."""
        whose = torch.bucketize(rows, self._firsts[1:], right=True)
        for number in whose.unique().tolist() or [0]:
            at = torch.nonzero(whose == number)[:, 0]
            yield self._shard(number), at, rows[at] - self._firsts[number]

    def column(self, name: str, rows: Tensor) -> Tensor:
        """What rows (B,) have in a column."""
        parts = [(at, shard.columns[name][places]) for shard, at, places in self._by_shard(rows)]
        if len(parts) == 1:
            return parts[0][1]
        whole = parts[0][1].new_empty((len(rows), *parts[0][1].shape[1:]))
        for at, values in parts:
            whole[at] = values
        return whole

    def _flat(self, kind: str, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        counts = self.column(f"{kind}_counts", rows).long()
        parts = [(at, shard.flat(kind, places)) for shard, at, places in self._by_shard(rows)]
        if len(parts) == 1:
            return counts, parts[0][1]
        starts, whole = counts.cumsum(0) - counts, {}
        for name in ROWS[kind]:
            whole[name] = parts[0][1][name].new_empty(int(counts.sum()))
            for at, values in parts:
                whole[name][shards.spans(starts[at], counts[at])] = values[name]
        return counts, whole

    def histories(self, rows: Tensor, drop: float = 0.0) -> tuple[Histories, Tensor]:
        """The histories of rows (B,), and which texts their `texts` are: (T',) rows of `text_vectors`.

        Args:
            drop: share of events left out at random, by torch's global generator: what a user might also have looked like.
        """
        event_counts, events = self._flat("event", rows)
        search_counts, searches = self._flat("search", rows)
        t1 = self.column("t1", rows)
        event_row, search_row = torch.repeat_interleave(event_counts), torch.repeat_interleave(search_counts)
        event_age = (t1[event_row] - events["event_time"]).float() / DAY
        search_age = (t1[search_row] - searches["search_time"]).float() / DAY
        if drop:
            kept, held = torch.rand(len(event_row)) >= drop, torch.rand(len(search_row)) >= drop
            events, searches = {k: v[kept] for k, v in events.items()}, {k: v[held] for k, v in searches.items()}
            event_age, search_age = event_age[kept], search_age[held]
            event_counts = torch.bincount(event_row[kept], minlength=len(rows))
            search_counts = torch.bincount(search_row[held], minlength=len(rows))
        used, place = torch.unique(torch.cat([events["event_text"], searches["search_text"]]), return_inverse=True)
        used = used.long()
        return Histories(
            texts=self.text_vectors[used].float(),
            event_text=place[: len(event_age)],
            event_age=event_age,
            event_channel=events["event_channel"].long(),
            event_amount=events["event_amount"].long(),
            event_exposed=events["event_exposed"].bool(),
            event_counts=event_counts,
            search_text=place[len(event_age) :],
            search_age=search_age,
            search_counts=search_counts,
            cells=self.cells[rows].long(),
            activity=self.activity[rows],
        ), used

    def items(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct texts of rows' futures: whose (I,), as places in `rows`, and which (I,) rows of `text_vectors`."""
        counts, items = self._flat("item", rows)
        return torch.repeat_interleave(counts), items["item_text"].long()

    def phrases(self, rows: Tensor, weights: Tensor) -> Tensor:
        """A text (B,) of each row's future, drawn by weights (T,) of the texts and torch's global generator."""
        row, text = self.items(rows)
        chance = weights[text].clamp(min=1e-9).log() - torch.empty(len(text)).exponential_().log()
        most = torch.full((len(rows),), -torch.inf).scatter_reduce(0, row, chance, "amax")
        drawn = torch.empty(len(rows), dtype=torch.long)
        best = chance == most[row]
        drawn[row[best]] = text[best]
        return drawn

    def futures(self, rows: Tensor) -> Tensor:
        """(B, E) the frozen vector of each row's description: the weighted mean over its items."""
        counts, items = self._flat("item", rows)
        row = torch.repeat_interleave(counts)
        weights = items["item_weight"].float()
        vectors = self.text_vectors[items["item_text"].long()].float() * weights[:, None]
        total = torch.zeros(len(rows), vectors.shape[1]).index_add_(0, row, vectors)
        weight = torch.zeros(len(rows)).index_add_(0, row, weights)
        return total / weight.clamp(min=1e-6)[:, None]


class Column:
    """A column of all rows, of which some are read."""

    def __init__(self, data: TrainingData, name: str):
        self._data, self._name = data, name

    @property
    def width(self) -> int:
        return next(self._parts()).shape[1]

    def largest(self) -> list[int]:
        """The largest value of each place of a row (N, F)."""
        return torch.stack([part.amax(0) for part in self._parts() if len(part)]).amax(0).tolist()

    def _parts(self) -> Iterator[Tensor]:
        return (Shard(path).columns[self._name] for path in self._data._paths)

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self._data.column(self._name, rows)
