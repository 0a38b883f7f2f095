"""Histories made at random, for the tests of models."""

import numpy as np
import torch

from models.histories import AMOUNTS, Histories


def histories_of(
    event_counts: list[int],
    search_counts: list[int] | None = None,
    *,
    texts: int = 6,
    dim: int = 5,
    days: float = 40.0,
    columns: tuple[int, ...] = (),
    activity: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Histories:
    """As many events and searches as said, the oldest first; some events are exposures."""
    rng = np.random.default_rng(seed)
    search_counts = [0] * len(event_counts) if search_counts is None else search_counts
    users, events, searches = len(event_counts), sum(event_counts), sum(search_counts)

    def ages(counts: list[int]) -> torch.Tensor:
        parts = [np.sort(rng.uniform(0.01, days, count))[::-1] for count in counts]
        return torch.from_numpy(np.concatenate([*parts, np.zeros(0)]).copy()).to(dtype)

    def rows(high: int, size: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, max(high, 1), size))

    return Histories(
        texts=torch.from_numpy(rng.normal(size=(texts, dim))).to(dtype),
        event_text=rows(texts, events),
        event_age=ages(event_counts),
        event_channel=rows(3, events),
        event_amount=rows(AMOUNTS, events),
        event_exposed=torch.from_numpy(rng.random(events) < 0.2),
        event_counts=torch.tensor(event_counts, dtype=torch.long),
        search_text=rows(texts, searches),
        search_age=ages(search_counts),
        search_counts=torch.tensor(search_counts, dtype=torch.long),
        cells=torch.stack([rows(size, users) for size in columns], 1) if columns else torch.zeros((users, 0), dtype=torch.long),
        activity=torch.from_numpy(rng.gamma(1.0, 5.0, (users, activity))).to(dtype),
    )


def chosen(histories: Histories, users: list[int]) -> Histories:
    """The histories of some of the users, in the order asked for."""

    def flat(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        parts = values.split(counts.tolist())
        return torch.cat([values[:0], *(parts[user] for user in users)])

    events, searches = histories.event_counts, histories.search_counts
    return Histories(
        texts=histories.texts,
        event_text=flat(histories.event_text, events),
        event_age=flat(histories.event_age, events),
        event_channel=flat(histories.event_channel, events),
        event_amount=flat(histories.event_amount, events),
        event_exposed=flat(histories.event_exposed, events),
        event_counts=events[users],
        search_text=flat(histories.search_text, searches),
        search_age=flat(histories.search_age, searches),
        search_counts=searches[users],
        cells=histories.cells[users],
        activity=histories.activity[users],
    )
