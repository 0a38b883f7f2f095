"""The methods that are compared. Each sees the same users and only what was known before the cutoff.

A zero-shot method scores a demand without labels; a probe gives features on which a logistic regression is fitted.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from found_platform import feature_store, index
from found_platform.contract import ACTIVITY_FEATURES, midnight
from found_platform.embedding import text_vectors, users
from found_platform.registry import LoadedModel
from found_platform.settings import Settings
from found_platform.targeting.lookup import embed_sentences


@dataclass(frozen=True)
class Population:
    """Everybody's state before the cutoff, as the methods see it. Rows are in the order of `row`."""

    settings: Settings
    model: LoadedModel
    cutoff: dt.date

    @cached_property
    def _states(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        return users.load(self.settings, self.model.version, self.cutoff)

    @cached_property
    def row(self) -> dict[str, int]:
        return {key: i for i, key in enumerate(self._states[0])}

    @property
    def vectors(self) -> np.ndarray:
        """(U, D)"""
        return self._states[1]

    @property
    def has_history(self) -> np.ndarray:
        """(U,) bool"""
        return self._states[2] > 0

    @cached_property
    def activity(self) -> np.ndarray:
        """(U, A) activity aggregates; a user silent beyond the lookback has the lookback as recency."""
        table = index.attributes(self.settings, self.cutoff)
        columns = [table[f.name].fill_null(self.settings.lookback_days).to_numpy() for f in ACTIVITY_FEATURES]
        return np.stack(columns, 1).astype(float)

    @cached_property
    def documents(self) -> list[str]:
        """The texts of each user's own events, one string a user."""
        keys = self._states[0]
        history = feature_store.history(self.settings, keys, [midnight(self.cutoff)] * len(keys))
        ids, counts = users.own_texts(history)
        table = text_vectors.texts_before(self.settings, self.cutoff)
        text = dict(zip(table["text_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return [" ".join(text[i] for i in ids[a:b]) for a, b in pairwise(bounds)]


def zero_shot(population: Population, demand: str) -> dict[str, np.ndarray]:
    """Scores (U,) by method name. Users without any history rank last."""
    query = embed_sentences(population.model, [demand])[0]
    count = [f.name for f in ACTIVITY_FEATURES].index("events_lookback")
    scores = {"frozen_text": population.vectors @ query, "activity_count": population.activity[:, count]}
    return {name: np.where(population.has_history, s, s.min() - 1) for name, s in scores.items()}


def probes(population: Population) -> dict[str, Any]:
    """Features (U, F), dense or sparse, by method name."""
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    activity = StandardScaler().fit_transform(np.log1p(np.abs(population.activity)))
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(population.documents)
    return {
        "frozen_text": StandardScaler().fit_transform(population.vectors),
        "tfidf_activity": sp.hstack([words, sp.csr_matrix(activity)]).tocsr(),
    }
