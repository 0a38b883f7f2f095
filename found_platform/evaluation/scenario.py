"""One targeting task of the benchmark: a demand and its labels. What does not belong here: where labels come from."""

from dataclasses import dataclass

import numpy as np

from found_platform.outcomes import Outcome

MIN_CLASS = 5
"""Positives, and negatives, that a scenario must have: with fewer, a fifth of the users teaches nothing."""


@dataclass(frozen=True)
class Scenario:
    """One targeting task: who will do what, in a sentence; labels (N,) 0/1 of `user_keys` over the horizon after the cutoff."""

    name: str
    demand: str
    user_keys: list[str]
    labels: np.ndarray
    paraphrases: list[str]  # the same demand in other words
    horizon_days: int = 28  # how far the labels look ahead
    oracle: np.ndarray | None = None  # (N,) true probabilities, where the source is simulated
    hard: np.ndarray | None = None  # (N,) bool: behave like positives and will not do it, where the source is simulated
    outcome: Outcome | None = None  # what is asked, as a person stated it
    rank: str | None = None  # by chance, affinity or value; None takes what the demand says
