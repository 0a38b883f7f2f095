"""Of whom an outcome is asked, at any moment of the past and at the cutoff.

What belongs here: the filter of an outcome, what was done before, and whether it was ever done. What does not: which of those users
may be targeted, which is the look-up's.
"""

import copy
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from found_platform.outcomes import Outcome
from found_platform.scoring import acts, filters
from found_platform.scoring.acts import Doing, Window
from found_platform.scoring.population import Population


class Whom:
    """The users of a population of whom an outcome is asked. `doings` are the acts of its statements; without
    them it is asked of parts of the population alone, see `of`.

    Raises BadInput for a filter that cannot be read, and for what is not in the data.
    """

    def __init__(self, population: Population, outcome: Outcome, doings: Sequence[Doing] | None):
        self._outcome, self._among = outcome, outcome.among
        did, where = outcome.among.did, outcome.among.where
        self._texts = acts.match(population, did) if did is not None else None
        self._on(population, doings)
        self._where = filters.parse(where, population.attributes.schema) if where else None

    def _on(self, population: Population, doings: Sequence[Doing] | None) -> None:
        self._population, did = population, self._among.did
        if doings is None:
            return
        self._histories = [
            (statement.history == "again", doing)
            for statement, doing in zip(self._outcome.will, doings, strict=True)
            if statement.history is not None
        ]
        self._did = acts.resolve(population, did, self._texts) if did is not None else None

    def of(self, part: Population, doings: Sequence[Doing]) -> "Whom":
        """The same of a part of the users, with what they do."""
        other = copy.copy(self)
        other._on(part, doings)
        return other

    @property
    def has_filter(self) -> bool:
        """Whether a filter selects them, too."""
        return self._where is not None

    def at(self, day: int) -> np.ndarray:
        """(U,) bool: of whom it is asked at 00:00 of a day that states were kept of; the filter is left aside."""
        chosen = self._population.states.volume(day) > 0
        if self._did is not None:
            chosen &= self._lately(self._did, day) != self._among.negated
        for again, doing in self._histories:
            chosen &= acts.earlier(doing, day) == again
        return chosen

    def _lately(self, did: Doing, day: int) -> np.ndarray:
        """(U,) bool: who did as much of it as is asked, as far as was known by a day."""
        rows = (did.events.known < day) & (did.events.happened >= day - (self._among.last_days or 0)) & did.sure
        return acts.measured_in(self._among, Window(did, np.flatnonzero(rows)))

    def selected(self, attributes: pa.Table) -> np.ndarray:
        """(N,) bool: whom the filter selects, by their attributes (N rows)."""
        if self._where is None:
            return np.ones(attributes.num_rows, bool)
        return filters.selected(self._where, attributes, self._population.settings.duckdb_memory)

    def now(self) -> np.ndarray:
        """(U,) bool: of whom it is asked at the cutoff."""
        return self.at(self._population.past.day) & self.selected(self._population.attributes)
