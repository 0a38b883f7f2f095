"""What is known of a batch of users before their moments t1, as tensors: the one input of every model.

Users have different numbers of events, so events lie flat, one user after another, with a count a user. Nothing here happened at t1
or after it: ages are positive, and others are refused.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

AMOUNTS = 32
"""Amount buckets: 0 without an amount, else 1 + floor(log2(1 + |amount|)), the last bucket open."""


@dataclass
class Histories:
    """B users with N events and M searches in all, over T distinct texts."""

    texts: Tensor  # (T, E) vectors of the distinct texts
    event_text: Tensor  # (N,) long, row in `texts`; the oldest event of a user first
    event_age: Tensor  # (N,) float, days before t1, > 0
    event_channel: Tensor  # (N,) long, below the channels that the model knows
    event_amount: Tensor  # (N,) long, below AMOUNTS
    event_exposed: Tensor  # (N,) bool: done to the user, not by the user
    event_counts: Tensor  # (B,) long
    search_text: Tensor  # (M,) long, the oldest first
    search_age: Tensor  # (M,) float
    search_counts: Tensor  # (B,) long
    cells: Tensor  # (B, F) long, the table's values as codes
    activity: Tensor  # (B, A) float, counts, sums and recencies as they are

    def __post_init__(self) -> None:
        for kind, age, counts in (
            ("event", self.event_age, self.event_counts),
            ("search", self.search_age, self.search_counts),
        ):
            if age.is_cpu and not (age > 0).all():  # on a GPU the look would wait for it, and what is there has come from here
                place = int((~(age > 0)).nonzero()[0])
                user = int(torch.repeat_interleave(counts)[place])
                raise ValueError(
                    f"Row {user} holds the {kind} {age[place]:g} days before t1: nothing at t1 or after it may enter a history."
                )

    def __len__(self) -> int:
        return len(self.event_counts)

    def to(self, device: torch.device | str) -> "Histories":
        """The same on a device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def event_user(self) -> Tensor:
        """(N,) long: whose event it is."""
        return torch.repeat_interleave(self.event_counts)

    @property
    def search_user(self) -> Tensor:
        """(M,) long"""
        return torch.repeat_interleave(self.search_counts)

    def own_mean(self) -> tuple[Tensor, Tensor]:
        """The mean text vector of each user's own events and searches, exposures left out: (B, E), and who has any: (B,) bool."""
        own = ~self.event_exposed
        text = torch.cat([self.event_text[own], self.search_text])
        user = torch.cat([self.event_user[own], self.search_user])
        return mean_by(self.texts, text, user, len(self)), torch.bincount(user, minlength=len(self)) > 0


class Groups:
    """Things in groups, sorted once for as many means as are wanted. `group` (N,) is below `groups`."""

    def __init__(self, group: Tensor, groups: int):
        self.counts = torch.bincount(group, minlength=groups)  # (groups,)
        self._order = torch.argsort(group, stable=True)
        self._offsets = torch.cumsum(self.counts, 0) - self.counts

    def mean(self, table: Tensor, rows: Tensor) -> Tensor:
        """The mean of `table[rows]` within each group, zeros for an empty one. (T, E), (N,) -> (groups, E)"""
        return torch.nn.functional.embedding_bag(rows[self._order], table, self._offsets, mode="mean")


def mean_by(table: Tensor, rows: Tensor, group: Tensor, groups: int) -> Tensor:
    """The mean of `table[rows]` within each group, zeros for an empty one. (T, E), (N,), (N,) below `groups` -> (groups, E)"""
    return Groups(group, groups).mean(table, rows)


def pad(flat: Tensor, counts: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Each user's last `length` values, padded with zeros at the end: (B, length, ...), and which are there: (B, length) bool."""
    user = torch.repeat_interleave(counts)
    place = torch.arange(len(flat), device=flat.device) - (torch.cumsum(counts, 0) - counts)[user]
    place = place - (counts - length).clamp(min=0)[user]
    kept = torch.nonzero(place >= 0)[:, 0]
    padded = flat.new_zeros((len(counts), length, *flat.shape[1:]))
    mask = torch.zeros((len(counts), length), dtype=torch.bool, device=flat.device)
    padded[user[kept], place[kept]] = flat[kept]
    mask[user[kept], place[kept]] = True
    return padded, mask
