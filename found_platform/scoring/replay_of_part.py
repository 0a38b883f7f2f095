"""Replay of some of the users, where there are more than are looked at at once: what a task asks of a replay, made of them alone.

What belongs here: the same answers as `replay` gives of everybody, without anything kept. What does not: learning from them.
"""

from typing import TYPE_CHECKING

import numpy as np

from found_platform.outcomes import Act
from found_platform.scoring import acts, affinity, rhythm
from found_platform.scoring.acts import WeightedEvents
from found_platform.scoring.parts import Part

if TYPE_CHECKING:
    from found_platform.scoring.replay import Replay


class ReplayOfPart:
    """See `Replay`. Rows are places in the part; where these are None, all of it."""

    def __init__(self, whole: "Replay", part: Part):
        self.population, self.past = part, part.past
        self.days, self.ended, self.moments, self.backs = whole.days, whole.ended, whole.moments, whole.backs
        self.is_divided = False
        self._first_day = whole.past.first_day

    def rhythm(self, act: Act | None, doing: WeightedEvents, day: int, rows: np.ndarray | None) -> np.ndarray:
        """See `Replay.rhythm`."""
        return rhythm.features(doing if rows is None else doing.of_users(rows), day, self.days, self._first_day, self.backs)

    def bases(self, act: Act, day: int, rows: np.ndarray | None) -> np.ndarray:
        """See `Replay.bases`."""
        kept = acts.resolve(self.population, acts.base_of(act), None).events
        return affinity.bases(kept if rows is None else kept.of_only(rows), day)

    def base_counts(self, act: Act, day: int) -> np.ndarray:
        """See `Replay.base_counts`."""
        kept = acts.resolve(self.population, acts.base_of(act), None).events
        return acts.count_between(kept, day, day + self.days).astype(np.int32)

    def taste(self, day: int, rows: np.ndarray | None, taste: affinity.Taste) -> list[np.ndarray]:
        """See `Replay.taste`."""
        return taste.of_part(self.population, day, rows)
