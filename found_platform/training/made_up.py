"""A made-up population in the files of `data`: what a stage is tried on where no data are read.

Users have a topic each, and what they do, search and will do is mostly of it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from found_platform.training.data import DAY

TOPICS, DAYS = 40, 180


def write(
    folder: Path, *, users: int, texts: int, text_dim: int, events: int, searches: int, values: Sequence[int], activity: int
) -> Path:
    """The files of `data`, every user with as many events and searches. Returns the folder.

    Args:
        values: how many codes each column of the table has.
        activity: how many activity features there are.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    topic_of_text = np.arange(texts) % TOPICS
    vectors = rng.normal(size=(TOPICS, text_dim))[topic_of_text] + rng.normal(size=(texts, text_dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    topic = rng.integers(0, TOPICS, users)

    def drawn(count: int) -> np.ndarray:
        """(users, count) texts, four of five of the user's topic, with a long tail."""
        rank = ((rng.zipf(1.2, (users, count)) - 1) % (texts // TOPICS)).astype(np.int64)
        of = np.where(rng.random((users, count)) < 0.8, topic[:, None], rng.integers(0, TOPICS, (users, count)))
        return rank * TOPICS + of

    def times(count: int) -> np.ndarray:
        return np.sort(t1 - rng.integers(1, DAYS * DAY, (users, count)), 1).reshape(-1)

    t1 = 20_000 * DAY
    items = drawn(3)
    exposed = rng.random((users, events)) < 0.1
    exposed[:, 0] = False
    save_file({"vectors": vectors.astype(np.float16), "counts": np.ones(texts, np.int64)}, folder / "texts.safetensors")
    save_file(
        {
            "event_text": drawn(events).reshape(-1).astype(np.int32),
            "event_time": times(events),
            "event_channel": rng.integers(0, 3, users * events).astype(np.uint8),
            "event_amount": rng.integers(0, 12, users * events).astype(np.uint8),
            "event_exposed": exposed.reshape(-1).astype(np.uint8),
            "event_counts": np.full(users, events),
            "search_text": drawn(searches).reshape(-1).astype(np.int32),
            "search_time": times(searches),
            "search_counts": np.full(users, searches),
            "item_text": items.reshape(-1).astype(np.int32),
            "item_weight": np.ones(users * 3, np.float32),
            "item_counts": np.full(users, 3),
            "cells": np.array([rng.integers(0, size, users) for size in values], np.int16).reshape(-1, users).T.copy(),
            "activity": rng.gamma(1.0, 4.0, (users, activity)).astype(np.float32),
            "t1": np.full(users, t1),
            "owner": np.arange(users),
            "fold": (np.arange(users) % 10).astype(np.int8),
        },
        folder / "rows.safetensors",
    )
    wordings = [f"bought item {i // TOPICS} of the kind {i % TOPICS} in shop {i % 97} near place {i % 31}" for i in range(texts)]
    (folder / "texts.json").write_text(json.dumps(wordings))
    futures = [f"will soon want {', then '.join(wordings[i] for i in row)}" for row in items]
    (folder / "descriptions.json").write_text(json.dumps(futures))
    (folder / "data.json").write_text("{}")
    return folder
