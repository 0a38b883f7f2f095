"""The files a training process reads, in one folder, and batches made of them.

texts.safetensors   vectors (T, E) float16, counts (T,) how many users of the training folds have the text
rows.safetensors    N rows, one a user and moment t1: see `ROWS`; ragged columns lie flat, with a count a row
data.json           {"encoder", "encoder_revision", "columns", ...}
texts.json, descriptions.json   the strings, for text towers that are trained
"""

import datetime as dt
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from models.histories import Histories

HELD_OUT_FOLD = 0
"""Users of this fold enter no step of training; they say when to stop."""

DAY = 86_400_000_000
"""Microseconds."""

PART = 65_536
"""Rows whose events are looked through at once."""

ROWS = {
    "event": ("event_text", "event_time", "event_channel", "event_amount", "event_exposed"),
    "search": ("search_text", "search_time"),
    "item": ("item_text", "item_weight"),
}
"""Ragged columns by their count column, `event_counts` and so on. Beside them: `cells` (N, F), `activity` (N, A), `t1` (N,) and the
times in microseconds UTC, `owner` (N,) whose row it is, `fold` (N,)."""


class TrainingData:
    """The folder, memory-mapped."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.about: dict[str, Any] = json.loads((folder / "data.json").read_text())
        self._texts = _tensors(folder / "texts.safetensors")
        self._rows = _tensors(folder / "rows.safetensors")
        self._starts = {k: self._rows[f"{k}_counts"].long().cumsum(0) - self._rows[f"{k}_counts"].long() for k in ROWS}
        self._check()

    def _check(self) -> None:
        """Nothing in a history may have happened at its t1 or later. Raises ValueError that names the row and the time."""
        for kind in ("event", "search"):
            counts, times = self._rows[f"{kind}_counts"].long(), self._rows[f"{kind}_time"]
            if len(times) != int(counts.sum()):
                raise ValueError(f"{self.folder / 'rows.safetensors'}: {kind}_counts add up to {counts.sum()}, not {len(times)}.")
            for first, owner, places in self._parts(kind):
                late = times[places] >= self._rows["t1"][first + owner]
                if late.any():
                    place = int(late.nonzero()[0])
                    row = first + int(owner[place])
                    raise ValueError(
                        f"{self.folder / 'rows.safetensors'}: row {row} holds the {kind} of {_moment(times[places][place])} in its "
                        f"history, which ends before {_moment(self._rows['t1'][row])}."
                    )

    def _parts(self, kind: str) -> Iterator[tuple[int, Tensor, slice]]:
        """What rows have of a kind, PART rows at a time, so that no number of everybody's events is held: the first row, whose (M,)
        each is, counted from that row on, and where they lie."""
        starts, counts = self._starts[kind], self._rows[f"{kind}_counts"]
        for first in range(0, len(self), PART):
            of_part = counts[first : first + PART].long()
            start = int(starts[first])
            yield first, torch.repeat_interleave(of_part), slice(start, start + int(of_part.sum()))

    def __len__(self) -> int:
        return len(self._rows["t1"])

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

    @cached_property
    def descriptions(self) -> list[str]:
        return json.loads((self.folder / "descriptions.json").read_text())

    @property
    def fold(self) -> Tensor:
        return self._rows["fold"]

    @property
    def owner(self) -> Tensor:
        """(N,) long: rows of one user carry the same number."""
        return self._rows["owner"].long()

    @property
    def activity(self) -> Tensor:
        """(N, A) float"""
        return self._rows["activity"]

    @property
    def cells(self) -> Tensor:
        """(N, F) codes, small integers"""
        return self._rows["cells"]

    def training_rows(self, *, described: bool) -> Tensor:
        """Rows of the training folds that have a history; with `described`, one of own acts, and a future."""
        return self._where(self.fold != HELD_OUT_FOLD, described)

    def held_out_rows(self, *, described: bool) -> Tensor:
        """The same of the held-out fold."""
        return self._where(self.fold == HELD_OUT_FOLD, described)

    def _where(self, mask: Tensor, described: bool) -> Tensor:
        mask = mask & (self._rows["event_counts"] + self._rows["search_counts"] > 0)
        if described:
            own = self._rows["search_counts"].long().clone()
            for first, owner, places in self._parts("event"):
                acts = torch.bincount(owner[~self._rows["event_exposed"][places].bool()])
                own[first : first + len(acts)] += acts
            mask = mask & (self._rows["item_counts"] > 0) & (own > 0)
        return torch.nonzero(mask)[:, 0]

    def _flat(self, kind: str, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        counts = self._rows[f"{kind}_counts"][rows].long()
        shift = self._starts[kind][rows] - (counts.cumsum(0) - counts)
        place = torch.arange(int(counts.sum())) + torch.repeat_interleave(shift, counts)
        return counts, {name: self._rows[name][place] for name in ROWS[kind]}

    def histories(self, rows: Tensor, drop: float = 0.0) -> tuple[Histories, Tensor]:
        """The histories of rows (B,), and which texts their `texts` are: (T',) rows of `text_vectors`.

        Args:
            drop: share of events left out at random, by torch's global generator: what a user might also have looked like.
        """
        event_counts, events = self._flat("event", rows)
        search_counts, searches = self._flat("search", rows)
        t1 = self._rows["t1"][rows]
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
            cells=self._rows["cells"][rows].long(),
            activity=self._rows["activity"][rows],
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


def _moment(time: Tensor) -> str:
    return f"{dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(time)):%Y-%m-%d %H:%M:%S.%f} UTC"


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
