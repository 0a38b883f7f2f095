"""The files of training rows, `rows-NNNNN.safetensors` and `descriptions-NNNNN.json`, each written where its rows are.

What belongs here: which user's rows lie in which file, and one file's content. What does not: what training reads of them
(`training.shards`), the other files (`export`). All rows of a user lie in one file, so what is counted by user is counted by file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from found_platform import lake, mapped
from found_platform.contract import HELD_OUT_FOLD
from found_platform.training_data import histories
from found_platform.training_data.histories import Texts

if TYPE_CHECKING:
    from models.table_codec import Column

ROWS = 16_384
"""Rows of a file, about: with lists of full length they take some 120 MB while they are written."""

PREFIX = "substr(user_key, 1, 4)"
"""In SQL: what decides on a user's file. Keys are random digits, so every file has users of all kinds."""

ORDER = [("event_timestamp", "descending"), ("user_key", "ascending")]
"""Of the rows of a file."""

WRITTEN = pa.schema(
    [
        pa.field("file", pa.int64()),
        pa.field("rows", pa.int64()),
        pa.field("texts", pa.list_(pa.int64())),
        pa.field("users", pa.list_(pa.int64())),
    ]
)
"""Of a file: which it is, its rows, and for each text that users of the training folds have, how many of them do."""


def planned(prefixes: pa.Table) -> pa.Table:
    """For each prefix of keys its file, and how many users come in the files before.

    `prefixes` has the columns prefix, rows and users. Files follow each other in the order of keys.
    """
    prefixes = prefixes.sort_by("prefix")
    files, firsts, held, seen, number, first = [], [], 0, 0, 0, 0
    for rows, users in zip(prefixes["rows"].to_pylist(), prefixes["users"].to_pylist(), strict=True):
        if held and held + rows > ROWS:
            number, held, first = number + 1, 0, seen
        files.append(number)
        firsts.append(first)
        held, seen = held + rows, seen + users
    columns = {"prefix": prefixes["prefix"], "file": pa.array(files, pa.int64()), "first_owner": pa.array(firsts, pa.int64())}
    return pa.table(columns)


@dataclass(frozen=True)
class RowFile:
    """A function of the rows of one file, which an engine may send to its workers: it writes them and says what they hold.

    Written again, as after a worker that died, a file has the same bytes, and it is there as a whole or not at all.

    Args:
        folder: where the files go; `text_ids.npy` in it are the ids of all texts, ascending.
        schema: of the rows: the training set with its pairs, and file and first_owner of `planned`.
    """

    folder: Path
    schema: pa.Schema
    columns: "tuple[Column, ...]"
    lookback_days: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        from safetensors.numpy import save_file

        rows = pa.Table.from_batches([lake.cast(batch, self.schema) for batch in rows.to_batches()], self.schema).sort_by(ORDER)
        number, first_owner = (rows[name][0].as_py() for name in ("file", "first_owner"))
        ids = mapped.load(self.folder / "text_ids.npy")
        texts = Texts(ids, np.empty((len(ids), 0), np.float16))
        owner = np.unique(rows["user_key"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
        fold = rows["fold"].to_numpy().astype(np.int8)
        items, item_counts = histories.flatten(rows["item_text_ids"])
        tensors = {
            **histories.events(rows, texts),
            "cells": histories.cells(rows, self.columns).astype(np.int16),
            "activity": histories.activity(rows, self.lookback_days),
            "owner": (first_owner + owner).astype(np.int64),
            "fold": fold,
            "item_text": texts.rows(items).astype(np.int32),
            "item_weight": histories.flatten(rows["item_counts"])[0].astype(np.float32),
            "item_counts": item_counts,
        }
        path = self.folder / f"rows-{number:05}.safetensors"
        partial = path.with_suffix(".partial")
        save_file(tensors, partial)
        path.with_name(f"descriptions-{number:05}.json").write_text(json.dumps(rows["description"].to_pylist()))
        partial.replace(path)
        had, users = _carried(rows, texts, owner, fold != HELD_OUT_FOLD)
        values = [[number], [rows.num_rows], [had], [users]]
        return pa.table([pa.array(value, f.type) for value, f in zip(values, WRITTEN, strict=True)], WRITTEN)


def _carried(rows: pa.Table, texts: Texts, owner: np.ndarray, learning: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The texts that users of rows have who are `learning` (N,), and how many of these users do."""
    ids, counts = histories.own_texts(rows)
    pairs = np.stack([np.repeat(owner, counts), texts.rows(ids)], 1)[np.repeat(learning, counts)]
    return np.unique(np.unique(pairs, axis=0)[:, 1], return_counts=True)


def totals(written: Iterator[pa.RecordBatch], texts: int) -> tuple[int, np.ndarray]:
    """The rows of all files, and (T,) how many users of the training folds have each text."""
    rows, counts = 0, np.zeros(texts, np.int64)
    for batch in written:
        rows += sum(batch["rows"].to_pylist())
        counts += np.bincount(
            batch["texts"].flatten().to_numpy(), weights=batch["users"].flatten().to_numpy(), minlength=texts
        ).astype(np.int64)
    return rows, counts
