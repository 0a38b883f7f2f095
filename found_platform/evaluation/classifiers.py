"""The classifiers of probes: from features and labels of some users to scores of others."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Classifier = Callable[[Any, np.ndarray, int], Callable[[Any], np.ndarray]]
"""From features (N, F), labels (N,) 0/1 and a seed to a scorer of features (M, F), in log-odds."""

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation of the logistic regression, chosen by cross-validation inside the fitted rows."""


def logistic(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """A regularised logistic regression."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    smaller = int(min(labels.sum(), (1 - labels).sum()))
    folds = StratifiedKFold(min(3, smaller), shuffle=True, random_state=seed)
    regression = LogisticRegressionCV(
        Cs=STRENGTHS,  # pyright: ignore
        cv=folds,
        scoring="roc_auc",
        max_iter=2000,
        l1_ratios=(0,),  # pyright: ignore
        use_legacy_attributes=False,  # pyright: ignore
    )
    return regression.fit(features, labels).decision_function


def boosting(features: Any, labels: np.ndarray, seed: int) -> Callable[[Any], np.ndarray]:
    """Gradient-boosted trees, small enough for a few hundred rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        learning_rate=0.1, max_iter=60, max_leaf_nodes=8, min_samples_leaf=10, l2_regularization=1.0, random_state=seed
    )
    return trees.fit(features, labels).decision_function


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
