"""The classifiers of probes: from features and labels of some users to scores of others."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from found_platform.metrics import auc

Classifier = Callable[[Any, np.ndarray, int], Callable[[Any], np.ndarray]]
"""From features (N, F), labels (N,) 0/1 and a seed to a scorer of features (M, F), in log-odds."""

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation of the logistic regression, chosen by cross-validation inside the fitted rows."""


def logistic(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """A regularised logistic regression."""
    from sklearn.linear_model import LogisticRegressionCV

    regression = LogisticRegressionCV(
        Cs=STRENGTHS,  # pyright: ignore
        cv=_folds(labels, seed),
        scoring=area_under_curve,  # pyright: ignore
        max_iter=2000,
        l1_ratios=(0,),  # pyright: ignore
        use_legacy_attributes=False,  # pyright: ignore
    )
    return regression.fit(features, labels).decision_function


def area_under_curve(fitted: Any, features: Any, labels: np.ndarray) -> float:
    """scikit-learn's score `roc_auc` without its checks of what it is handed, half of the time of a fit of some hundred rows."""
    return auc(fitted.decision_function(features), labels)


TREES = [{"learning_rate": [0.05], "max_leaf_nodes": [4, 8]}, {"learning_rate": [0.1], "max_leaf_nodes": [8]}]
"""Boosted trees, from careful to bold, among which cross-validation inside the fitted rows chooses."""

BINS = 32
"""Of each feature: a few hundred rows have no use for more, and trees take half the time."""


def boosting(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """Gradient-boosted trees, small enough for a few hundred rows, of the size that suits these."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GridSearchCV

    trees = HistGradientBoostingClassifier(
        max_iter=60, min_samples_leaf=10, l2_regularization=1.0, max_bins=BINS, random_state=seed
    )
    search = GridSearchCV(trees, TREES, scoring="roc_auc", cv=_folds(labels, seed))
    return search.fit(features, labels).decision_function


def _folds(labels: np.ndarray, seed: int) -> Any:
    """Three folds, or as many as there are labels of the rarer kind."""
    from sklearn.model_selection import StratifiedKFold

    smaller = int(min(labels.sum(), (1 - labels).sum()))
    return StratifiedKFold(min(3, smaller), shuffle=True, random_state=seed)


def perceptron(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """A multilayer perceptron on a frozen vector: the U-MLP of ShopperBERT (arXiv 2106.00573)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    layers = MLPClassifier((64,), alpha=1.0, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 steps are what it gets
        fitted = layers.fit(features, labels)

    def log_odds(rows: Any) -> np.ndarray:
        chance = np.asarray(fitted.predict_proba(rows), float)
        return np.log(chance[:, 1].clip(1e-9)) - np.log(chance[:, 0].clip(1e-9))

    return log_odds
