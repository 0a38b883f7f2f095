"""What is published of users beside their vectors, read from the lake: their attributes, what they did before the cutoff, the texts
of it, and what was known of them at past moments.

What belongs here: the `States` that look-ups score with, and reading them from the tables they follow from. What does not: keeping
them in files that any process maps, which is `snapshot`.
"""

import datetime as dt
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from found_platform import contract, feature_store, lake
from found_platform.contract import midnight
from found_platform.embedding import texts, users
from found_platform.index import past
from found_platform.index.past import Past, Values
from found_platform.index.user_keys import UserKeys
from found_platform.rewriting import ground
from found_platform.rewriting.ground import Ground
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model


OLDER_DAYS, OLDER_USERS = 28, 4096
"""Days between the moments before the grid, and users of whom it is kept there what was known: enough to learn from, for a log of
years."""

TABLES = ("raw_events", "user_tabular", text_vectors.TABLE, users.TABLE)
"""What states are read from."""


def filter_columns(settings: Settings) -> pa.Schema:
    """The columns a filter may name: profile attributes and activity features, as of the published day."""
    return pa.schema([*contract.profile_schema(settings.home), *contract.ACTIVITY_FEATURES])


def attributes(settings: Settings, as_of: dt.date) -> pa.Table:
    """user_key and every filter column, as of 00:00 of a day."""
    columns = ["user_key", *filter_columns(settings).names]
    return feature_store.snapshot(settings, "user_tabular", as_of - dt.timedelta(days=1), columns)


def learned_width(model: "Model") -> int:
    """Places of a stored vector that were learned, first of all; 0 of a frozen-text model."""
    from models.found import Found

    if not isinstance(model, Found):
        return 0
    return model.config.dim + (model.config.behavior.width if model.config.behavior else 0)


@dataclass(frozen=True)
class PastState:
    """What was known of users at a past moment: of everybody on the grid, of OLDER_USERS by chance before it.

    Attributes:
        rows: (N,) where the users stand among the keys.
        table: filter columns, N rows.
        held_out: (H,) rows of the users of the held-out fold, ascending; nobody where nothing was learned.
        learned: (H, K) float32 the learned part of their vectors at that moment.
    """

    rows: np.ndarray
    table: pa.Table
    held_out: np.ndarray
    learned: np.ndarray


class States(ABC):
    """Everybody's state before a cutoff: U users in key order, N events, T texts."""

    @property
    @abstractmethod
    def delta_versions(self) -> dict[str, int]:
        """The versions of the tables that they were read from."""

    @property
    @abstractmethod
    def past(self) -> Past:
        """What everybody did, and kept."""

    @property
    @abstractmethod
    def returned(self) -> Past:
        """What everybody brought back."""

    @property
    @abstractmethod
    def values(self) -> Values:
        """The values of the events' columns."""

    @property
    @abstractmethod
    def words(self) -> list[str]:
        """(T,) the texts of the past, in the order of `past.texts`."""

    @property
    @abstractmethod
    def learned_texts(self) -> np.ndarray:
        """(T, K) the texts as queries meet them, see `embedding.texts`."""

    @property
    @abstractmethod
    def frozen_texts(self) -> np.ndarray:
        """(T, K) the texts with their categories in the frozen space."""

    @property
    @abstractmethod
    def attributes(self) -> pa.Table:
        """The filter columns of everybody (U rows)."""

    @property
    @abstractmethod
    def ground(self) -> Ground:
        """What a demand can be about."""

    @property
    @abstractmethod
    def moments(self) -> list[dt.date]:
        """Past days at which it is kept what was known, newest first: the grid of past cutoffs, and as far back as events go."""

    @abstractmethod
    def past_state(self, moment: dt.date) -> PastState:
        """What was known at one of the moments."""

    @abstractmethod
    def volume(self, day: int) -> np.ndarray:
        """(U,) events of the user's own that were known by a day: a moment, or the cutoff."""


class LakeStates(States):
    """States as the lake has them now."""

    def __init__(self, settings: Settings, model: "Model", version: str | None, cutoff: dt.date, keys: UserKeys):
        self._settings, self._model, self._version, self._cutoff, self._keys = settings, model, version, cutoff, keys
        self._volumes: dict[int, np.ndarray] = {}

    @cached_property
    def delta_versions(self) -> dict[str, int]:
        """See `States`."""
        return {table: lake.version(self._settings.lake, table) for table in TABLES if lake.exists(self._settings.lake, table)}

    @cached_property
    def _loaded(self) -> past.Loaded:
        return past.load(self._settings, self._keys.arrow, self._cutoff)

    @cached_property
    def past(self) -> Past:
        """See `States`."""
        return self._loaded.kept

    @cached_property
    def returned(self) -> Past:
        """See `States`."""
        return self._loaded.returned

    @cached_property
    def values(self) -> Values:
        """See `States`."""
        return self._loaded.values

    @cached_property
    def texts(self) -> pa.Table:
        """text_id, text and category of the texts of the past, in their order; the category is the most frequent one, or null."""
        con = lake.connect(self._settings.duckdb_memory)
        lake.view(con, "events", self._settings.lake, "raw_events")
        con.register("texts", pa.table({"text_id": self.past.texts}))
        return con.execute(
            "WITH had AS (SELECT text_id, category, min(text) AS text, count(*) AS n FROM events SEMI JOIN texts USING (text_id) "
            "WHERE event_date < $cutoff AND arrived_at <= $moment GROUP BY 1, 2) "
            "SELECT text_id, min(text) AS text, arg_max(category, (n, -place)) FILTER (category IS NOT NULL) AS category "
            "FROM (SELECT *, row_number() OVER (ORDER BY category) AS place FROM had) GROUP BY 1 ORDER BY 1",
            {"cutoff": self._cutoff, "moment": midnight(self._cutoff)},
        ).to_arrow_table()

    @property
    def words(self) -> list[str]:
        """See `States`."""
        return self.texts["text"].to_pylist()

    @cached_property
    def text_vectors(self) -> np.ndarray:
        """(T, E) the vectors of the texts as the model reads them.

        A text that came with a late event may have none in the cache, until its day is made again: it is encoded here.
        """
        from models.found import Found

        cached = users.texts_of(self._settings, self._model, self._cutoff)
        ids = self.past.texts
        present = np.isin(ids, cached.ids)
        vectors = np.empty((len(ids), cached.vectors.shape[1]), np.float32)
        vectors[present] = cached.vectors[cached.rows(ids[present])]
        if not present.all():
            tower = self._model.event_tower if isinstance(self._model, Found) else None
            encoder = tower or text_vectors.encoder(self._model.config.encoder)
            missing = self.texts["text"].filter(pa.array(~present)).to_pylist()
            vectors[~present] = encoder.encode(missing).astype("<f2")
        return vectors

    @cached_property
    def learned_texts(self) -> np.ndarray:
        """See `States`."""
        return texts.learned(self._model, self.text_vectors)

    @cached_property
    def frozen_texts(self) -> np.ndarray:
        """See `States`."""
        return texts.frozen(self._model, self.text_vectors, self.texts["category"].to_pylist())

    @cached_property
    def attributes(self) -> pa.Table:
        """See `States`; who had no row then has nulls."""
        table = attributes(self._settings, self._cutoff)
        rows = self._keys.rows(table["user_key"].to_pylist())
        places = np.full(len(self._keys), -1)
        places[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        return table.drop_columns("user_key").take(pa.array(places, pa.int64(), mask=places < 0))

    @property
    def ground(self) -> Ground:
        """See `States`."""
        return ground.of(self._settings, self._cutoff)

    @cached_property
    def grid(self) -> list[dt.date]:
        """Past cutoffs at which states were kept of everybody, newest first."""
        return users.past_cutoffs(self._settings, self._cutoff)

    @cached_property
    def moments(self) -> list[dt.date]:
        """See `States`."""
        grid = self.grid
        newest = (grid[-1] if grid else self._cutoff) - dt.timedelta(days=OLDER_DAYS)
        count = max(0, (newest - past.date_of(self.past.first_day)).days // OLDER_DAYS)
        return [*grid, *(newest - dt.timedelta(days=OLDER_DAYS * i) for i in range(count))]

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        table = attributes(self._settings, moment)
        rows = self._keys.rows(table["user_key"].to_pylist())
        kept = np.flatnonzero(rows >= 0)
        if moment not in self.grid and len(kept) > OLDER_USERS:
            kept = np.sort(np.random.default_rng(0).choice(kept, OLDER_USERS, replace=False))
        width = learned_width(self._model)
        held = users.held_out(self._settings, self._version, moment) if width and self._version is not None else {}
        held_rows = self._keys.rows(held)
        order = np.argsort(held_rows, kind="stable")[np.count_nonzero(held_rows < 0) :]
        learned = np.stack(list(held.values()))[order, :width] if held else np.empty((0, width), np.float32)
        return PastState(rows[kept], table.drop_columns("user_key").take(pa.array(kept)), held_rows[order], learned)

    def volume(self, day: int) -> np.ndarray:
        """See `States`."""
        if day not in self._volumes:
            own = self.past.user[~self.past.exposed & (self.past.known < day)]
            self._volumes[day] = np.bincount(own, minlength=self.past.users).astype(np.int32)
        return self._volumes[day]
