"""Made-up users as a publication has them, written a block at a time: for sizes that the pipeline would take hours to make."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import lookup as bench  # the benchmark beside this one
import numpy as np
import pyarrow as pa
import torch

from found_platform import mapped, spill
from found_platform.contract import ACTIVITY_FEATURES
from found_platform.index import past
from found_platform.index.past import Past, day_of
from found_platform.index.states import LakeStates
from found_platform.privacy import keys, user_keys, vault
from found_platform.privacy.user_keys import UserKeys
from found_platform.rewriting.ground import Ground
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.frozen_text import FrozenText, FrozenTextConfig

DAYS, TEXTS = 90, 500


class MadeUp(LakeStates):
    """States that are given; nothing is kept of past moments."""

    @property
    def moments(self) -> list[dt.date]:
        """See `States`."""
        return []


@contextlib.contextmanager
def written(
    settings: Settings, users: int, events: int, width: int, as_of: dt.date
) -> Iterator[tuple[LakeStates, np.ndarray, np.ndarray]]:
    """The states of so many users with so many events each, their vectors (U, width) and counts of events (U,)."""
    rng = np.random.default_rng(0)
    with spill.scratch(settings.home / "tmp") as folder:
        ordered = _named(settings, users, folder)
        vectors, counts = _vectors(folder, users, width, rng), np.full(users, events)
        encoder = text_vectors.encoder(settings.text_encoder)
        texts = bench.make_vectors(rng, TEXTS, encoder.dim)
        words = [f"text {i} of things to buy" for i in range(TEXTS)]
        model = FrozenText(FrozenTextConfig(settings.text_encoder, encoder.revision, encoder.dim), torch.from_numpy(texts.mean(0)))
        states = MadeUp(settings, model, "1", as_of, ordered)
        own = _events(folder, users, events, day_of(as_of), rng)
        vars(states).update(
            delta_versions={},
            past=own,
            returned=own.at(np.zeros(0, np.int64)),
            values={name: [] for name in past.VALUES},
            texts=pa.table({"text": words, "category": pa.nulls(TEXTS, pa.string())}),
            text_vectors=texts,
            attributes=_attributes(folder, users, rng),
        )
        nothing = np.zeros(TEXTS, np.int64)
        unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)
        MadeUp.ground = Ground(encoder, words, TEXTS, nothing + 1, {"bought": nothing}, unit, texts.mean(0), [], [], {}, [], 0)
        yield states, vectors, counts


def _named(settings: Settings, users: int, folder: Path) -> UserKeys:
    secret = keys.home_secret(settings)
    tables = [keys.key_table(secret, [f"user {i}" for i in range(n, min(users, n + 100_000))]) for n in range(0, users, 100_000)]
    named = pa.concat_tables(tables).sort_by("user_key")
    vault.add(settings, named)
    with mapped.ArrayFile(folder / "keys.npy", user_keys.TYPE) as file:
        for batch in named.to_batches(mapped.ROWS):
            file.append(user_keys.as_bytes(batch["user_key"]))
    return UserKeys(mapped.load(folder / "keys.npy"))


def _vectors(folder: Path, users: int, width: int, rng: np.random.Generator) -> np.ndarray:
    with mapped.ArrayFile(folder / "vectors.npy", np.float32, (width,)) as file:
        for start in range(0, users, mapped.ROWS):
            file.append(bench.make_vectors(rng, min(mapped.ROWS, users - start), width))
    return mapped.load(folder / "vectors.npy")


def _attributes(folder: Path, users: int, rng: np.random.Generator) -> pa.Table:
    schema = pa.schema(ACTIVITY_FEATURES)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, users, mapped.ROWS):
            numbers = [rng.lognormal(1, 1, min(mapped.ROWS, users - start)) for _ in schema]
            columns = [
                pa.array(n if f.type == pa.float64() else n.astype(int), f.type) for f, n in zip(schema, numbers, strict=True)
            ]
            yield pa.record_batch(columns, schema=schema)

    mapped.save_table(folder / "attributes.arrow", pa.RecordBatchReader.from_batches(schema, batches()))
    return mapped.load_table(folder / "attributes.arrow")


def _events(folder: Path, users: int, events: int, day: int, rng: np.random.Generator) -> Past:
    with contextlib.ExitStack() as stack:
        files = {c: stack.enter_context(mapped.ArrayFile(folder / f"{c}.npy", past.TYPES[c])) for c in past.COLUMNS}
        for start in range(0, users, mapped.ROWS):
            own = np.repeat(np.arange(start, min(users, start + mapped.ROWS)), events)
            happened = np.sort(rng.integers(day - DAYS, day, (len(own) // events, events)), 1).reshape(-1)
            values_by_column = {"user": own, "text": rng.integers(0, TEXTS, len(own)), "happened": happened, "known": happened}
            values_by_column |= {"amount": rng.lognormal(2, 1, len(own)), **{name: np.full(len(own), -1) for name in past.VALUES}}
            for name, file in files.items():
                file.append(values_by_column.get(name, np.zeros(len(own))).astype(past.TYPES[name]))
    columns = {name: mapped.load(folder / f"{name}.npy") for name in past.COLUMNS}
    return Past(day, users, np.arange(TEXTS), columns)
