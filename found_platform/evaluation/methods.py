"""The methods that are compared. Each sees the same users and only what was known before the cutoff.

A zero-shot method scores a demand without labels; a probe gives features on which a logistic regression is fitted.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from found_platform import contract, feature_store, index, lake, outcomes, rewriting
from found_platform.audiences import prompts
from found_platform.contract import ACTIVITY_FEATURES, OWN_ACT, midnight
from found_platform.embedding import users
from found_platform.embedding.sentences import embed_sentences
from found_platform.outcomes import Outcome, document
from found_platform.scoring import few_shot as few_shot_heads
from found_platform.scoring import population, scorers
from found_platform.scoring.demand import Demand
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    import torch

    from models.frozen_text import FrozenText
    from models.histories import Histories

CATEGORIES = 40
"""Most frequent categories that aggregates are made for."""


@dataclass(frozen=True, eq=False)
class Population(population.Population):
    """Everybody's state before the cutoff, and what only the methods it is compared with make of it."""

    @cached_property
    def history(self) -> pa.Table:
        """What the feature service knew of everybody at the cutoff."""
        return feature_store.history(self.settings, list(self.keys), [midnight(self.cutoff)] * len(self.keys))

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


def zero_shot(
    population: Population,
    demands: list[str],
    horizon_days: int,
    only: Collection[str] | None = None,
    *,
    outcome: Outcome | None = None,
    rank: str | None = None,
) -> dict[str, np.ndarray]:
    """Scores (D, U) of each demand by method name, all methods or `only` some. Users without any history rank last.

    The modes see the demands as they are written; `auto` is what a look-up does: it rewrites, and chooses a mode. `outcome` is what
    a person stated, a method of its own; `rank` is what a look-up is told to rank by.
    """

    def count() -> np.ndarray:
        events = population.activity[:, [f.name for f in ACTIVITY_FEATURES].index("events_lookback")]
        return np.tile(events, (len(demands), 1))

    def recency() -> np.ndarray:
        days = population.activity[:, [f.name for f in ACTIVITY_FEATURES].index("days_since_last")]
        return np.tile(-days, (len(demands), 1))

    def tfidf() -> np.ndarray:
        words, vocabulary = population.word_vectors
        return (vocabulary.transform(demands) @ words.T).toarray()

    def mode(name: str, worded: Iterable[Demand]) -> np.ndarray:
        return np.stack([scorers.rank(population, demand, name, horizon_days).of(population.vectors) for demand in worded])

    def auto() -> np.ndarray:
        rewriter = rewriting.chosen(population.settings, population.cutoff)
        return mode("auto", [_ranked(Demand.of(rewriter.rewrite(demand)), rank) for demand in demands])

    def of_outcome() -> np.ndarray:
        assert outcome is not None
        return mode("auto", [_ranked(Demand.of_outcome(outcome), rank)] * len(demands))

    scorer_calls: dict[str, Callable[[], np.ndarray]] = {
        "frozen_text": lambda: embed_sentences(population.frozen_text, demands) @ population.frozen_vectors.T,
        "activity_count": count,
        "recency": recency,
        "tfidf": tfidf,
        **{name: partial(mode, name, [Demand(d) for d in demands]) for name in ("aligned", "late", "replay")},
        "auto": auto,
        **({"outcome": of_outcome} if outcome is not None else {}),
    }
    scores = {name: score() for name, score in scorer_calls.items() if only is None or name in only}
    return {name: np.where(population.has_history, s, s.min() - 1) for name, s in scores.items()}


def _ranked(demand: Demand, rank: str | None) -> Demand:
    """The demand, ranked as a scenario asks; a demand that was not understood stays as it is."""
    if rank is None or demand.outcome is None:
        return demand
    return replace(demand, outcome=outcomes.parse({**document.as_data(demand.outcome), "rank": rank}))


def few_shot(
    population: Population, demand: str, scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Scores (U,) by each head of `scoring.few_shot`, from a few users (rows) who will do it and who will not.

    `scores` (U,) are those of the demand without any label. Prompt tuning takes seconds, so it is there for the first `seed` alone.
    """
    with_history = np.flatnonzero(population.has_history)
    place = np.full(len(population.keys), -1)
    place[with_history] = np.arange(len(with_history))
    vectors = population.vectors[with_history]
    demand_query = few_shot_heads.imitate(vectors, scores[with_history])
    tuner = prompts.tuner(population.model, demand) if seed == 0 else None
    keys = population.keys.take(with_history)
    by_head = few_shot_heads.few_shot_scores(
        vectors, keys, place[positives].tolist(), place[negatives].tolist(), demand_query, tuner, seed
    )
    scores_by_head = {}
    for name, values in by_head.items():
        scores_by_head[name] = np.full(len(population.keys), values.min() - 1)
        scores_by_head[name][with_history] = values
    return scores_by_head


@dataclass(frozen=True)
class Probe:
    """Features (U, F), dense or sparse, and how a classifier is fitted on some of their rows; fitting gives a scorer."""

    features: Any
    fit: Callable[[Any, np.ndarray, int], Callable[[Any], np.ndarray]]


STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation of the logistic regression, chosen by cross-validation inside the fitted rows."""


def logistic(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """A regularised logistic regression."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    smaller = int(min(labels.sum(), (1 - labels).sum()))
    folds = StratifiedKFold(min(3, smaller), shuffle=True, random_state=seed)
    chosen = LogisticRegressionCV(
        Cs=STRENGTHS,  # pyright: ignore
        cv=folds,
        scoring="roc_auc",
        max_iter=2000,
        l1_ratios=(0,),  # pyright: ignore
        use_legacy_attributes=False,  # pyright: ignore
    )
    return chosen.fit(features, labels).decision_function


def boosting(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """Gradient-boosted trees, small enough for a few hundred rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        learning_rate=0.1, max_iter=60, max_leaf_nodes=8, min_samples_leaf=10, l2_regularization=1.0, random_state=seed
    )
    fitted = trees.fit(features, labels)
    return lambda rows: fitted.predict_proba(rows)[:, 1]


def probes(population: Population) -> dict[str, Probe]:
    """The probes by method name. Those that end in `_activity`, and `found`, have the same activity columns too."""
    import scipy.sparse as sp
    from sklearn.preprocessing import StandardScaler

    def standard(*parts: np.ndarray) -> Any:
        return StandardScaler().fit_transform(np.hstack(parts))

    activity = standard(np.log1p(np.abs(population.activity)))
    words, _ = population.word_vectors
    baselines = {
        "activity": Probe(activity, logistic),
        "frozen_text": Probe(standard(population.frozen_vectors), logistic),
        "frozen_text_activity": Probe(standard(population.frozen_vectors, activity), logistic),
        "tfidf_activity": Probe(sp.hstack([words, sp.csr_matrix(activity)]).tocsr(), logistic),
        "gbdt_aggregates": Probe(population.aggregates, boosting),
    }
    return baselines | {name: Probe(standard(part, activity), logistic) for name, part in _parts(population).items()}


def _parts(population: Population) -> dict[str, np.ndarray]:
    """What FOUND makes of a user (U, W), in part and as a whole, by method name; nothing where the model is another.

    `untrained` is stage 1 with random weights; `concatenation` the modalities side by side, without alignment.
    """
    import torch

    from models.found import Found

    model = population.model
    if not isinstance(model, Found):
        return {}
    aligned = model.config.dim
    stage1 = model.config.behavior.width if model.config.behavior else 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Found(model.config).eval()
    return {
        "untrained_activity": population.by_model(untrained.users)[:, aligned : aligned + stage1],
        "stage1_activity": population.vectors[:, aligned : aligned + stage1],
        "concatenation_activity": population.by_model(model.concatenation),
        "aligned_activity": population.vectors[:, :aligned],
        "found": population.vectors[:, : aligned + stage1],
    }
