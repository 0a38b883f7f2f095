"""Metrics against scikit-learn, SciPy, published examples and loops."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from found_platform import metrics


def test_the_auc_is_scikit_learns_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    for decimals in (0, 1, 8):
        scores, labels = rng.normal(size=300).round(decimals), rng.integers(0, 2, 300)
        assert metrics.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_placements_are_the_weighted_share_of_negatives_below() -> None:
    rng = np.random.default_rng(1)
    positives, negatives, weights = rng.integers(0, 6, 8), rng.integers(0, 6, 30), rng.random(30)
    slow = [sum(w * ((n < p) + (n == p) / 2) for n, w in zip(negatives, weights, strict=True)) / weights.sum() for p in positives]
    np.testing.assert_allclose(metrics.placements(positives, negatives, weights), slow)
    np.testing.assert_allclose(
        metrics.placements(positives, negatives), metrics.placements(positives, negatives, np.full(30, 3.0)), rtol=1e-12
    )


def test_what_users_add_has_the_mean_auc_of_all_phrases() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 6)).round(1)  # some are equal
    will = rng.random((40, 6)) < 0.3
    will[:, 4], will[:, 5] = True, False  # nobody to tell them from
    aucs = [roc_auc_score(w, s) for s, w in zip(scores.T[:4], will.T[:4], strict=True)]
    values = metrics.auc_by_user(scores, will)
    assert values is not None
    assert values.mean() == pytest.approx(np.mean(aucs))
    assert metrics.auc_by_user(scores, will[:, [4, 5, 4, 5, 4, 5]]) is None


def test_a_retrieval_is_the_same_for_arrays_and_tensors_and_a_constant_score_is_worth_chance() -> None:
    rng = np.random.default_rng(2)
    scores, owner = rng.integers(0, 9, (40, 40)).astype(float), np.arange(40) // 2
    of_arrays, of_tensors = metrics.retrieval(scores, owner), metrics.retrieval(torch.from_numpy(scores), torch.from_numpy(owner))
    for figure in (lambda r: r.recall(10), lambda r: r.reciprocal_rank, lambda r: float(r.placements.mean())):
        assert figure(of_arrays) == pytest.approx(figure(of_tensors), abs=1e-6)
    constant = metrics.retrieval(np.ones((40, 40)), np.arange(40))
    assert (constant.recall(10), constant.placements.mean()) == (0.0, 0.5), "nobody is in the top ten by ties alone"


def test_the_interval_of_a_share_is_wilsons() -> None:
    hits, counts = np.array([0, 3, 57, 10]), np.array([10, 10, 90, 10])
    low, high = metrics.wilson(hits, counts)
    for i, (hit, count) in enumerate(zip(hits.tolist(), counts.tolist(), strict=True)):
        expected = proportion_confint(hit, count, alpha=0.05, method="wilson")
        assert (low[i], high[i]) == pytest.approx(expected, abs=1e-9)
        assert metrics.wilson(hit, count) == (low[i], high[i])


def test_the_interval_of_a_difference_is_the_published_one() -> None:
    """Newcombe 1998, Interval estimation for the difference between independent proportions, method 10, examples (a) and (b)."""
    assert metrics.newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert metrics.newcombe(0, 100, 0, 100) == pytest.approx((-0.0370, 0.0370), abs=5e-5)


def test_the_visible_difference_is_that_of_the_normal_approximation() -> None:
    sd = (0.11 * 0.89 * (1 / 431 + 1 / 169)) ** 0.5
    assert metrics.visible_difference(0.11, 431, 169) == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * sd, rel=1e-3)
