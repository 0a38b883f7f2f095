"""Replay of any outcome: its statements as labels from the log's own past windows, and the rhythm of the same acts as features.

What belongs here: an outcome resolved against a population, and the task that replay is asked. What does not: which events an act
counts (`acts`), features of one act (`rhythm`), fitting (`replay`).
"""

import dataclasses
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa

from found_platform import lake
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.outcomes import Act, Outcome
from found_platform.scoring import acts, filters, matching, rhythm, threads
from found_platform.scoring.acts import FEW_ACTS, Doing
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population
from found_platform.scoring.replay import Moment, PastTooShort, Replay, Replayed, matches, prepared

FEWEST = 20
"""Users who must have done it, and users who must not have, in each of two windows."""

TOP = 0.2
"""The share of users by affinity or value whom an audience would be right to hold."""

CAP = 0.995
"""Amounts above this quantile of those who spent anything count as much as it: one wholesaler is not the average."""


class Stated:
    """An outcome as a task of replay.

    Raises BadInput for what is not in the data, PastTooShort where the past cannot answer.
    """

    def __init__(self, replay: Replay, outcome: Outcome, horizon_days: int, wordings: Sequence[Sequence[str]] = ()):
        """`wordings` are further ways to say what the first statement is about, each a sentence or several items."""
        self._replay, self._outcome, self._horizon = replay, outcome, horizon_days
        self._population = population = replay.population
        self._matchings = [
            match(population, statement.do, wordings if place == 0 else ()) for place, statement in enumerate(outcome.will)
        ]
        self._doings = [
            acts.resolve(population, statement.do, texts) for statement, texts in zip(outcome.will, self._matchings, strict=True)
        ]
        did = outcome.among.did
        self._among = acts.resolve(population, did, match(population, did)) if did is not None else None
        self._where = filters.parse(outcome.among.where, population.attributes.schema) if outcome.among.where else None
        self.matching = next((texts for texts in self._matchings if texts is not None), nothing(population))
        self._cap = self._largest_amount() if outcome.rank == "value" else 1.0

    @property
    def unit(self) -> float | None:
        """What an expectation of 1 stands for: an amount, or a whole; None where it is a chance."""
        return None if self._outcome.rank == "chance" else self._cap

    def labels(self, day: int) -> np.ndarray:
        """See `Task`: whether it came true; the share of the acts; or the amount, as a part of the largest."""
        days = self._replay.days
        if self._outcome.rank == "affinity":
            return np.minimum(self._doings[0].share(day, day + days)[0], 1.0)
        if self._outcome.rank == "value":
            return np.minimum(self._doings[0].between(day, day + days).total() / self._cap, 1.0)
        each = [
            acts.measured(statement, doing, day, days, self._horizon) != statement.negated
            for statement, doing in zip(self._outcome.will, self._doings, strict=True)
        ]
        join = np.logical_and if self._outcome.join == "and" else np.logical_or
        return reduce(join, each).astype(float)

    def eligible(self, moment: Moment) -> np.ndarray:
        """See `Task`."""
        chosen = self._who(moment.day)[moment.rows]
        if self._where is not None:
            chosen &= selected(self._population, moment.attributes, self._where)
        if self._outcome.rank == "affinity":  # of a few acts a share says nothing
            chosen &= self._doings[0].share(moment.day, moment.day + self._replay.days)[1][moment.rows] >= FEW_ACTS
        return chosen

    def now(self) -> np.ndarray:
        """(U,) bool: whom it is about at the cutoff."""
        chosen = self._who(self._replay.past.day)
        if self._where is not None:
            chosen &= selected(self._population, self._population.attributes, self._where)
        return chosen

    def _who(self, day: int) -> np.ndarray:
        """(U,) bool: of whom it is asked at a day, the filter left aside."""
        chosen = self._population.states.volume(day) > 0
        if self._among is not None:
            last = self._outcome.among.last_days or 0
            events = self._among.certain.events
            recent = (events.known < day) & (events.happened >= day - last)
            chosen &= (np.bincount(events.user[recent], minlength=events.users) > 0) != self._outcome.among.negated
        for statement, doing in zip(self._outcome.will, self._doings, strict=True):
            if statement.history is not None:
                chosen &= acts.earlier(doing, day) == (statement.history == "again")
        return chosen

    def matched(self, newest: np.ndarray, before: np.ndarray) -> tuple[int, int]:
        """See `Task`."""
        counts = []
        for labels, day in ((before, self._replay.ended[0]), (newest, self._replay.moments[0].day)):
            who = self._who(day)
            did, others = int((labels[who] > 0).sum()), int((labels[who] <= 0).sum())
            if did < FEWEST or (others < FEWEST and self._outcome.rank == "chance"):
                few, what = (did, "it came true for") if did < FEWEST else (others, "it did not come true for")
                raise PastTooShort(
                    f"in a past window of {self._replay.days} days {what} {few:,} of the {int(who.sum()):,} users it is asked of, "
                    f"and {FEWEST} are needed"
                )
            counts.append(did)
        return counts[1], counts[0]

    def happened(self, labels: np.ndarray) -> np.ndarray:
        """See `Task`: labels as they are, a chance or an expectation."""
        return labels

    def did(self, labels: np.ndarray) -> np.ndarray:
        """See `Task`: who did it, or the TOP of users by share or amount."""
        if self._outcome.rank == "chance" or not len(labels):
            return labels >= 0.5
        return (labels > 0) & (labels >= np.quantile(labels, 1 - TOP))

    def features(self, day: int, chosen: np.ndarray | None) -> np.ndarray:
        """See `Task`: the rhythm of everything and of each act, and what texts match."""
        replay, columns = self._replay, []
        for doing in [everything(self._population), *self._doings]:
            some = doing if chosen is None else doing.of_users(chosen)
            columns.append(rhythm.features(some, day, replay.days, replay.past.first_day))
        volume = self._population.states.volume(day)
        for texts in self._matchings:
            if texts is not None:
                generous = replay.past.of_texts(texts.weights() > acts.TRACE)
                some = generous if chosen is None else generous.at(chosen[generous.user])
                columns.append(matches(some, texts, day, volume))
        return np.hstack(columns)

    def widths(self, columns: int) -> dict[str, int]:
        """See `Task`."""
        rhythms = (1 + len(self._doings)) * len(rhythm.FEATURES)
        return {"rhythm": rhythms, "matches": columns - rhythms}

    def _largest_amount(self) -> float:
        day = self._replay.ended[0]
        amounts = self._doings[0].between(day, day + self._replay.days).total()
        spent = amounts[amounts > 0]
        if not len(spent):
            raise PastTooShort("no event of it has an amount, so there is no value to rank by")
        return float(np.quantile(spent, CAP))


def answer(population: Population, outcome: Outcome, horizon_days: int) -> Replayed:
    """Scores everybody for an outcome. Raises PastTooShort where the past cannot answer, BadInput for what is not in the data."""
    check(outcome, population.past.day - population.past.first_day)
    with threads.one_each():
        replay = prepared(population, horizon_days)
        task = Stated(replay, outcome, horizon_days)
        return replay_of(replay, task)


def replay_of(replay: Replay, task: Stated) -> Replayed:
    """The answer, with whom it is about now, and what an expectation stands for."""
    return dataclasses.replace(replay.answer(task), about=task.now(), unit=task.unit)


def rhythm_in_words(population: Population, outcome: Outcome, rows: np.ndarray) -> dict[int, str]:
    """By row, when and how often users did what the first statement asks: what speaks for a user, or is missing."""
    act = outcome.will[0].do
    doing = acts.resolve(population, act, match(population, act))
    chosen = np.zeros(doing.events.users, bool)
    chosen[rows] = True
    values = np.expm1(rhythm.features(doing.of_users(chosen), population.past.day, 1, population.past.first_day)[rows])
    column = {name: place for place, name in enumerate(rhythm.FEATURES)}
    words = {}
    for row, of_user in zip(rows.tolist(), values, strict=True):
        days = round(float(of_user[column[f"days_{rhythm.BACK[-1]}"]]))
        if not days:
            words[row] = "never did it so far"
            continue
        last, gap = (round(float(of_user[column[name]])) for name in ("recency", "mean_gap"))
        usual = f", every {gap:,} days on average" if days > 1 else ""
        words[row] = f"did it on {days:,} days so far{usual}, last {last:,} days ago"
    return words


def everything(population: Population) -> Doing:
    """All acts of everybody's own."""
    return acts.resolve(population, Act(), None)


def match(population: Population, act: Act, wordings: Sequence[Sequence[str]] = ()) -> Matching | None:
    """What texts an act is about; None where it is about anything."""
    if not act.about and not wordings:
        return None
    ways = [*wordings, *([act.about] if act.about else [])]
    return matching.match(population, ways, act.not_about, act.channels or CHANNELS, act.min_amount)


def nothing(population: Population) -> Matching:
    """That no text is about it."""
    return Matching(np.zeros(len(population.states.past.texts)))


def selected(population: Population, table: pa.Table, where: filters.Filter) -> np.ndarray:
    """(N,) bool: which rows of a table of filter columns a filter selects."""
    con = lake.connect(population.settings.duckdb_memory)
    clause, parameters = filters.to_duckdb(where)
    con.register("known", table.append_column("_row", pa.array(np.arange(table.num_rows))))
    rows = con.execute(f"SELECT _row FROM known WHERE {clause}", parameters).to_arrow_table()["_row"].to_numpy()
    chosen = np.zeros(table.num_rows, bool)
    chosen[rows] = True
    return chosen


def check(outcome: Outcome, span_days: int) -> None:
    """Raises BadInput for an outcome that looks further back or ahead than the past of `span_days` days reaches."""
    last = outcome.among.last_days
    if last is not None and last > span_days:
        raise BadInput(f"`among` looks {last} days back, and the past is {span_days} days long: ask for fewer.")
