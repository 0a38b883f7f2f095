"""What the methods of the benchmark are made from: everybody's state before the cutoff, each part computed once."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from found_platform import contract, feature_store, index, lake, rewriting
from found_platform.contract import ACTIVITY_FEATURES, OWN_ACT, midnight
from found_platform.embedding import users
from found_platform.index.states import LakeStates
from found_platform.scoring import population
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    import torch

    from found_platform.rewriting import Rewriting
    from models.frozen_text import FrozenText
    from models.histories import Histories

CATEGORIES = 40
"""Most frequent categories that aggregates are made for."""


@dataclass(frozen=True, eq=False)
class Population(population.Population):
    """Everybody's state before the cutoff, and what only the methods it is compared with make of it."""

    @classmethod
    def of_files(cls, settings: Settings, version: str, cutoff: dt.date, model: Path) -> Self:
        """The states of a version in the lake, and its model by its folder: the registry is not asked, which takes long to load."""
        from models import saved

        return cls.of_lake(settings, saved.load(model), version, cutoff, *users.load(settings, version, cutoff))

    @cached_property
    def history(self) -> pa.Table:
        """What the feature service knew of everybody at the cutoff."""
        return feature_store.history(self.settings, list(self.keys), [midnight(self.cutoff)] * len(self.keys))

    @cached_property
    def _rewritings(self) -> "dict[tuple[str, bool], Rewriting]":
        return {}

    @property
    def has_language_model(self) -> bool:
        """Whether the home names a language model that rewrites demands."""
        return self.settings.rewriter is not None or self.settings.rewriter_endpoint is not None

    def rewritten(self, demand: str, *, grounded: bool = False) -> "Rewriting":
        """What the home's rewriter makes of a demand, or the grounded one; several methods ask for the same."""
        grounded = grounded or not self.has_language_model
        if (demand, grounded) not in self._rewritings:
            make = rewriting.grounded if grounded else rewriting.of_home
            self._rewritings[demand, grounded] = make(self.settings, self.cutoff, self.states.ground).rewrite(demand)
        return self._rewritings[demand, grounded]

    @cached_property
    def _trained(self) -> dict[str, np.ndarray]:
        return {}

    def trained(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """(U, D) vectors that several rows of the table are made of, made once."""
        if name not in self._trained:
            self._trained[name] = make()
        return self._trained[name]

    def by_model(self, method: "Callable[[Histories], torch.Tensor]") -> np.ndarray:
        """(U, ...) what a method of a model says of everybody's history, a batch at a time."""
        import torch

        texts = users.texts_of(self.settings, self.model, self.cutoff)
        with torch.inference_mode():
            return np.concatenate(
                [
                    method(users.tensors_of(self.settings, self.model, self.history.slice(start, users.USERS), texts)).numpy()
                    for start in range(0, len(self.keys), users.USERS)
                ]
            )

    @cached_property
    def frozen_text(self) -> "FrozenText":
        """The frozen-text model under this one: the model itself, or what it started from."""
        from models.found import Found

        return self.model.frozen_text() if isinstance(self.model, Found) else self.model

    @cached_property
    def frozen_event_texts(self) -> np.ndarray:
        """(T, E) the frozen vectors of the texts of the past, in their order."""
        return LakeStates(self.settings, self.frozen_text, None, self.cutoff, self.keys).text_vectors

    @cached_property
    def frozen_vectors(self) -> np.ndarray:
        """(U, E) the frozen-text model's users."""
        return self.by_model(self.frozen_text.users)

    @cached_property
    def activity(self) -> np.ndarray:
        """(U, A) activity aggregates; a user silent beyond the lookback has the lookback as recency."""
        table = index.attributes(self.settings, self.cutoff)
        columns = [table[f.name].fill_null(self.settings.lookback_days).to_numpy() for f in ACTIVITY_FEATURES]
        return np.stack(columns, 1).astype(float)

    @cached_property
    def aggregates(self) -> np.ndarray:
        """(U, A + C + P) what gradient boosting lives on: activity, counts and sums by category, and the profile as codes."""
        import pandas as pd

        con = lake.connect(self.settings.duckdb_memory)
        lake.view(con, "events", self.settings.lake, "raw_events")
        by_category: Any = con.execute(
            "SELECT user_key, category, count(*) AS n, sum(amount) AS amount FROM events "
            f"WHERE event_date < ? AND event_date >= ? AND arrived_at <= ? AND {OWN_ACT} AND category IS NOT NULL GROUP BY ALL",
            [self.cutoff, self.cutoff - dt.timedelta(days=self.settings.lookback_days), midnight(self.cutoff)],
        ).df()
        common = by_category.groupby("category")["n"].sum().nlargest(CATEGORIES).index
        wide = by_category[by_category.category.isin(common)].pivot_table(
            index="user_key", columns="category", values=["n", "amount"]
        )
        names = contract.profile_schema(self.settings.home).names
        attributes = index.attributes(self.settings, self.cutoff).select(names).to_pandas()
        codes = [pd.factorize(attributes[n])[0] if attributes[n].dtype == object else attributes[n].to_numpy(float) for n in names]
        return np.hstack([self.activity, wide.reindex(list(self.keys)).fillna(0).to_numpy(float), *(c[:, None] for c in codes)])

    @cached_property
    def documents(self) -> list[str]:
        """The texts of each user's own events, one string a user."""
        ids, counts = users.own_texts(self.history)
        table = text_vectors.texts_before(self.settings, self.cutoff)
        text = dict(zip(table["text_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return [" ".join(text[i] for i in ids[a:b]) for a, b in pairwise(bounds)]

    @cached_property
    def word_vectors(self) -> tuple[Any, Any]:
        """(U, V) TF-IDF of everybody's documents, sparse, and the vectorizer that made it."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vocabulary = TfidfVectorizer(sublinear_tf=True, min_df=2)
        return vocabulary.fit_transform(self.documents), vocabulary

    @staticmethod
    def standard(*parts: np.ndarray) -> np.ndarray:
        """(U, F) columns side by side, each of zero mean and unit variance over everybody."""
        from sklearn.preprocessing import StandardScaler

        return StandardScaler().fit_transform(np.hstack(parts))

    @cached_property
    def standard_activity(self) -> np.ndarray:
        """(U, A) activity on a log scale, each column of zero mean and unit variance."""
        return self.standard(np.log1p(np.abs(self.activity)))
