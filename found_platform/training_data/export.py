"""Writes the files of a cutoff that a training process reads, `HOME/training/CUTOFF/data`: see `found_platform.training.data`."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import contract, lake
from found_platform.contract import HELD_OUT_FOLD
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.training_data import histories, text_vectors


def folder(settings: Settings, cutoff: dt.date) -> Path:
    """Where everything that training makes for a cutoff lies."""
    return settings.home / "training" / str(cutoff)


def write(settings: Settings, cutoff: dt.date) -> Path:
    """Writes the files anew, from the training set, its pairs and the text vectors. Returns their folder.

    What is fitted (codes of the table, counts of the texts) is fitted without the held-out fold.
    """
    from safetensors.numpy import save_file

    from models import table_codec

    rows = lake.read(settings.lake, "training_set", pad.field("cutoff") == cutoff).sort_by(ORDER)
    pairs = lake.read(settings.lake, "user_text_pairs", pad.field("cutoff") == cutoff).sort_by(ORDER)
    assert rows["user_key"].equals(pairs["user_key"])
    fold = rows["fold"].to_numpy()
    learning = fold != HELD_OUT_FOLD
    if not learning.any():
        raise BadInput(f"All users known before {cutoff} are in the held-out fold: a model needs others too, bring more users.")
    encoder = text_vectors.encoder(settings.text_encoder)
    before = text_vectors.texts_before(settings, cutoff)
    texts = text_vectors.load(settings, encoder.revision, before["text_id"].to_numpy())
    attributes = contract.profile_schema(settings.home).names
    columns = table_codec.fit({name: rows[name].filter(pa.array(learning)).to_pylist() for name in attributes})
    flat = histories.events(rows, texts)
    ids, counts = histories.own_texts(rows)
    user = np.unique(rows["user_key"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    carried = np.stack([np.repeat(user, counts), texts.rows(ids)], 1)[np.repeat(learning, counts)]
    items, item_counts = histories.flatten(pairs["item_text_ids"])
    weights, _ = histories.flatten(pairs["item_counts"])
    target = folder(settings, cutoff)
    building = target / "data.partial"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_file(
        {
            "vectors": texts.vectors,
            "counts": np.bincount(np.unique(carried, axis=0)[:, 1], minlength=len(texts.ids)),
        },
        building / "texts.safetensors",
    )
    save_file(
        {
            **flat,
            "cells": histories.cells(rows, columns).astype(np.int16),
            "activity": histories.activity(rows, settings.lookback_days),
            "owner": user.astype(np.int64),
            "fold": fold.astype(np.int8),
            "item_text": texts.rows(items).astype(np.int32),
            "item_weight": weights.astype(np.float32),
            "item_counts": item_counts,
        },
        building / "rows.safetensors",
    )
    (building / "texts.json").write_text(json.dumps(before["text"].to_pylist()))
    (building / "descriptions.json").write_text(json.dumps(pairs["description"].to_pylist()))
    events = int(sum(before["events"].to_pylist()))
    about = {
        "cutoff": str(cutoff),
        "encoder": settings.text_encoder,
        "encoder_revision": encoder.revision,
        "text_dim": texts.vectors.shape[1],
        "activity": len(contract.ACTIVITY_FEATURES),
        "columns": [vars(c) for c in columns],
        "events_before": events,
    }
    (building / "data.json").write_text(json.dumps(about, indent=1))
    shutil.rmtree(target / "data", ignore_errors=True)
    building.rename(target / "data")
    return target / "data"


ORDER = [("event_timestamp", "descending"), ("user_key", "ascending")]
