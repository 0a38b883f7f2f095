"""The answer of replay: scores and chances of everybody, how well the past was told, and what they rest on.

What belongs here: what is read of an answer. What does not: making one (`replay`).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from found_platform.index.past import Past
from found_platform.metrics import gini
from found_platform.scoring import heads, matches
from found_platform.scoring.heads import Bin, Committee, Head, OperatingPoint
from found_platform.scoring.matching import Matching

ALL = slice(None)


class PastTooShort(Exception):
    """The past does not answer this demand; the message says why, to whoever asked."""


@dataclass(frozen=True)
class Replayed:
    """The answer for everybody.

    Attributes:
        scores: (U,) log-odds.
        probabilities: (U,) the calibrated chance of doing something that matches within `days`.
        days: length of the windows.
        moments: the past moments, newest first.
        matched: users who did it in each of the two newest windows that do not overlap.
        backtest: how well the newest past window is predicted from earlier ones.
        learned: weight of the model's vectors.
        matching: what texts are about the demand, and what way of doing it counts: any, where too few did it as asked.
        basis: what the scores were computed from.
        about: (U,) bool, of whom it is asked; None for everybody.
        expected: (U,) the share of their acts or the amount that users are ranked by; None where it is a chance.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    days: int
    moments: tuple[dt.date, ...]
    matched: tuple[int, int]
    backtest: "Backtest"
    learned: float
    matching: Matching
    basis: "Basis"
    about: np.ndarray | None = None
    expected: np.ndarray | None = None

    def event_values(self, events: Past) -> np.ndarray:
        """(N,) how much of what matches each event is, newer ones weighing more."""
        age = events.day - events.happened
        counted = True if self.about is None else ~events.exposed  # of an outcome, what was done to users is no part
        return self.matching.weights(matches.WIDE)[events.text] * np.exp(-age / matches.DECAYS[-1]) * counted

    def effects(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """By group of features, (N,) what the log-odds of users at `rows` lose when it is set to what is usual."""
        return self.basis.effects(rows)


@dataclass(frozen=True)
class Backtest:
    """A test against the past: the newest past window, as a head that was fitted on earlier windows alone predicts it.

    Attributes:
        attributes: (N rows) activity features and attributes of the users when that window began.
        odds: (N,) calibrated log-odds.
        did: (N,) bool, who did it in that window; by affinity or value, who was among the best.
        expected, observed: (N,) the share or the amount that was predicted, and that came; None where chances are asked.
    """

    attributes: pa.Table
    odds: np.ndarray
    did: np.ndarray
    expected: np.ndarray | None = None
    observed: np.ndarray | None = None

    def curve(self, selected: np.ndarray | slice = ALL) -> tuple[OperatingPoint, ...]:
        """The operating points of the users who are `selected` (N,) bool."""
        return heads.operating_points(self.odds[selected], self.did[selected])

    @property
    def reliability(self) -> tuple[Bin, ...]:
        """Predicted chances against the share of users who did it; or shares and amounts against those that came, by tenths."""
        if self.expected is not None and self.observed is not None:
            return heads.reliability(self.expected, self.observed)
        return heads.reliability(heads.chance(self.odds), self.did)

    @property
    def gini(self) -> float | None:
        """The Gini coefficient of the ranking by value, as a part of that of the best ranking; None where chances are asked."""
        return None if self.observed is None else gini(self.odds, self.observed)


@dataclass(frozen=True)
class Basis:
    """A head, the features (U, F) it scored, the columns of each group of them, and what learned vectors added (U,).

    Where there are more users than are looked at at once, the features are those of some of them, and `of_rows` makes others'.
    """

    head: Head | Committee
    features: np.ndarray
    groups: dict[str, list[int]]
    added: np.ndarray
    of_rows: Callable[[np.ndarray], np.ndarray] | None = None

    @cached_property
    def usual(self) -> tuple[np.ndarray, float]:
        """Medians over all users: of the features (F,), and of what was added."""
        return np.median(self.features, 0), float(np.median(self.added))

    def effects(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See `Replayed.effects`."""
        features = self.features[rows] if self.of_rows is None else self.of_rows(rows)
        usual, usually_added = self.usual
        whole = self.head.odds(features)
        effects = {}
        for name, columns in self.groups.items():
            without = features.copy()
            without[:, columns] = usual[columns]
            effects[name] = whole - self.head.odds(without)
        if self.added.any():
            effects["learned"] = self.added[rows] - usually_added
        return effects
