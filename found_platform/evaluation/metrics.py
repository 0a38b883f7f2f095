"""What a benchmark says of one ranking: every metric of METRICS. No thresholds are ever chosen on test labels."""

import numpy as np

from found_platform.evaluation import thresholds
from found_platform.metrics import auc

TOP_SHARE = 0.1
"""Share of users targeted where no predicted rate exists."""

METRICS = ("auc", "ks", "accuracy", "precision", "recall", "accuracy_5050", "precision_5050", "recall_5050", "lift_at_10pct")


def evaluate(
    scores: np.ndarray, labels: np.ndarray, seed: int = 0, hard: np.ndarray | None = None, threshold: float | None = None
) -> dict[str, float]:
    """Every metric of METRICS for scores (N,) and 0/1 labels (N,) with both classes present.

    accuracy, precision, recall: of targeting the top 10 %, equal scores being ordered by chance, from `seed`. The same `_5050`: of
    calling whoever scores above the method's own `threshold` (None: the mean score), where positives and negatives count equally
    much in all. With `hard` (N,) bool, hard negatives among the negatives, `auc_hard` is the AUC against them alone, where there
    are any.
    """
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(labels, scores)
    accuracy, precision, recall = _of_the_best(scores, labels, np.random.default_rng(seed))
    even = _at_even_odds(scores > (thresholds.average(scores) if threshold is None else threshold), labels)
    against = {}
    if hard is not None and hard.any():
        kept = hard | (labels == 1)
        against = {"auc_hard": auc(scores[kept], labels[kept])}
    return {
        "auc": auc(scores, labels),
        **against,
        "ks": float(np.max(true_rate - false_rate)),
        "accuracy": accuracy,
        "precision": precision,
        "recall": recall,
        "accuracy_5050": even[0],
        "precision_5050": even[1],
        "recall_5050": even[2],
        "lift_at_10pct": precision / float(labels.mean()),
    }


def _of_the_best(scores: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """accuracy, precision, recall of calling the best TOP_SHARE of users positive."""
    order = np.lexsort((rng.random(len(scores)), -scores))
    called = np.zeros(len(scores), bool)
    called[order[: max(1, round(TOP_SHARE * len(scores)))]] = True
    hits = float((called & (labels == 1)).sum())
    return float((called == (labels == 1)).mean()), hits / called.sum(), hits / float((labels == 1).sum())


def _at_even_odds(called: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """accuracy, precision, recall of a call (N,) bool in a sample of as many negatives as positives, as large as can be.

    They follow from the shares of either kind that are called, so nothing has to be drawn. Who calls nobody is never right: 0.
    """
    hits, alarms = (float(called[labels == label].mean()) for label in (1, 0))
    return (hits + 1 - alarms) / 2, hits / (hits + alarms) if hits else 0.0, hits
