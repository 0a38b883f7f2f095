"""Ranking metrics and confidence intervals: the one place for AUC, retrieval, Wilson and Newcombe intervals.

Pure functions of arrays. Training imports this module on machines that have NumPy and torch alone, so SciPy and statsmodels are
imported where an interval is computed. What is done with a metric (thresholds, averages over scenarios, verdicts) belongs to its
callers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
"""Of every interval that is printed."""
POWER = 0.8
"""Chance with which a difference that is called visible would be found."""


def placements(positives: np.ndarray, negatives: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Placement values (DeLong et al. 1988): for each positive, the share of the negatives that score below it; ties count half.

    Their mean is the AUC.

    Args:
        positives, negatives: scores (P,) and (N,).
        weights: (N,) of the negatives; equal ones where None.
    """
    order = np.argsort(negatives, kind="stable")
    ranked = negatives[order]
    below, up_to = (np.searchsorted(ranked, positives, side=side) for side in ("left", "right"))
    if weights is None:
        return (below + up_to) / (2 * len(negatives))
    mass = np.concatenate([[0.0], np.cumsum(weights[order])])
    return (mass[below] + mass[up_to]) / (2 * mass[-1])


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scores (N,) for 0/1 labels (N,): the chance that a positive ranks above a negative."""
    positive = np.asarray(labels) == 1
    return float(placements(scores[positive], scores[~positive]).mean())


def auc_by_user(scores: np.ndarray, will: np.ndarray) -> np.ndarray | None:
    """What each user adds to the mean AUC over phrases; the values' mean is that AUC.

    Args:
        scores: (U, P) of each user for each phrase.
        will: (U, P) bool, whether the user will do it.

    Returns (U,) values, or None where no phrase has both users who will and users who will not.
    """
    both = will.any(0) & ~will.all(0)
    if not both.any():
        return None
    values = np.zeros(len(scores))
    for score, did in zip(scores.T[both], will.T[both], strict=True):
        values[did] += placements(score[did], score[~did]) / did.sum()
    return values * len(scores) / both.sum()


@dataclass(frozen=True)
class Retrieval:
    """How well rows find their own columns: (N,) how many `others` there are, and how many are `above` (ties count half)."""

    above: Any
    others: Any

    def recall(self, top: int) -> float:
        """Share of the rows whose own column is among the `top` best."""
        return float((1.0 * (self.above < top)).mean())

    @property
    def reciprocal_rank(self) -> float:
        return float((1 / (1 + self.above)).mean())

    @property
    def placements(self) -> Any:
        """(N,) the share of others that are farther away than the own column; the mean is the AUC."""
        return 1 - self.above / self.others.clip(1)


def retrieval(scores: Any, owner: Any) -> Retrieval:
    """The ranks of own columns, which are the diagonal of scores (N, N). Other columns of the same owner (N,) are no candidates.

    Takes NumPy arrays and torch tensors, which stay on their device.
    """
    own = scores.diagonal()[:, None]
    others = owner[:, None] != owner
    above = ((scores > own) & others).sum(1) + 0.5 * ((scores == own) & others).sum(1)
    return Retrieval(above, others.sum(1))


def gini(scores: Any, amounts: Any) -> float:
    """The Gini coefficient of amounts (N,) >= 0 in the order of scores (N,), as a part of that in their own order: 1 ranks them
    perfectly, 0 as chance does. NaN where all amounts are equal."""
    amounts = np.asarray(amounts, np.float64)

    def area(order: Any) -> float:
        shares = amounts[np.argsort(-np.asarray(order), kind="stable")].cumsum() / max(amounts.sum(), 1e-12)
        return float(shares.mean() - (len(amounts) + 1) / (2 * len(amounts)))

    best = area(amounts)
    return area(scores) / best if abs(best) > 1e-12 else float("nan")


def wilson(did: Any, users: Any) -> tuple[Any, Any]:
    """The 95 % Wilson interval of the share `did` of `users`: numbers, or arrays of them."""
    from scipy.stats import binomtest  # every look-up needs it, and statsmodels takes a quarter of a second to load

    did, users = np.broadcast_arrays(did, users)
    tests = [binomtest(int(k), int(n)) for k, n in zip(did.flat, users.flat, strict=True)]
    bounds = [test.proportion_ci(CONFIDENCE, "wilson") for test in tests]
    low, high = (np.reshape([getattr(b, side) for b in bounds], did.shape) for side in ("low", "high"))
    share = did / users
    return np.minimum(low, share), np.maximum(high, share)  # rounding may leave a share of 1 outside its own interval


def newcombe(did: int, users: int, other_did: int, other_users: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two independent shares (Newcombe 1998, method 10)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        did, users, other_did, other_users, compare="diff", method="newcomb", alpha=1 - CONFIDENCE
    )
    return float(low), float(high)


def visible_difference(share: float, users: int, other_users: int) -> float:
    """The difference of two shares near `share` that groups of this size would show in four cases of five, at 95 % confidence."""
    from statsmodels.stats.power import NormalIndPower

    effect = NormalIndPower().solve_power(nobs1=users, ratio=other_users / users, alpha=1 - CONFIDENCE, power=POWER)
    return float(effect) * (share * (1 - share)) ** 0.5
