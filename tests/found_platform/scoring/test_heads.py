"""The small models of replay, against libraries and closed forms."""

import numpy as np
import pytest

from found_platform.scoring import heads


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_logistic_regression_is_that_of_scikit_learn_on_hard_labels(rng: np.random.Generator) -> None:
    from sklearn.linear_model import LogisticRegression

    features = rng.normal(size=(400, 6))
    labels = (rng.random(400) < heads.chance(features @ np.array([1.5, -1, 0.3, 0, 0, 2]) - 1)).astype(float)
    weights, bias = heads.logistic(features, labels, ridge=4.0)
    other = LogisticRegression(C=1 / 4.0, tol=1e-10, max_iter=10_000).fit(features, labels)
    np.testing.assert_allclose(weights, other.coef_[0], atol=1e-3)
    assert bias == pytest.approx(other.intercept_[0], abs=1e-3)


def test_soft_labels_are_hard_ones_in_those_shares(rng: np.random.Generator) -> None:
    features = rng.normal(size=(60, 3))
    counts = rng.integers(0, 11, 60)
    soft = heads.logistic(features, counts / 10, ridge=0.5)
    rows = np.repeat(np.arange(60), 10)
    hard = np.concatenate([np.r_[np.ones(n), np.zeros(10 - n)] for n in counts])
    weights, bias = heads.logistic(features[rows], hard, ridge=5.0)  # ten times the rows, ten times the ridge
    np.testing.assert_allclose(soft[0], weights, atol=1e-3)
    assert soft[1] == pytest.approx(bias, abs=1e-3)


def test_an_offset_that_explains_all_leaves_nothing_to_learn(rng: np.random.Generator) -> None:
    features = rng.normal(size=(5000, 2))
    offset = features @ np.array([2.0, -1.0]) + 0.5
    weights, bias = heads.logistic(features, heads.chance(offset), ridge=1.0, offset=offset)
    np.testing.assert_allclose([*weights, bias], 0, atol=1e-3)


def test_rare_labels_do_not_make_newtons_method_diverge(rng: np.random.Generator) -> None:
    features = rng.normal(size=(3000, 40)) * 30
    labels = np.zeros(3000)
    labels[:3] = 1
    weights, bias = heads.logistic(features, labels, ridge=1e-3)
    assert np.isfinite(weights).all()
    assert (features[:3] @ weights + bias).min() > (features[3:] @ weights + bias).max() - 1e-6


def test_the_reach_curve_counts_who_would_have_been_reached() -> None:
    odds = np.arange(100.0)
    did = odds >= 90
    curve = {c.share: c for c in heads.operating_points(odds, did)}
    assert (curve[0.05].users, curve[0.05].precision, curve[0.05].recall) == (5, 1.0, 0.5)
    assert (curve[0.2].precision, curve[0.2].recall) == (0.5, 1.0)
    assert curve[1.0].precision == pytest.approx(0.1)
    assert all(c.low <= c.precision <= c.high for c in curve.values())


def test_chances_that_come_true_are_on_the_diagonal(rng: np.random.Generator) -> None:
    chances = rng.random(20_000)
    bins = heads.reliability(chances, rng.random(20_000) < chances)
    assert sum(b.users for b in bins) == 20_000
    assert all(abs(b.predicted - b.observed) < 0.04 for b in bins)


def test_scaling_recovers_chances_from_wrong_log_odds(rng: np.random.Generator) -> None:
    true = rng.normal(size=20_000) * 2
    did = rng.random(20_000) < heads.chance(true)
    slope, start = heads.scale(3 * true + 1, did)
    assert (slope, start) == pytest.approx((1 / 3, -1 / 3), abs=0.03)


def test_a_residual_of_noise_gets_no_weight_and_one_that_knows_gets_some(rng: np.random.Generator) -> None:
    truth = rng.normal(size=2000)
    did = rng.random(2000) < heads.chance(truth)
    noise = [heads.worth(np.zeros(2000), rng.normal(size=2000) * 0.3, did) for _ in range(20)]
    assert np.mean(np.array(noise) > 0) <= 0.2
    assert heads.worth(np.zeros(2000), truth, did) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trees_asked_a_column_at_a_time_say_what_scikit_learn_says(dtype: type, rng: np.random.Generator) -> None:
    """Ties with a threshold, and a column of few values, go the same way."""
    features = np.stack([rng.normal(size=5000), rng.integers(0, 5, 5000), np.log1p(rng.poisson(2, 5000))], 1).astype(dtype)
    labels = (rng.random(5000) < heads.chance(features[:, 0] + features[:, 1] - 3)).astype(float)
    head = heads.Head.fit(features, labels)
    np.testing.assert_allclose(heads.boosted(head.trees, features), head.trees.predict(features), rtol=1e-12)


def test_features_of_four_bytes_go_the_way_of_eight_where_a_threshold_lies_between_two_of_them(rng: np.random.Generator) -> None:
    values = np.sort(rng.normal(size=200)).astype(np.float32)
    for threshold in (*rng.normal(size=50), *values[::10].astype(float), np.nextafter(float(values[7]), -np.inf), np.inf):
        rounded = heads._rounded_down(np.float64(threshold), values.dtype)
        near = np.nextafter(np.float32(threshold), np.array([-np.inf, np.inf], np.float32))
        for some in (values, near, np.array([threshold], np.float32)):
            np.testing.assert_array_equal(some <= rounded, some.astype(float) <= threshold)


def test_trees_that_learned_nothing_say_the_mean() -> None:
    features, labels = np.zeros((100, 2), np.float32), np.repeat([0.0, 1.0], 50)
    assert heads.boosted(heads.Head.fit(features, labels).trees, features) == pytest.approx(0.5)
