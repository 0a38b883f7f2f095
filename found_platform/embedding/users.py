"""User states: the vector of every user as of a day, by one model version, in the Delta table `user_embeddings`."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pad

from found_platform import feature_store, lake
from found_platform.contract import midnight
from found_platform.embedding import text_vectors
from found_platform.feature_store.training_set import users_seen
from found_platform.lake import Written
from found_platform.registry import LoadedModel
from found_platform.settings import Settings

if TYPE_CHECKING:
    from models.frozen_text import FrozenText

TABLE = "user_embeddings"
SCHEMA = pa.schema(
    [
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("history_events", pa.int64(), nullable=False),
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`history_events` counts the events behind the vector, within the lookback and the sequence length; 0 means the vector is zero."""


def own_texts(history: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The text ids of each user's own events: ids (E,), users one after another, and counts (B,).

    Behaviour and searches; what was done to the user (exposures) says nothing of their interest.
    """
    sequences, lengths = _flatten(history["text_ids"])
    exposed, _ = _flatten(history["exposures"])
    searches, search_lengths = _flatten(history["search_text_ids"])
    own = exposed == 0
    user = np.concatenate(
        [np.repeat(np.arange(len(lengths)), lengths)[own], np.repeat(np.arange(len(search_lengths)), search_lengths)]
    )
    ids = np.concatenate([sequences[own], searches])
    order = np.argsort(user, kind="stable")
    return ids[order], np.bincount(user, minlength=history.num_rows)


def _flatten(lists: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return pc.list_flatten(lists).to_numpy().astype(np.int64), lengths


def vectors_of(settings: Settings, model: "FrozenText", ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """User vectors (B, D) float32 for text ids laid out as by `own_texts`."""
    import torch

    text_ids, matrix = text_vectors.load(settings, model.config.encoder_revision)
    rows = np.searchsorted(text_ids, ids)
    if len(ids) and not np.array_equal(text_ids[np.minimum(rows, len(text_ids) - 1)], ids):
        raise RuntimeError("A history holds a text without a cached vector: materialise `text_vectors` for this cutoff first.")
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else np.empty(0, np.int64)
    with torch.inference_mode():
        return model.users(
            torch.from_numpy(matrix.astype(np.float32)),
            torch.from_numpy(rows.astype(np.int64)),
            torch.from_numpy(offsets.astype(np.int64)),
        ).numpy()


def embed(settings: Settings, model: LoadedModel, as_of: dt.date) -> Written:
    """Computes and writes the state of every user seen before 00:00 of `as_of`."""
    timer = lake.Timer()
    versions = {view: lake.version(settings.lake, view) for view in feature_store.VIEWS}
    users = users_seen(settings, as_of)
    history = feature_store.history(settings, users["user_key"].to_pylist(), [midnight(as_of)] * users.num_rows, versions)
    ids, counts = own_texts(history)
    vectors = vectors_of(settings, model.model, ids, counts)
    flat = pa.array(vectors.reshape(-1), pa.float32())
    offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    data = pa.table(
        {
            "model_version": pa.array([model.version] * len(vectors), pa.string()),
            "as_of": pa.array([as_of] * len(vectors), pa.date32()),
            "user_key": users["user_key"],
            "fold": users["fold"],
            "history_events": counts,
            "vector": pa.ListArray.from_arrays(offsets, flat),
        }
    ).cast(SCHEMA)
    predicate = f"model_version = '{int(model.version)}' AND as_of = '{as_of.isoformat()}'"
    version = lake.replace(settings.lake, TABLE, data, schema=SCHEMA, partition_by=("model_version", "as_of"), predicate=predicate)
    hashes = lake.row_hashes(settings.lake, TABLE, "as_of", where(model.version, as_of), drop=["model_version"])
    return Written(TABLE, version, data.num_rows, lake.size(settings.lake, TABLE), timer.seconds, versions, hashes)


def where(model_version: str, as_of: dt.date) -> pad.Expression:
    """The Arrow filter of one model version's states as of a day."""
    return (pad.field("model_version") == model_version) & (pad.field("as_of") == as_of)


def load(settings: Settings, model_version: str, as_of: dt.date) -> tuple[list[str], np.ndarray, np.ndarray]:
    """user keys (B,), vectors (B, D) float32 and history_events (B,) of a model version as of a day, in key order."""
    rows = lake.read(settings.lake, TABLE, where(model_version, as_of), ["user_key", "vector", "history_events"]).sort_by(
        "user_key"
    )
    flat = pc.list_flatten(rows["vector"]).to_numpy()
    return (
        rows["user_key"].to_pylist(),
        flat.reshape(rows.num_rows, -1) if rows.num_rows else np.empty((0, 0)),
        rows["history_events"].to_numpy(),
    )
