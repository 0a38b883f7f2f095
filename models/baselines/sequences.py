"""Users as sequences of events before a cutoff, padded to one length, and the event encoder that every rival shares."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from models.behavior import GAPS
from models.histories import AMOUNTS, pad

CHANNELS = 4
"""Of events, as in the paper (section 3.1)."""
WEEK = 7


@dataclass(frozen=True)
class Sequences:
    """The newest L events of B users, the oldest first, padded at the end.

    Attributes:
        texts: (T, E) frozen vectors of the distinct texts.
        text: (B, L) row in `texts`.
        age: (B, L) days before the cutoff, above 0.
        channel: (B, L) below CHANNELS.
        amount: (B, L) bucket below AMOUNTS, as in `Histories`.
        kind: (B, L) behaviour type below `kinds`: the category of what was done, else the channel.
        mask: (B, L) bool, which events there are.
    """

    texts: Tensor
    text: Tensor
    age: Tensor
    channel: Tensor
    amount: Tensor
    kind: Tensor
    mask: Tensor
    kinds: int

    def __post_init__(self) -> None:
        if not (self.age[self.mask] > 0).all():
            raise ValueError("A sequence holds an event at the cutoff or after it.")

    def __len__(self) -> int:
        return len(self.mask)

    @classmethod
    def of_events(cls, texts: Tensor, columns: dict[str, Tensor], counts: Tensor, kinds: int, length: int) -> "Sequences":
        """From flat columns (N,) `text`, `age`, `channel`, `amount` and `kind`, one user after another, and counts (B,) a user."""
        padded = {name: pad(column, counts, length)[0] for name, column in columns.items()}
        return cls(texts=texts, mask=pad(columns["age"], counts, length)[1], kinds=kinds, **padded)

    @property
    def lengths(self) -> Tensor:
        """(B,) long"""
        return self.mask.sum(1)

    def take(self, rows: Tensor) -> "Sequences":
        """Some of the users, by row, without columns that none of them fills."""
        most = max(1, int(self.lengths[rows].max())) if len(rows) else 1
        return self._each(lambda column: column[rows, :most])

    def gather(self, places: Tensor, mask: Tensor) -> "Sequences":
        """The events at `places` (B, K) of each user's own, where `mask` (B, K) says that there is one."""
        return replace(self._each(lambda column: column.gather(1, places)), mask=mask)

    def to(self, device: str) -> "Sequences":
        """The same on a device."""
        return replace(self._each(lambda column: column.to(device)), texts=self.texts.to(device))

    def _each(self, change) -> "Sequences":
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self) if f.name not in ("texts", "kinds")})


class EventEncoder(nn.Module):
    """An event is the sum of its text, behaviour type, channel, amount, day of the week and time since the event before it."""

    def __init__(self, text_dim: int, kinds: int, width: int):
        super().__init__()
        self.text = nn.Linear(text_dim, width, bias=False)
        self.tables = nn.ModuleDict(
            {
                "kind": nn.Embedding(kinds, width),
                "channel": nn.Embedding(CHANNELS, width),
                "amount": nn.Embedding(AMOUNTS, width),
                "weekday": nn.Embedding(WEEK, width),
                "gap": nn.Embedding(GAPS, width),
            }
        )
        self.norm = nn.LayerNorm(width)
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=0.1)  # pyright: ignore

    def forward(self, sequences: Sequences, hidden: Tensor | None = None) -> Tensor:
        """(B, L, d); where `hidden` (B, L) bool, an event shows when it was and nothing else."""
        codes = {
            "kind": sequences.kind,
            "channel": sequences.channel,
            "amount": sequences.amount,
            "weekday": weekday(sequences),
            "gap": gap(sequences),
        }
        parts = {name: self.tables[name](code.long()) for name, code in codes.items()}
        what = self.text(sequences.texts[sequences.text.long()]) + parts["kind"] + parts["channel"] + parts["amount"]
        if hidden is not None:
            what = what.masked_fill(hidden[..., None], 0.0)
        return self.norm(what + parts["weekday"] + parts["gap"])


def weekday(sequences: Sequences) -> Tensor:
    """(B, L) long: the day of the week, counted back from the cutoff."""
    return sequences.age.long() % WEEK


def gap(sequences: Sequences) -> Tensor:
    """(B, L) long: the bucket of the hours since the user's event before, 0 for the first."""
    hours = torch.zeros_like(sequences.age)
    hours[:, 1:] = (sequences.age[:, :-1] - sequences.age[:, 1:]).clamp(min=0) * 24
    return torch.log2(1 + hours).long().clamp(max=GAPS - 1)


def transformer(width: int, layers: int, heads: int = 4, dropout: float = 0.1) -> nn.TransformerEncoder:
    """Attention over all events of a user."""
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
