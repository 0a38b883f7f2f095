"""Where a method draws the line between users who are called and who are not. No label that it is judged by enters.

A sample of as many negatives as positives asks: is this user more likely one of them than the average user is? So the line of a
method with chances is the average chance that it expects, that of a probe the share of positives among the users it was fitted on,
that of a head of few users the middle between the two kinds it was shown, and that of any other score what the average user has.
"""

import numpy as np

SMALLEST = 1e-6
"""Chances nearer than this to 0 or 1 are as good as certain."""


def average(scores: np.ndarray) -> float:
    """Of scores (N,) on a scale of their own: what the average user has."""
    return float(np.mean(scores)) if len(scores) else 0.0


def average_chance(log_odds: np.ndarray) -> float:
    """Of log-odds (N,): those of the mean chance, which is the share of users that the method expects."""
    return _log_odds(average(chances(log_odds)))


def fitted(labels: np.ndarray) -> float:
    """Of a classifier's log-odds: those of the share of positives among its fitted users, labels (N,) 0/1."""
    return _log_odds(float(np.mean(labels)))


def between(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Of scores of seed users (P,) and (N,): the middle between the means of the two kinds."""
    return float(np.mean(positives) + np.mean(negatives)) / 2


def chances(log_odds: np.ndarray) -> np.ndarray:
    """Log-odds as chances."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -40, 40)))


def _log_odds(chance: float) -> float:
    kept = min(max(chance, SMALLEST), 1 - SMALLEST)
    return float(np.log(kept / (1 - kept)))
