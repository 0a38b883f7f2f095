"""A population a part at a time.

What belongs here: users of a population as a population of their own. What does not: what is asked of them (`everybody`).
Events lie in the order of users, so a part of neighbours reads its own stretch of the files that are mapped, and copies nothing.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from found_platform.index.past import Past, Values
from found_platform.index.states import PastState, States
from found_platform.privacy.user_keys import UserKeys
from found_platform.rewriting.ground import Ground
from found_platform.scoring.population import Population

WHOLE = 131_072
"""Users who are looked at all at once; what does not depend on a demand is kept of them. More are looked at a part at a time, and
memory keeps nothing of them."""

PART = 32_768
"""Users of a part."""

Rows = slice | np.ndarray


@dataclass(frozen=True, eq=False)
class Part(Population):
    """The users at some `rows` of a population, ascending, as users 0, 1, … of their own."""

    rows: Rows


def is_divided(population: Population) -> bool:
    """Whether there are more users than are looked at at once."""
    return len(population.keys) > WHOLE


def part(population: Population, rows: Rows) -> Part:
    """The users at some rows, ascending."""
    return Part(
        population.settings,
        population.model,
        population.version,
        population.cutoff,
        UserKeys(population.keys.array[rows]),
        population.vectors[rows],
        population.events[rows],
        PartStates(population.states, rows),
        rows,
    )


def bounds(population: Population, users: int) -> Iterator[tuple[int, int]]:
    """The first row of each part of so many users, and the one after its last."""
    for start in range(0, len(population.keys), users):
        yield start, min(start + users, len(population.keys))


def parts(population: Population) -> Iterator[Population]:
    """The population itself, or its parts one after another."""
    if not is_divided(population):
        yield population
        return
    for start, stop in bounds(population, PART):
        yield part(population, slice(start, stop))


def some(population: Population) -> Population:
    """The population itself, or as many of its users as are looked at at once."""
    return part(population, evenly(population)) if is_divided(population) else population


def evenly(population: Population) -> np.ndarray:
    """Rows of as many users as are looked at at once, evenly from everybody, ascending."""
    return np.arange(WHOLE) * len(population.keys) // WHOLE


class PartStates(States):
    """What is known of some users; what is known of texts is that of all. See `States`."""

    def __init__(self, whole: States, rows: Rows):
        self._whole, self._rows = whole, rows
        self._places = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows

    def _of(self, events: Past) -> Past:
        return events.between(self._rows.start, self._rows.stop) if isinstance(self._rows, slice) else events.of_only(self._rows)

    @cached_property
    def past(self) -> Past:
        """See `States`."""
        return self._of(self._whole.past)

    @cached_property
    def returned(self) -> Past:
        """See `States`."""
        return self._of(self._whole.returned)

    @cached_property
    def attributes(self) -> pa.Table:
        """See `States`."""
        table = self._whole.attributes
        if isinstance(self._rows, slice):
            return table.slice(self._rows.start, self._rows.stop - self._rows.start)
        return table.take(pa.array(self._rows))

    def volume(self, day: int) -> np.ndarray:
        """See `States`."""
        return self._whole.volume(day)[self._rows]

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        state = self._whole.past_state(moment)
        own, held = np.isin(state.rows, self._places), np.isin(state.held_out, self._places)
        rows, held_out = (np.searchsorted(self._places, some) for some in (state.rows[own], state.held_out[held]))
        return PastState(rows, state.table.filter(pa.array(own)), held_out, state.learned[held])

    @property
    def delta_versions(self) -> dict[str, int]:
        """See `States`."""
        return self._whole.delta_versions

    @property
    def values(self) -> Values:
        """See `States`."""
        return self._whole.values

    @property
    def words(self) -> list[str]:
        """See `States`."""
        return self._whole.words

    @property
    def learned_texts(self) -> np.ndarray:
        """See `States`."""
        return self._whole.learned_texts

    @property
    def frozen_texts(self) -> np.ndarray:
        """See `States`."""
        return self._whole.frozen_texts

    @property
    def ground(self) -> Ground:
        """See `States`."""
        return self._whole.ground

    @property
    def moments(self) -> list[dt.date]:
        """See `States`."""
        return self._whole.moments
