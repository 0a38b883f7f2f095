"""The population stability index (PSI) of one feature: bins that fit the samples, and the PSI that chance alone gives.

Two samples of one law have a PSI of about (bins - 1) (1/n + 1/m), which is over the usual limit of 0.2 for a hundred users and ten
bins. So small samples get fewer bins, and the limit is no less than what permutations of the pooled sample reach.
"""

import numpy as np

PRACTICAL = 0.2
"""A PSI up to this is no drift, however surely it is no chance."""
BINS = 10
USERS_A_BIN = 40
"""Users of the smaller sample that a bin stands for: with fewer, an empty bin by chance alone carries the index over its limit."""
FEWEST = 50
"""Users on either side under which nothing is judged."""
EMPTY = 1e-4
"""The share that an empty bin counts as, as in Evidently."""
DRAWS = 20_000
"""Permutations: enough to know a quantile of one in a thousand."""


def bins(current: np.ndarray, reference: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
    """The bin of each value of both samples, and the bins' names. Bins hold about equally many users of both samples together."""
    count = min(BINS, max(2, min(len(current), len(reference)) // USERS_A_BIN))
    pooled = np.sort(np.concatenate([current, reference]))
    inner = pooled[(np.arange(1, count) * len(pooled)) // count]
    starts = np.unique(np.concatenate([pooled[:1], inner]))  # a bin holds the values from its start to before the next one's
    if len(starts) == 1 and pooled[-1] > pooled[0]:
        starts = np.array([pooled[0], pooled[np.searchsorted(pooled, pooled[0], side="right")]])
    names = [f"{i}: from {start:,.6g}" for i, start in enumerate(starts)]
    return [np.searchsorted(starts, sample, side="right") - 1 for sample in (current, reference)], names


def psi(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """PSI (...) of counts by bin (..., K)."""
    p, q = (np.where(counts == 0, EMPTY, counts / counts.sum(-1, keepdims=True)) for counts in (current, reference))
    return ((p - q) * np.log(p / q)).sum(-1)


def limit(current: np.ndarray, reference: np.ndarray, alarms: float) -> float:
    """The PSI up to which nothing has drifted: the practical limit, or what two samples of one law, as large as these and together
    distributed as they are, exceed with the chance `alarms`, if that is more. Takes counts (K,) by bin."""
    pooled = current + reference
    drawn = np.random.default_rng(0).multivariate_hypergeometric(pooled, int(current.sum()), size=DRAWS, method="marginals")
    return max(PRACTICAL, float(np.quantile(psi(drawn, pooled - drawn), 1 - alarms)))
