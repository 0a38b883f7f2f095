"""Everybody's state before a cutoff, as one model version sees it: what users are looked up, scored and compared in."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from found_platform import feature_store, index, lake, registry
from found_platform.contract import midnight
from found_platform.embedding import users
from found_platform.privacy import keys
from found_platform.scoring import past
from found_platform.scoring.past import Past
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from found_platform.training_data.training_set import users_seen

if TYPE_CHECKING:
    from models.saved import Model


@dataclass(frozen=True, eq=False)
class Population:
    """Users and their vectors. Rows are in the order of `keys`, which is that of the alphabet."""

    settings: Settings
    model: "Model"
    version: str | None  # of the model, where it is registered
    cutoff: dt.date
    keys: list[str]
    vectors: np.ndarray  # (U, W) what the model stores of a user
    events: np.ndarray  # (U,) events behind each vector

    @classmethod
    def stored(cls, settings: Settings, version: str, cutoff: dt.date) -> Self:
        """The states that a version has published."""
        return cls(settings, registry.load(settings, version).model, version, cutoff, *users.load(settings, version, cutoff))

    @classmethod
    def computed(cls, settings: Settings, model: "Model", cutoff: dt.date) -> Self:
        """The states that a model would publish."""
        from models.device import on_device

        keys: list[str] = users_seen(settings, cutoff)["user_key"].to_pylist()
        rows = feature_store.history(settings, keys, [midnight(cutoff)] * len(keys))
        texts = users.texts_of(settings, model, cutoff)
        with on_device(model):
            vectors = users.vectors_of(settings, model, rows, texts)
        return cls(settings, model, None, cutoff, keys, vectors, users.own_texts(rows)[1])

    @property
    def has_history(self) -> np.ndarray:
        """(U,) bool; who has none is never looked up."""
        return self.events > 0

    @cached_property
    def row(self) -> dict[str, int]:
        """Where each user stands."""
        return {key: i for i, key in enumerate(self.keys)}

    @cached_property
    def names(self) -> dict[str, str]:
        """The raw ids of everybody, from the vault. For answers to whoever may see them, and for nothing else."""
        return keys.user_ids(self.settings, self.keys)

    @cached_property
    def past(self) -> Past:
        """What everybody did before the cutoff."""
        return past.load(self.settings, self.keys, self.cutoff)

    @cached_property
    def text_vectors(self) -> np.ndarray:
        """(T, E) the vectors of the texts of the past as the model reads them, in the order of `past.texts`."""
        texts = users.texts_of(self.settings, self.model, self.cutoff)
        return texts.vectors[texts.rows(self.past.texts)].astype(np.float32)

    @cached_property
    def words(self) -> list[str]:
        """The texts of the past, in the order of `past.texts`."""
        table = text_vectors.texts_before(self.settings, self.cutoff)
        text = dict(zip(table["text_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        return [text[i] for i in self.past.texts.tolist()]

    @cached_property
    def categories(self) -> list[str | None]:
        """The category that each text of the past most often had, in the order of `past.texts`; None where it never had one."""
        con = lake.connect(self.settings.duckdb_memory)
        lake.view(con, "events", self.settings.lake, "raw_events")
        found = con.execute(
            "WITH had AS (SELECT text_id, category, count(*) AS n FROM events "
            "WHERE event_date < $cutoff AND arrived_at <= $moment AND category IS NOT NULL GROUP BY 1, 2) "
            "SELECT text_id, category FROM had QUALIFY row_number() OVER (PARTITION BY text_id ORDER BY n DESC, category) = 1",
            {"cutoff": self.cutoff, "moment": midnight(self.cutoff)},
        ).to_arrow_table()
        category = dict(zip(found["text_id"].to_pylist(), found["category"].to_pylist(), strict=True))
        return [category.get(i) for i in self.past.texts.tolist()]

    @cached_property
    def attributes(self) -> pa.Table:
        """Activity features and profile attributes of everybody (U rows), as of the cutoff."""
        return index.attributes(self.settings, self.cutoff)
