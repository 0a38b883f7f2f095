"""Embedding by the workers of an engine: histories come to them, and states leave, so that no user passes through this process.

What belongs here: what a worker is sent, and the query that it works on. What does not: what a state is (`users`), where the states
of a home's own process come from (`users` too).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# (an Ibis column's type is known only at run time)

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from found_platform import contract, engine, feature_store, lake, spill
from found_platform.cache import single_flight
from found_platform.contract import HELD_OUT_FOLD, midnight
from found_platform.embedding import users
from found_platform.settings import Settings
from found_platform.training_data import training_set
from found_platform.training_data.histories import Texts

if TYPE_CHECKING:
    from models.saved import Model


@dataclass(frozen=True)
class Embedder:
    """A function of batches of histories that an engine sends to its workers: they read the model and the texts from the home."""

    settings: Settings = field(compare=False)  # told apart by the folder of the model, which is made for one run
    version: str
    model: Path
    as_of: dt.date

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model, texts = _kept(self)
        schema = pa.schema([pa.field("fold", pa.int8()), *feature_store.schema(self.settings)])
        for batch in batches:
            histories = lake.cast(batch, schema)
            for start in range(0, batch.num_rows, users.USERS):
                rows = pa.table(histories.slice(start, users.USERS))
                as_of = pa.array([self.as_of] * rows.num_rows, pa.date32())
                yield users.batch_of(self.settings, model, texts, rows, as_of, rows["fold"].combine_chunks())


@dataclass(frozen=True)
class _Loaded:
    """See `users.Versioned`."""

    version: str
    model: "Model"


@single_flight(1)
def _kept(embedder: Embedder) -> tuple[_Loaded, Texts]:
    """The model and the texts, read once by a worker and not for every part of the users."""
    from models import saved

    loaded = _Loaded(embedder.version, saved.load(embedder.model))
    return loaded, users.cached_texts(embedder.settings, loaded.model)


def write(settings: Settings, model: users.Versioned, as_of: dt.date, versions: dict[str, int], *, held_out: bool) -> int:
    """As `users` writes the states of a day, on the engine that is set. Returns the table's version."""
    from models import saved

    with contextlib.closing(engine.of(settings)) as opened, spill.scratch(settings.home / "tmp") as folder:
        saved.save(model.model, folder)
        for table, version in {**versions, "raw_events": lake.version(settings.lake, "raw_events")}.items():
            opened.table(table, version)
        moment = pa.array([midnight(as_of)], contract.TIMESTAMP)
        opened.rows("asked", pa.table({"cutoff": [as_of], "day": [as_of], "moment": moment}))
        rows = training_set.expression(settings)
        rows = rows.filter(rows.fold == HELD_OUT_FOLD) if held_out else rows
        opened.map(rows, Embedder(settings, model.version, folder, as_of), users.SCHEMA, "states")
        try:
            return opened.replace(settings.lake, users.TABLE, "SELECT * FROM states", **users.slice_of(model.version, as_of))
        finally:
            _kept.cache_clear()
