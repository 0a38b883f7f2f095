"""Replay of any outcome: its statements as labels from the log's own past windows, and the rhythm of the same acts as features.

What belongs here: an outcome resolved against a population, and the tasks that replay is asked: by chance, by affinity, by value.
What does not: which events an act counts (`acts`), features (`rhythm`, `affinity`), fitting (`replay`).
"""

import copy
import dataclasses
from functools import cached_property, reduce
from typing import Self

import numpy as np
import pyarrow as pa

from found_platform import threads
from found_platform.errors import BadInput
from found_platform.index.past import date_of
from found_platform.outcomes import Act, Outcome
from found_platform.scoring import acts, affinity, heads, matches, rhythm
from found_platform.scoring.acts import FEW_ACTS, Doing
from found_platform.scoring.heads import Committee, Head
from found_platform.scoring.matching import Matching
from found_platform.scoring.parts import part
from found_platform.scoring.population import Population
from found_platform.scoring.replay import Replay, prepared
from found_platform.scoring.replay_of_part import ReplayOfPart
from found_platform.scoring.replayed import Backtest, PastTooShort, Replayed
from found_platform.scoring.task import Moment
from found_platform.scoring.whom import Whom

FEWEST = 20
"""Users who must have done it, and users who must not have, in each of two windows."""

TAUGHT = 500
"""Users at past moments whom a filter must select: below this, everybody teaches, and what the filter names is one feature more."""

TOP = 0.2
"""The share of users, by affinity or value, whom an audience would be right to hold."""

CAP = 0.995
"""Amounts above this quantile of those who spent anything count as much as it: one wholesaler is not the average."""


def answer(population: Population, outcome: Outcome, horizon_days: int) -> Replayed:
    """Scores everybody for an outcome. Raises PastTooShort where the past cannot answer, BadInput for what is not in the data."""
    check(outcome, population.past.day - population.past.first_day, horizon_days)
    with threads.one_each():
        replay = prepared(population, horizon_days)
        task = TASKS[outcome.rank](replay, outcome, horizon_days)
        replayed = replay.answer(task)
        return dataclasses.replace(replayed, about=task.now(), expected=task.expected(replayed))


def check(outcome: Outcome, span_days: int, horizon_days: int) -> None:
    """Raises BadInput for an outcome that looks further back than the past of `span_days` days reaches, or for more days than the
    horizon has."""
    days = max((statement.days or 0 for statement in outcome.will), default=0)
    if days > horizon_days:
        raise BadInput(
            f"{days} days on which it is done do not fit into {horizon_days} days: ask for fewer, or look further ahead."
        )
    last = outcome.among.last_days
    if last is not None and last > span_days:
        raise BadInput(f"`among` looks {last} days back, and the past is {span_days} days long: ask for fewer.")


def came_true(population: Population, outcome: Outcome, day: int, days: int) -> np.ndarray:
    """(U,) bool: for whom an outcome came true in the `days` from a day on, in a population whose past reaches beyond them."""
    each = []
    for statement in outcome.will:
        doing = acts.resolve(population, statement.do, acts.match(population, statement.do))
        each.append(acts.measured(statement, doing, day, days, outcome.within_days or days) != statement.negated)
    return reduce(np.logical_and if outcome.join == "and" else np.logical_or, each)


class ByChance:
    """The chance that the statements come true.

    Raises BadInput for what is not in the data, PastTooShort where the past cannot answer.
    """

    asked_of = "users it is asked of"

    def __init__(self, replay: Replay, outcome: Outcome, horizon_days: int):
        self._whole, self._outcome, self._horizon = replay, outcome, horizon_days
        self._matchings = [acts.match(replay.population, statement.do) for statement in outcome.will]
        self._whom = Whom(replay.population, outcome, None)
        self.matching = next((texts for texts in self._matchings if texts is not None), nothing(replay.population))
        # whatever they did, and each act that is something else
        self._each = list(dict.fromkeys([Act(), *(statement.do for statement in outcome.will)]))
        self._on(replay)

    def _on(self, replay: Replay | ReplayOfPart) -> None:
        self._replay, self.population = replay, replay.population
        if replay.is_divided:
            return  # only parts are asked what they do
        population, outcome = replay.population, self._outcome
        self._doings = [
            acts.resolve(population, statement.do, texts) for statement, texts in zip(outcome.will, self._matchings, strict=True)
        ]
        self._generous = [None if m is None else replay.past.of_texts(m.weights() > acts.TRACE) for m in self._matchings]
        self._rhythms = [(None if act.about else act, self._doing_of(act)) for act in self._each]
        self._whom = self._whom.of(population, self._doings)

    def _doing_of(self, act: Act) -> Doing:
        for statement, doing in zip(self._outcome.will, self._doings, strict=True):
            if statement.do == act:
                return doing
        return acts.resolve(self.population, act, None)

    def of(self, replay: ReplayOfPart) -> Self:
        """See `Task`."""
        task = copy.copy(self)
        task._on(replay)
        return task

    def labels_of_all(self, days: tuple[int, int]) -> dict[int, np.ndarray]:
        """See `Task`."""
        columns = self._whole.everybody(self, lambda task: np.stack([task.labels(day) for day in days], 1))
        return dict(zip(days, columns.T, strict=True))

    def labels(self, day: int) -> np.ndarray:
        """See `Task`: whether it came true."""
        each = [
            acts.measured(statement, doing, day, self._replay.days, self._horizon) != statement.negated
            for statement, doing in zip(self._outcome.will, self._doings, strict=True)
        ]
        return reduce(np.logical_and if self._outcome.join == "and" else np.logical_or, each).astype(float)

    def eligible(self, moment: Moment, rows: np.ndarray) -> np.ndarray:
        """See `Task`: those of whom it is asked; everybody else too where the filter selects too few to learn from."""
        chosen = self._who(moment.day)[rows]
        return chosen & self._whom.selected(moment.attributes) if self._filter_teaches else chosen

    @cached_property
    def _filter_teaches(self) -> bool:
        """Whether the filter selects enough users at past moments."""
        if not self._whom.has_filter:
            return False
        return sum(int(self._whom.selected(m.attributes).sum()) for m in self._replay.moments) >= TAUGHT

    def _selected_then(self, day: int) -> np.ndarray:
        """(U,) bool: whom the filter selected at a past day, everybody where it does not choose who teaches."""
        if not self._filter_teaches:
            return np.ones(len(self.population.keys), bool)
        state, chosen = self.population.states.past_state(date_of(day)), np.zeros(len(self.population.keys), bool)
        chosen[state.rows[self._whom.selected(state.table)]] = True
        return chosen

    def now(self) -> np.ndarray:
        """(U,) bool: of whom it is asked at the cutoff."""
        return self._whole.everybody(self, lambda task: task._whom.now())

    def _who(self, day: int) -> np.ndarray:
        """(U,) bool: of whom it is asked at a past day, the filter left aside."""
        return self._whom.at(day)

    def matched(self, newest: np.ndarray, before: np.ndarray) -> tuple[int, int]:
        """See `Task`."""
        counts = []
        for labels, day in ((newest, self._replay.moments[0].day), (before, self._replay.ended[0])):
            who = self._whole.everybody(self, lambda task, day=day: task._who(day)) & self._selected_then(day)
            did, others = int((labels[who] > 0).sum()), int((labels[who] <= 0).sum())
            lacks_others = self._outcome.rank == "chance" and others < FEWEST
            if did < FEWEST or lacks_others:
                few, what = (did, "it came true for") if did < FEWEST else (others, "it did not come true for")
                raise PastTooShort(
                    f"in a past window of {self._replay.days} days {what} {few:,} of the {int(who.sum()):,} {self.asked_of}, "
                    f"and {FEWEST} are needed"
                )
            counts.append(did)
        return counts[0], counts[1]

    def features(self, day: int, rows: np.ndarray | None) -> np.ndarray:
        """See `Task`: the rhythm of everything and of each act, and what texts match."""
        replay = self._replay
        columns = [replay.rhythm(act, doing, day, rows) for act, doing in self._rhythms]
        volume = self.population.states.volume(day)
        for texts, generous in zip(self._matchings, self._generous, strict=True):
            if texts is not None and generous is not None:
                columns.append(matches.features(generous, texts, day, volume, rows))
        return np.hstack(columns)

    def widths(self, columns: int) -> dict[str, int]:
        """See `Task`."""
        rhythms = len(self._each) * len(rhythm.names(self._replay.backs))
        return {"rhythm": rhythms, "matches": columns - rhythms}

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Head | Committee:
        """See `Task`."""
        return Head.fit(features, labels)

    def happened(self, labels: np.ndarray) -> np.ndarray:
        """See `Task`: labels as they are, done or not, or a part of what can be."""
        return labels

    def backtest(self, attributes: pa.Table, odds: np.ndarray, labels: np.ndarray) -> Backtest:
        """See `Task`."""
        return Backtest(attributes, odds, labels >= 0.5)

    def expected(self, replayed: Replayed) -> np.ndarray | None:
        """(U,) what users are ranked by, where it is no chance."""
        return None


class ByAffinity(ByChance):
    """The expected share of what users do. Labels are its square root, so that a few who do nothing else do not count for all."""

    asked_of = f"users who did {FEW_ACTS} things or more in it"

    def __init__(self, replay: Replay, outcome: Outcome, horizon_days: int):
        super().__init__(replay, outcome, horizon_days)
        self._parts: list[int] = []  # columns of each kind of feature; one list with the tasks of parts
        self._taste = affinity.taste(replay.population, replay.ended[0])
        self._usual = self._usual_of_all() if replay.is_divided else None

    @property
    def _act(self) -> Act:
        return self._outcome.will[0].do

    def labels(self, day: int) -> np.ndarray:
        """See `Task`."""
        weight = self._doings[0].weight_between(day, day + self._replay.days)
        return np.sqrt(np.minimum(weight / np.maximum(self._acts(day), 1), 1.0))

    def _acts(self, day: int) -> np.ndarray:
        return self._replay.base_counts(self._act, day)

    def _who(self, day: int) -> np.ndarray:
        """See `ByChance`: of a few acts a share says nothing."""
        return super()._who(day) & (self._acts(day) >= FEW_ACTS)

    def features(self, day: int, rows: np.ndarray | None) -> np.ndarray:
        """See `Task`: shares so far, and taste; nothing of how much is done."""
        some = self._doings[0] if rows is None else self._doings[0].of_users(rows)
        shares = affinity.shares(some, day, self._replay.bases(self._act, day, rows), self._usual if rows is None else None)
        parts = [shares, *self._replay.taste(day, rows, self._taste)]
        self._parts[:] = [part.shape[1] for part in parts]
        return np.hstack(parts)

    def _usual_of_all(self) -> np.ndarray:
        """See `affinity.usual_of`: of everybody at the cutoff, where they are asked a part at a time."""
        day = self._whole.past.day

        def of_part(task: ByAffinity) -> np.ndarray:
            return affinity.usual_of(task._doings[0], day, task._replay.bases(task._act, day, None))[None]

        return self._whole.everybody(self, of_part).sum(0)

    def widths(self, columns: int) -> dict[str, int]:
        """See `Task`."""
        return {"matches": self._parts[0], "taste": columns - self._parts[0]}

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Committee:
        """See `Task`: a head of shares alone, and one with each kind of taste."""
        ends = np.cumsum([features.shape[1] - sum(self._parts), *self._parts])
        shares, texts, categories = (np.arange(ends[i], ends[i + 1]) for i in range(3))
        tastes = [part for part in (texts, categories) if len(part)]
        return Committee.fit(features, labels, [shares, *(np.concatenate([shares, part]) for part in tastes)])

    def backtest(self, attributes: pa.Table, odds: np.ndarray, labels: np.ndarray) -> Backtest:
        """See `Task`."""
        shares = labels**2
        self._scale = float(shares.mean() / max((heads.chance(odds) ** 2).mean(), 1e-9))  # a mean of squares is no square of means
        return Backtest(attributes, odds, _best(labels), np.minimum(heads.chance(odds) ** 2 * self._scale, 1.0), shares)

    def expected(self, replayed: Replayed) -> np.ndarray:
        """See `ByChance`: shares."""
        return np.minimum(replayed.probabilities**2 * self._scale, 1.0)


class ByValue(ByChance):
    """The expected amount. Labels are parts of the largest that is not out of the ordinary."""

    def __init__(self, replay: Replay, outcome: Outcome, horizon_days: int):
        super().__init__(replay, outcome, horizon_days)
        spent = replay.everybody(self, lambda task: task._amounts(replay.ended[0]))
        if not (spent > 0).any():
            raise PastTooShort("no event of it has an amount, so there is no value to rank by")
        self._cap = float(np.quantile(spent[spent > 0], CAP))

    def _amounts(self, day: int) -> np.ndarray:
        return self._doings[0].between(day, day + self._replay.days).total()

    def labels(self, day: int) -> np.ndarray:
        """See `Task`."""
        return np.minimum(self._amounts(day) / self._cap, 1.0)

    def backtest(self, attributes: pa.Table, odds: np.ndarray, labels: np.ndarray) -> Backtest:
        """See `Task`."""
        return Backtest(attributes, odds, _best(labels), heads.chance(odds) * self._cap, labels * self._cap)

    def expected(self, replayed: Replayed) -> np.ndarray:
        """See `ByChance`: amounts, in the source's currency."""
        return replayed.probabilities * self._cap


TASKS: dict[str, type[ByChance]] = {"chance": ByChance, "affinity": ByAffinity, "value": ByValue}


def _best(labels: np.ndarray) -> np.ndarray:
    """(N,) bool: the TOP of users, of those who did any of it."""
    return (labels > 0) & (labels >= np.quantile(labels, 1 - TOP)) if len(labels) else labels > 0


def nothing(population: Population) -> Matching:
    """That no text is about it."""
    return Matching(np.zeros(len(population.states.past.texts)))


def rhythm_in_words(population: Population, outcome: Outcome, rows: np.ndarray) -> dict[int, str]:
    """By row, when and how often users did what the first statement asks: what speaks for a user, or is missing."""
    act = outcome.will[0].do
    order = np.argsort(rows)
    some = acts.resolve(part(population, rows[order]), act, acts.match(population, act))
    values = np.empty((len(rows), len(rhythm.names())))
    values[order] = np.expm1(rhythm.features(some, population.past.day, 1, population.past.first_day))
    column = {name: place for place, name in enumerate(rhythm.names())}
    words = {}
    for row, of_user in zip(rows.tolist(), values, strict=True):
        days = round(float(of_user[column[f"days_{rhythm.BACK[-1]}"]]))
        if not days:
            words[row] = "never did it so far"
            continue
        last, gap = (round(float(of_user[column[name]])) for name in ("recency", "mean_gap"))
        usual = f", every {_days(gap)} on average" if days > 1 else ""
        words[row] = f"did it on {_days(days)} so far{usual}, last {_days(last)} ago"
    return words


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"
