"""The heads of replay: small models on given features, with labels between 0 and 1; and how well chances came true. Pure."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from found_platform import threads
from found_platform.metrics import wilson

RIDGE, RIDGE_LEARNED = 100.0, 1000.0
TREES = {"max_iter": 50, "learning_rate": 0.12, "max_leaf_nodes": 4, "max_bins": 63, "min_samples_leaf": 50}
TREES |= {"l2_regularization": 20.0}
"""All chosen on a development population of the simulator."""

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
BINS = 10
STEPS = 15


@dataclass(frozen=True)
class Head:
    """Log-odds as the mean of a logistic regression's and of boosted trees': the one extends what it saw, the other bends."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float
    trees: Any

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> Self:
        """From features (N, F) and labels (N,)."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        mean, scale = features.mean(0), np.maximum(features.std(0), 1e-3)
        weights, bias = logistic((features - mean) / scale, labels, RIDGE)
        trees = HistGradientBoostingRegressor(**TREES, max_features=0.3, early_stopping=False, random_state=0)  # pyright: ignore
        return cls(mean, scale, weights, bias, trees.fit(features, labels))

    def odds(self, features: np.ndarray) -> np.ndarray:
        """(N,) log-odds for features (N, F)."""
        weights = (self.weights / self.scale).astype(features.dtype)  # as one product: the features are many
        linear = features @ weights + (self.bias - float(self.mean @ weights))
        chance = np.clip(boosted(self.trees, features), 1e-4, 1 - 1e-4)
        return (linear + np.log(chance / (1 - chance))) / 2


def boosted(trees: Any, features: np.ndarray) -> np.ndarray:
    """(N,) what `trees.predict` says of features (N, F), a column at a time.

    Trees of four leaves ask three columns each, so reading whole columns takes a fraction of the time of scikit-learn's walk from
    node to node, for each user.
    """
    columns = np.asfortranarray(features)
    total = np.full(len(features), float(np.ravel(trees._baseline_prediction)[0]))
    for (tree,) in trees._predictors:
        total += tree.nodes["value"].take(_leaves(tree.nodes, 0, columns))
    return total


def _leaves(nodes: np.ndarray, place: int, columns: np.ndarray) -> np.ndarray | int:
    """(N,) int8 places of the leaves that rows reach from a node on. Arithmetic of bytes chooses among them: `np.where` takes four
    times as long."""
    node = nodes[place]
    if node["is_leaf"]:
        return place
    threshold = _rounded_down(node["num_threshold"], columns.dtype)
    goes_left = (columns[:, node["feature_idx"]] <= threshold).view(np.int8)
    left, right = _leaves(nodes, int(node["left"]), columns), _leaves(nodes, int(node["right"]), columns)
    return right + goes_left * (left - right)


def _rounded_down(threshold: np.float64, kind: np.dtype) -> np.floating:
    """The largest number of a kind that is not above a threshold: exactly what is not above the one is not above the other, and is
    compared without being converted."""
    rounded = kind.type(threshold)
    return np.nextafter(rounded, kind.type(-np.inf)) if float(rounded) > float(threshold) else rounded


@dataclass(frozen=True)
class Committee:
    """The mean log-odds of several heads, each of some of the columns: what one is misled by, the others are not."""

    members: tuple[tuple[np.ndarray, Head], ...]

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, columns: Sequence[np.ndarray]) -> Self:
        """From features (N, F), labels (N,) and the columns that each head reads."""
        return cls(tuple((some, Head.fit(features[:, some], labels)) for some in columns))

    def odds(self, features: np.ndarray) -> np.ndarray:
        """(N,) log-odds for features (N, F)."""
        return np.mean([head.odds(features[:, some]) for some, head in self.members], 0)


@contextmanager
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Threads for work that would otherwise use all cores in turns.

    Libraries use one thread in each: OpenMP's wait for each other after every node of a tree, so that one head with two of them
    takes longer than with one.
    """
    with threads.one_each(), ThreadPoolExecutor(os.cpu_count(), initializer=threads.limit_this_thread) as pool:
        yield pool


@dataclass(frozen=True)
class Residual:
    """What vectors add to log-odds that are there already: a logistic regression with an offset."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray, labels: np.ndarray, offset: np.ndarray) -> Self:
        """From vectors (N, K), labels (N,) and the log-odds (N,) they add to."""
        mean, scale = vectors.mean(0), np.maximum(vectors.std(0), 1e-3)
        weights, _ = logistic((vectors - mean) / scale, labels, RIDGE_LEARNED, offset)
        return cls(mean, scale, weights)

    def odds(self, vectors: np.ndarray) -> np.ndarray:
        """(N,) what is added for vectors (N, K)."""
        return ((vectors - self.mean) / self.scale) @ self.weights


def logistic(features: np.ndarray, labels: np.ndarray, ridge: float, offset: np.ndarray | float = 0.0) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of a ridge-regularised logistic regression of labels (N,) in [0, 1], by Newton's method.

    scikit-learn's takes no labels between the classes and no offset. A step that does not lower the loss is halved.
    """
    rows = np.hstack([features, np.ones((len(features), 1), features.dtype)])
    penalty = np.full(rows.shape[1], ridge)
    penalty[-1] = 1e-6
    start = np.clip(labels.mean(), 1e-4, 1 - 1e-4)
    weights = np.zeros(rows.shape[1])
    weights[-1] = np.log(start / (1 - start)) - np.mean(offset)

    def loss(weights: np.ndarray) -> float:
        odds = rows @ weights + offset
        return float((np.logaddexp(0, odds) - labels * odds).sum() + (penalty * weights**2).sum() / 2)

    current = loss(weights)
    for _ in range(STEPS):
        chances = chance(rows @ weights + offset)
        gradient = rows.T @ (chances - labels) + penalty * weights
        curvature = (rows * (chances * (1 - chances)).astype(rows.dtype)[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        while (lower := loss(weights - step)) > current and np.abs(step).max() > 1e-8:
            step = step / 2
        weights, gain, current = weights - step, current - lower, lower
        if gain < 1e-6 * abs(current):
            break
    return weights[:-1], float(weights[-1])


def chance(odds: np.ndarray) -> np.ndarray:
    """Log-odds as chances."""
    return 1 / (1 + np.exp(-np.clip(odds, -40, 40)))


WEIGHTS = (0.5, 1.0)
"""With which a residual may be added."""


def worth(odds: np.ndarray, added: np.ndarray, did: np.ndarray) -> float:
    """The weight with which what is `added` (N,) to log-odds (N,) lowers the log loss on what happened (N,) the most; 0 unless it
    does so by more than a standard error, for what is chosen among noise is noise."""

    def losses(weight: float) -> np.ndarray:
        return np.logaddexp(0, odds + weight * added) - did * (odds + weight * added)

    best = min(WEIGHTS, key=lambda w: losses(w).mean())
    gain = losses(0.0) - losses(best)
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else 0.0


def scale(odds: np.ndarray, did: np.ndarray) -> tuple[float, float]:
    """Slope and start by which log-odds become those of what happened (N,) bool (Platt)."""
    weights, bias = logistic(odds[:, None], did.astype(float), 1e-3)
    return float(weights[0]), bias


@dataclass(frozen=True)
class OperatingPoint:
    """Of a past window: had the best `share` of users been targeted, `precision` of them would have done it, with its 95 % interval
    from `low` to `high`, and `recall` of all who did would have been among them."""

    share: float
    users: int
    precision: float
    low: float
    high: float
    recall: float


def operating_points(odds: np.ndarray, did: np.ndarray) -> tuple[OperatingPoint, ...]:
    """The operating points of log-odds (N,) on what happened (N,) bool."""
    hits = np.cumsum(did[np.argsort(-odds, kind="stable")])
    users = np.array([max(1, round(share * len(odds))) for share in SHARES])
    reached = hits[users - 1]
    low, high = wilson(reached, users)
    columns = (users, reached / users, low, high, reached / max(1, hits[-1]))
    return tuple(OperatingPoint(share, int(n), *map(float, row)) for share, n, *row in zip(SHARES, *columns, strict=True))


@dataclass(frozen=True)
class Bin:
    """Users whose predicted chance was about `predicted`, and the share of them who did it."""

    predicted: float
    observed: float
    users: int


def reliability(chances: np.ndarray, did: np.ndarray) -> tuple[Bin, ...]:
    """Chances (N,) against what happened (N,) bool, in bins of equally many users, the smallest chances first."""
    parts = np.array_split(np.argsort(chances, kind="stable"), min(BINS, len(chances)))
    return tuple(Bin(float(chances[p].mean()), float(did[p].mean()), len(p)) for p in parts)
