"""Doing something that texts match, at all: the task that most demands are, and its features.

What belongs here: matches of a window as labels, and matches so far as features. What does not: which texts match (`matching`),
acts that are counted or denied (`stated`), fitting (`replay`).
"""

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from found_platform import threads
from found_platform.scoring import matches
from found_platform.scoring.acts import TRACE
from found_platform.scoring.heads import Committee, Head
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population
from found_platform.scoring.replay import Replay, prepared
from found_platform.scoring.replay_of_part import ReplayOfPart
from found_platform.scoring.replayed import Backtest, PastTooShort, Replayed
from found_platform.scoring.task import Moment

MIN_MATCHED = 50
"""Users who must have done it, in each of two windows."""

ELSEWHERE = 0.25
"""What a match counts that was not done in the way asked for: looking is no buying, and says something."""


def answer(population: Population, matching: Matching, horizon_days: int) -> Replayed:
    """Scores everybody for what a demand matches. Raises PastTooShort where the past holds too little of it."""
    with threads.one_each():  # so few rows are soon fitted, and threads that wait for a busy neighbour take twice as long
        replay = prepared(population, horizon_days)
        return replay.answer(Texts(replay, matching))


class Texts:
    """Doing something that texts match, at all."""

    def __init__(self, replay: Replay, matching: Matching):
        self._whole, self._asked = replay, matching
        self._on(replay)
        self._labels: dict[int, np.ndarray] = {}
        self.matching = self._way()

    def __getstate__(self) -> dict[str, Any]:
        """As parts of the users are asked elsewhere: without the labels of everybody."""
        return {**vars(self), "_labels": {}}

    def _on(self, replay: Replay | ReplayOfPart) -> None:
        self._replay, self.population = replay, replay.population
        if not replay.is_divided:
            self._generous = replay.past.of_texts(self._asked.weights(matches.WIDE) > TRACE)
            self._own = self._generous.at(~self._generous.exposed)

    def of(self, replay: ReplayOfPart) -> Self:
        """See `Task`."""
        task = copy.copy(self)
        task._labels = {}
        task._on(replay)
        return task

    def _way(self) -> Matching:
        """The way of doing it that counts: as asked, or any where too few did it so. Raises PastTooShort."""
        newest, before = self._replay.moments[0].day, self._replay.ended[0]
        ways = [self._asked]
        if not self._asked.channels.all():
            ways.append(replace(self._asked, channels=np.ones_like(self._asked.channels)))
        if self._asked.min_amount:
            ways.append(replace(ways[-1], min_amount=0.0))
        for way in ways:
            self._labels = self._labels_of_everybody(way, (newest, before))
            counts = [int((self._labels[day] >= 0.5).sum()) for day in (newest, before)]
            if min(counts) >= MIN_MATCHED:
                return way
        raise PastTooShort(
            f"{counts[1]} and {counts[0]} users did it in two past windows of {self._replay.days} days, and {MIN_MATCHED} are "
            "needed in each"
        )

    def _labels_of_everybody(self, way: Matching, days: tuple[int, int]) -> dict[int, np.ndarray]:
        columns = self._whole.everybody(self, lambda task: np.stack([task._labels_of(way, day) for day in days], 1))
        return dict(zip(days, columns.T, strict=True))

    def _labels_of(self, matching: Matching, day: int) -> np.ndarray:
        """(U,) how well the best match in each user's window fits, 0 to 1; done in another way it counts less."""
        own = self._own
        window = own.at((own.happened >= day) & (own.happened < day + self._replay.days))
        return window.max_by_user(matching.weights()[window.text] * np.where(matching.as_asked(window), 1.0, ELSEWHERE))

    def labels(self, day: int) -> np.ndarray:
        """See `Task`."""
        return self._labels[day] if day in self._labels else self._labels_of(self.matching, day)

    def labels_of_all(self, days: tuple[int, int]) -> dict[int, np.ndarray]:
        """See `Task`: the windows that tell which way counts are labelled already."""
        return {day: self._labels[day] for day in days}

    def eligible(self, moment: Moment, rows: np.ndarray) -> np.ndarray:
        """See `Task`: everybody."""
        return np.ones(len(rows), bool)

    def matched(self, newest: np.ndarray, before: np.ndarray) -> tuple[int, int]:
        """See `Task`."""
        return int((newest >= 0.5).sum()), int((before >= 0.5).sum())

    def widths(self, columns: int) -> dict[str, int]:
        """See `Task`."""
        return {"matches": columns}

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Head | Committee:
        """See `Task`."""
        return Head.fit(features, labels)

    def happened(self, labels: np.ndarray) -> np.ndarray:
        """See `Task`: done or not."""
        return labels >= 0.5

    def backtest(self, attributes: pa.Table, odds: np.ndarray, labels: np.ndarray) -> Backtest:
        """See `Task`."""
        return Backtest(attributes, odds, labels >= 0.5)

    def features(self, day: int, rows: np.ndarray | None) -> np.ndarray:
        """See `Task`."""
        return matches.features(self._generous, self._asked, day, self._replay.population.states.volume(day), rows)
