"""The methods that are compared. Each sees the same users and only what was known before the cutoff.

A zero-shot method scores a demand without labels; a probe gives features on which a logistic regression is fitted.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from found_platform import contract, feature_store, index, lake
from found_platform.contract import ACTIVITY_FEATURES, midnight
from found_platform.embedding import text_vectors, users
from found_platform.registry import LoadedModel
from found_platform.settings import Settings
from found_platform.targeting.lookup import embed_sentences

CATEGORIES = 40
"""Most frequent categories that aggregates are made for."""


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
    def aggregates(self) -> np.ndarray:
        """(U, A + C + P) what gradient boosting lives on: activity, counts and sums by category, and the profile as codes."""
        import pandas as pd

        keys = self._states[0]
        con = lake.connect(self.settings.duckdb_memory)
        lake.view(con, "events", self.settings.lake, "raw_events")
        by_category: Any = con.execute(
            "SELECT user_key, category, count(*) AS n, sum(amount) AS amount FROM events "
            "WHERE event_date < ? AND event_date >= ? AND arrived_at <= ? AND NOT exposure AND category IS NOT NULL GROUP BY ALL",
            [self.cutoff, self.cutoff - dt.timedelta(days=self.settings.lookback_days), midnight(self.cutoff)],
        ).df()
        common = by_category.groupby("category")["n"].sum().nlargest(CATEGORIES).index
        wide = by_category[by_category.category.isin(common)].pivot_table(
            index="user_key", columns="category", values=["n", "amount"]
        )
        names = contract.profile_schema(self.settings.home).names
        profile = index.attributes(self.settings, self.cutoff).select(names).to_pandas()
        codes = [pd.factorize(profile[n])[0] if profile[n].dtype == object else profile[n].to_numpy(float) for n in names]
        return np.hstack([self.activity, wide.reindex(keys).fillna(0).to_numpy(float), *(c[:, None] for c in codes)])

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


def zero_shot(population: Population, demands: list[str]) -> dict[str, np.ndarray]:
    """Scores (D, U) of each demand by method name. Users without any history rank last."""
    queries = embed_sentences(population.model, demands)
    count = population.activity[:, [f.name for f in ACTIVITY_FEATURES].index("events_lookback")]
    scores = {"frozen_text": queries @ population.vectors.T, "activity_count": np.tile(count, (len(demands), 1))}
    return {name: np.where(population.has_history, s, s.min() - 1) for name, s in scores.items()}


@dataclass(frozen=True)
class Probe:
    """Features (U, F), dense or sparse, and how a classifier is fitted on some of their rows; fitting gives a scorer."""

    features: Any
    fit: Callable[[Any, np.ndarray, int], Callable[[Any], np.ndarray]]


STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation of the logistic regression, chosen by cross-validation inside the fitted rows."""


def logistic(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """A regularised logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    smaller = int(min(labels.sum(), (1 - labels).sum()))
    folds = StratifiedKFold(min(3, smaller), shuffle=True, random_state=seed)
    search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": STRENGTHS}, scoring="roc_auc", cv=folds)
    return search.fit(features, labels).decision_function


def boosting(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """Gradient-boosted trees, small enough for a few hundred rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        learning_rate=0.1, max_iter=60, max_leaf_nodes=8, min_samples_leaf=10, l2_regularization=1.0, random_state=seed
    )
    fitted = trees.fit(features, labels)
    return lambda rows: fitted.predict_proba(rows)[:, 1]


def probes(population: Population) -> dict[str, Probe]:
    """The probes by method name."""
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    activity = StandardScaler().fit_transform(np.log1p(np.abs(population.activity)))
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(population.documents)
    return {
        "frozen_text": Probe(StandardScaler().fit_transform(population.vectors), logistic),
        "tfidf_activity": Probe(sp.hstack([words, sp.csr_matrix(activity)]).tocsr(), logistic),
        "gbdt_aggregates": Probe(population.aggregates, boosting),
    }
