"""What is published of users beside their vectors, read from the lake: their attributes, what they did before the cutoff, the texts
of it, and what was known of them at past moments.

What belongs here: the `States` that look-ups score with, and reading them from the tables they follow from. What does not: keeping
them in files that any process maps, which is `snapshot`.
"""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import contract, feature_store, lake, mapped, spill
from found_platform.contract import midnight
from found_platform.embedding import texts, users
from found_platform.errors import JobFailed
from found_platform.index import past
from found_platform.index.past import Past, Values
from found_platform.privacy.user_keys import UserKeys
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

    return model.config.learned if isinstance(model, Found) else 0


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
    """States as the lake has them now. What there is of everybody is read a block at a time, into files that are mapped."""

    def __init__(self, settings: Settings, model: "Model", version: str | None, cutoff: dt.date, keys: UserKeys):
        self._settings, self.model, self.version, self.cutoff, self.keys = settings, model, version, cutoff, keys
        self._volumes: dict[int, np.ndarray] = {}

    @cached_property
    def delta_versions(self) -> dict[str, int]:
        """See `States`."""
        return {table: lake.version(self._settings.lake, table) for table in TABLES if lake.exists(self._settings.lake, table)}

    @cached_property
    def _loaded(self) -> past.Loaded:
        return past.load(self._settings, self.keys.arrow, self.cutoff)

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
            {"cutoff": self.cutoff, "moment": midnight(self.cutoff)},
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

        cached = users.texts_of(self._settings, self.model, self.cutoff)
        ids = self.past.texts
        present = np.isin(ids, cached.ids)
        vectors = np.empty((len(ids), cached.vectors.shape[1]), np.float32)
        vectors[present] = cached.vectors[cached.rows(ids[present])]
        if not present.all():
            tower = self.model.event_tower if isinstance(self.model, Found) else None
            encoder = tower or text_vectors.encoder(self.model.config.encoder)
            missing = self.texts["text"].filter(pa.array(~present)).to_pylist()
            vectors[~present] = encoder.encode(missing).astype("<f2")
        return vectors

    @cached_property
    def learned_texts(self) -> np.ndarray:
        """See `States`."""
        return texts.learned(self.model, self.text_vectors)

    @cached_property
    def frozen_texts(self) -> np.ndarray:
        """See `States`."""
        return texts.frozen(self.model, self.text_vectors, self.texts["category"].to_pylist())

    @cached_property
    def attributes(self) -> pa.Table:
        """See `States`; who had no row then has nulls."""
        rows = self._attributes_at(self.cutoff)
        schema = pa.schema([field for field in rows.projected_schema if field.name != "user_key"])
        with spill.scratch(self._settings.home / "tmp") as folder:
            batches = (lake.cast(batch, schema) for batch in self._of_users(rows, everybody=True))
            mapped.save_table(folder / "attributes.arrow", pa.RecordBatchReader.from_batches(schema, batches))
            return mapped.load_table(folder / "attributes.arrow")

    def check_attributes(self) -> None:
        """Raises JobFailed where the attributes of the cutoff are of other users than these."""
        con = lake.connect(self._settings.duckdb_memory)
        con.register("users", pa.table({"user_key": self.keys.arrow}))
        con.register("states", self._attributes_at(self.cutoff, ["user_key"]))
        query = "SELECT count(u.user_key), count(s.user_key), count(*) FROM users u FULL JOIN states s USING (user_key)"
        if len(set(con.execute(query).fetchall()[0])) > 1:
            raise JobFailed(
                f"user_embeddings and user_tabular as of {self.cutoff} do not hold the same users: materialise both for that day."
            )

    def _attributes_at(self, moment: dt.date, columns: list[str] | None = None) -> pad.Scanner:
        columns = columns or ["user_key", *filter_columns(self._settings).names]
        return feature_store.snapshot_scanner(self._settings, "user_tabular", moment - dt.timedelta(days=1), columns)

    def _of_users(self, rows: pad.Scanner, *, everybody: bool = False) -> Iterator[pa.RecordBatch]:
        """`_row` (the place among the keys) and what rows say of users, in the order of the keys: of `everybody`, or of those who
        have a row. A block at a time; DuckDB sorts within its memory, and beyond it on disk."""
        with lake.connect(self._settings.duckdb_memory, temp=self._settings.home / "tmp") as con:
            con.register("users", pa.table({"user_key": self.keys.arrow, "_row": pa.array(np.arange(len(self.keys)))}))
            con.register("states", rows)
            join = "LEFT JOIN" if everybody else "JOIN"
            query = f"SELECT _row, s.* EXCLUDE (user_key) FROM users {join} states s USING (user_key) ORDER BY _row"
            yield from con.execute(query).to_arrow_reader(mapped.ROWS)

    @property
    def ground(self) -> Ground:
        """See `States`."""
        return ground.of(self._settings, self.cutoff)

    @cached_property
    def grid(self) -> list[dt.date]:
        """Past cutoffs at which states were kept of everybody, newest first."""
        return users.past_cutoffs(self._settings, self.cutoff)

    @cached_property
    def moments(self) -> list[dt.date]:
        """See `States`."""
        grid = self.grid
        newest = (grid[-1] if grid else self.cutoff) - dt.timedelta(days=OLDER_DAYS)
        count = max(0, (newest - past.date_of(self.past.first_day)).days // OLDER_DAYS)
        return [*grid, *(newest - dt.timedelta(days=OLDER_DAYS * i) for i in range(count))]

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        rows, table = self._attributes_of(moment)
        if moment not in self.grid and len(rows) > OLDER_USERS:
            chosen = np.sort(np.random.default_rng(0).choice(len(rows), OLDER_USERS, replace=False))
            rows, table = rows[chosen], table.take(pa.array(chosen))
        width = learned_width(self.model)
        nobody = PastState(rows, table, np.empty(0, np.int64), np.empty((0, width), np.float32))
        if not width or self.version is None:
            return nobody
        keys, vectors, _ = users.load(self._settings, self.version, moment, held_out=True)
        if not keys:
            return nobody
        held_rows = self.keys.rows(keys)
        if len(present := np.flatnonzero(held_rows >= 0)) < len(held_rows):  # erased since
            held_rows, vectors = held_rows[present], vectors[present]
        return PastState(rows, table, held_rows, vectors[:, :width])

    def _attributes_of(self, moment: dt.date) -> tuple[np.ndarray, pa.Table]:
        """(N,) who of the users had attributes at a moment, and these (N rows)."""
        rows = self._attributes_at(moment)
        schema = pa.schema([field for field in rows.projected_schema if field.name != "user_key"])
        with spill.scratch(self._settings.home / "tmp") as folder:
            with mapped.ArrayFile(folder / "rows.npy", np.int64) as file:

                def batches() -> Iterator[pa.RecordBatch]:
                    for batch in self._of_users(rows):
                        file.append(batch["_row"].to_numpy())
                        yield lake.cast(batch, schema)

                mapped.save_table(folder / "attributes.arrow", pa.RecordBatchReader.from_batches(schema, batches()))
            return mapped.load(folder / "rows.npy"), mapped.load_table(folder / "attributes.arrow")

    def volume(self, day: int) -> np.ndarray:
        """See `States`."""
        if day not in self._volumes:
            self._volumes[day] = self.past.volume(day)
        return self._volumes[day]
