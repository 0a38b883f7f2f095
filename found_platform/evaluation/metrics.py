"""What a benchmark says of one ranking: every metric of METRICS. No thresholds are ever chosen on test labels."""

import numpy as np

from found_platform.metrics import auc

TOP_SHARE = 0.1
"""Share of users targeted where no predicted rate exists."""

RESAMPLES = 20

METRICS = ("auc", "ks", "accuracy", "precision", "recall", "accuracy_5050", "precision_5050", "recall_5050", "lift_at_10pct")


def evaluate(scores: np.ndarray, labels: np.ndarray, seed: int = 0, hard: np.ndarray | None = None) -> dict[str, float]:
    """Every metric of METRICS for scores (N,) and 0/1 labels (N,) with both classes present.

    accuracy, precision, recall: of targeting the top 10 %. The same `_5050`: of targeting the top half of a sample with as many
    negatives as positives, mean of 20 samples. Equal scores are ordered by chance, from `seed`. With `hard` (N,) bool, hard
    negatives among the negatives, `auc_hard` is the AUC against them alone, where there are any.
    """
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    false_rate, true_rate, _ = roc_curve(labels, scores)
    accuracy, precision, recall = _targeted(scores, labels, TOP_SHARE, rng)
    balanced = []
    for _ in range(RESAMPLES):
        size = min(len(positive), len(negative))
        rows = np.concatenate([rng.choice(positive, size, replace=False), rng.choice(negative, size, replace=False)])
        balanced.append(_targeted(scores[rows], labels[rows], 0.5, rng))
    even = np.mean(balanced, axis=0)
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
        "accuracy_5050": float(even[0]),
        "precision_5050": float(even[1]),
        "recall_5050": float(even[2]),
        "lift_at_10pct": precision / float(labels.mean()),
    }


def _targeted(scores: np.ndarray, labels: np.ndarray, share: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """accuracy, precision, recall of calling the best `share` of users positive."""
    order = np.lexsort((rng.random(len(scores)), -scores))
    called = np.zeros(len(scores), bool)
    called[order[: max(1, round(share * len(scores)))]] = True
    hits = float((called & (labels == 1)).sum())
    return float((called == (labels == 1)).mean()), hits / called.sum(), hits / float((labels == 1).sum())
