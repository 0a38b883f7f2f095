"""Rows of the feature service as the arrays and tensors that models read."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from found_platform.contract import ACTIVITY_FEATURES

if TYPE_CHECKING:
    import torch

    from models.histories import Histories
    from models.table_codec import Column

LAST_AMOUNT = 31
MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class Texts:
    """The frozen vectors of texts: ids (T,) ascending, vectors (T, E) float16."""

    ids: np.ndarray
    vectors: np.ndarray

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Where each text id stands. Raises RuntimeError when one is not there."""
        rows = np.searchsorted(self.ids, ids)
        if len(ids) and not (len(self.ids) and np.array_equal(self.ids[np.minimum(rows, len(self.ids) - 1)], ids)):
            raise RuntimeError("A history holds a text without a cached vector: materialise `text_vectors` for this cutoff first.")
        return rows


def flatten(lists: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The values of a list column one row after another, and their number a row; a null is an empty list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(lists)
    return flat.to_numpy(zero_copy_only=False).astype(np.int64), lengths


def events(rows: pa.Table, texts: Texts) -> dict[str, np.ndarray]:
    """The ragged columns of training files (see `found_platform.training.data`) for rows of the feature service."""
    ids, counts = flatten(rows["text_ids"])
    searched, searches = flatten(rows["search_text_ids"])
    return {
        "event_text": texts.rows(ids).astype(np.int32),
        "event_time": flatten(rows["times"])[0],
        "event_channel": flatten(rows["channels"])[0].astype(np.uint8),
        "event_amount": np.minimum(flatten(rows["amount_buckets"])[0] + 1, LAST_AMOUNT).astype(np.uint8),
        "event_exposed": flatten(rows["exposures"])[0].astype(np.uint8),
        "event_counts": counts,
        "search_text": texts.rows(searched).astype(np.int32),
        "search_time": flatten(rows["search_times"])[0],
        "search_counts": searches,
        "t1": moments(rows),
    }


def moments(rows: pa.Table) -> np.ndarray:
    """(N,) t1 of each row, microseconds UTC."""
    return rows["event_timestamp"].cast(pa.int64()).to_numpy()


def activity(rows: pa.Table, lookback_days: int) -> np.ndarray:
    """(N, A) float32 activity features; a user silent beyond the lookback has the lookback as recency."""
    columns = [pc.fill_null(rows[f.name].cast(pa.float64()), lookback_days).to_numpy() for f in ACTIVITY_FEATURES]
    return np.stack(columns, 1).astype(np.float32)


def cells(rows: pa.Table, columns: "Sequence[Column]") -> np.ndarray:
    """(N, F) codes of the profile attributes."""
    from models import table_codec

    if not columns:
        return np.zeros((rows.num_rows, 0), np.int64)
    return table_codec.encode(columns, {c.name: rows[c.name].to_pylist() for c in columns})


def tensors(rows: pa.Table, texts: Texts, columns: "Sequence[Column]", lookback_days: int) -> "Histories":
    """The histories of rows of the feature service, in their order."""
    import torch

    from models.histories import Histories

    flat = events(rows, texts)
    used, place = np.unique(np.concatenate([flat["event_text"], flat["search_text"]]), return_inverse=True)
    count = len(flat["event_text"])

    def ages(kind: str) -> "torch.Tensor":
        t1 = np.repeat(flat["t1"], flat[f"{kind}_counts"])
        return torch.from_numpy(((t1 - flat[f"{kind}_time"]) / MICROSECONDS_A_DAY).astype(np.float32))

    def long(values: Any) -> "torch.Tensor":
        return torch.from_numpy(np.asarray(values, np.int64))

    return Histories(
        texts=torch.from_numpy(texts.vectors[used].astype(np.float32)),
        event_text=long(place[:count]),
        event_age=ages("event"),
        event_channel=long(flat["event_channel"]),
        event_amount=long(flat["event_amount"]),
        event_exposed=torch.from_numpy(flat["event_exposed"].astype(bool)),
        event_counts=long(flat["event_counts"]),
        search_text=long(place[count:]),
        search_age=ages("search"),
        search_counts=long(flat["search_counts"]),
        cells=long(cells(rows, columns)),
        activity=torch.from_numpy(activity(rows, lookback_days)),
    )


def own_texts(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The text ids of each user's own events: ids (E,), users one after another, and counts (B,).

    Behaviour and searches; what was done to the user (exposures) says nothing of their interest.
    """
    sequences, lengths = flatten(rows["text_ids"])
    exposed, _ = flatten(rows["exposures"])
    searches, search_lengths = flatten(rows["search_text_ids"])
    own = exposed == 0
    user = np.concatenate(
        [np.repeat(np.arange(len(lengths)), lengths)[own], np.repeat(np.arange(len(search_lengths)), search_lengths)]
    )
    ids = np.concatenate([sequences[own], searches])
    order = np.argsort(user, kind="stable")
    return ids[order], np.bincount(user, minlength=rows.num_rows)
