"""What a replay is asked: labels and features of users at a moment, and how a head is fitted on them.

What belongs here: the interface, and the moments it speaks of. What does not: the tasks there are (`texts`, `stated`).
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

from found_platform.scoring.heads import Committee, Head
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population
from found_platform.scoring.replay_of_part import ReplayOfPart
from found_platform.scoring.replayed import Backtest


@dataclass(frozen=True)
class Moment:
    """The users (N,) of a past day that teach, their attributes (N rows) and the same as features (N, F), which of them are
    held out (N,), and the learned vectors of those (H, K).

    Those who are `first` (N,) teach, as far as they are eligible; others take the places of those who are not.
    """

    day: int
    rows: np.ndarray
    attributes: pa.Table
    features: np.ndarray
    held_out: np.ndarray
    learned: np.ndarray
    first: np.ndarray

    def learners(self, eligible: np.ndarray) -> np.ndarray:
        """(N,) bool: of those who are eligible (N,) as many as are first."""
        chosen = eligible & self.first
        free = int(self.first.sum() - chosen.sum())
        chosen[np.flatnonzero(eligible & ~self.first)[:free]] = True
        return chosen


class Task(Protocol):
    """What a replay is asked: labels and features of everybody at a moment.

    Attributes:
        matching: what texts are about it, and what way of doing it counts.
        population: whom it is asked of.
    """

    matching: Matching
    population: Population

    def of(self, replay: ReplayOfPart) -> Self:
        """The same, asked of a part of the users."""
        ...

    def labels_of_all(self, days: tuple[int, int]) -> dict[int, np.ndarray]:
        """By each of two days, (U,) `labels`, of a part of the users at a time."""
        ...

    def labels(self, day: int) -> np.ndarray:
        """(U,) what came of it in the window from a day on, 0 to 1."""
        ...

    def eligible(self, moment: Moment, rows: np.ndarray) -> np.ndarray:
        """(N,) bool: which of the users of a moment it is about, who stand at `rows` (N,)."""
        ...

    def matched(self, newest: np.ndarray, before: np.ndarray) -> tuple[int, int]:
        """How many did it in two windows that do not overlap, by labels (U,). Raises PastTooShort where those are too few."""
        ...

    def features(self, day: int, rows: np.ndarray | None) -> np.ndarray:
        """(N, M) float32 what was known by a day of the users at `rows` (N,), ascending; where these are None, of everybody."""
        ...

    def widths(self, columns: int) -> dict[str, int]:
        """How many of the columns of features belong to each group, in their order."""
        ...

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Head | Committee:
        """A head of what is known, as `Replay` joins it, and of its features."""
        ...

    def happened(self, labels: np.ndarray) -> np.ndarray:
        """(N,) what log-odds are held against, 0 to 1."""
        ...

    def backtest(self, attributes: pa.Table, odds: np.ndarray, labels: np.ndarray) -> Backtest:
        """What was predicted (N,) of the newest window beside what came of it."""
        ...
