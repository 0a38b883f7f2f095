"""Replay: the past answers the demand, without a label.

For several past moments, what users did in the window after each is matched with the demand: labels that nobody had to give. A head
fitted from what was known of the users at those moments then scores everybody's state at the cutoff.

What carries no trace of the future teaches by all users: activity, attributes, and what a user did that matches the demand. The
vectors that the model learned do carry one at past moments, for its encoder was trained on those windows: they are a residual,
fitted and weighed on the users of the held-out fold alone.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from found_platform import mapped, spill
from found_platform.cache import single_flight
from found_platform.contract import ACTIVITY_FEATURES
from found_platform.index.past import Past, date_of, day_of
from found_platform.index.states import learned_width
from found_platform.outcomes import Act
from found_platform.scoring import acts, affinity, everybody, heads, parts, rhythm
from found_platform.scoring.acts import WeightedEvents
from found_platform.scoring.heads import Committee, Head, Residual
from found_platform.scoring.parts import Part
from found_platform.scoring.population import Population
from found_platform.scoring.replay_of_part import ReplayOfPart
from found_platform.scoring.replayed import Basis, PastTooShort, Replayed
from found_platform.scoring.task import Moment, Task

T = TypeVar("T", bound=Task)

SHORTEST = 7
"""Days of the shortest window that is asked for a future."""

FIT_ROWS = 10_000
"""Users at past moments that a head is fitted on, at most: more cost time and add little."""

PLENTY = 4000
"""Lessons of which half are enough to tell how far log-odds are too sure, which is two numbers."""

FEWEST_LESSONS = 20
"""Users of the newest window, and of all earlier ones, for a head to be fitted and tested."""

OTHERS = 4096
"""Users of a past moment beside those: where something is asked of few, they teach in the place of those it is not asked of."""

VALUES = 20
"""Most frequent values of an attribute that are told apart."""


@dataclass(frozen=True)
class Lessons:
    """A moment's users (N,), their features (N, F'), and how well the best match in each one's window fits (N,), 0 to 1."""

    rows: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    learned: np.ndarray


@single_flight(4)
def prepared(population: Population, horizon_days: int) -> "Replay":
    """A replay, kept for the demands that follow. Raises PastTooShort."""
    return Replay(population, horizon_days)


ACTS = 6
"""Acts that are about no texts whose rhythms a replay keeps, since most demands ask for the same few: each takes some 150 bytes of
everybody."""

BASES = 2
"""Sets of channels of which shares are counted and kept: each takes some 80 bytes of everybody."""


def window_days(past: Past, horizon_days: int) -> int:
    """Length of the windows: the horizon, shortened until the past holds two to learn from, one to test the answer on, and as much
    history before them."""
    return min(horizon_days, (past.day - past.first_day) // 4)


class Replay:
    """What of replay does not depend on the demand: the states of users at past moments. Raises PastTooShort."""

    def __init__(self, population: Population, horizon_days: int):
        self.population = population
        self.days = window_days(self.past, horizon_days)
        span = self.past.day - self.past.first_day
        if self.days < SHORTEST:
            raise PastTooShort(f"the past is {span} days long, too short to learn from")
        grid = list(map(day_of, population.states.moments))
        days = [d for d in grid if d + self.days <= self.past.day and d - self.days >= self.past.first_day]
        self.ended = [d for d in days if d + self.days <= days[0]]  # windows that end before the newest begins
        if not self.ended:
            raise PastTooShort(f"the past of {span} days holds no two windows of {self.days} days")
        self.backs = rhythm.backs(span)
        self.is_divided = parts.is_divided(population)
        rng = np.random.default_rng(0)
        self.moments = [self._moment(d, FIT_ROWS // len(days), rng) for d in days]
        self._keep(len(days))

    def __getstate__(self) -> dict[str, Any]:
        """What parts of the users are asked with elsewhere: nothing of everybody, nor of those who teach."""
        names = ("population", "days", "ended", "backs", "is_divided", "_width", "_values")
        return {**{name: getattr(self, name) for name in names}, "moments": [], "_kept_features": None}

    @property
    def past(self) -> Past:
        """What everybody did before the cutoff."""
        return self.population.past

    def _keep(self, moments: int) -> None:
        # kept here and nowhere else: what is kept of a population goes with it
        self._kept_features: Callable[[], np.ndarray] | None = single_flight(1)(self._current_features)
        self._kept_rhythm = single_flight(ACTS * (moments + 1))(self._rhythm_of_act)
        self._kept_bases = single_flight(BASES * (moments + 1))(self._bases_of_act)
        self._kept_counts = single_flight(BASES * moments)(self._counts_of_act)

    def _moment(self, day: int, limit: int, rng: np.random.Generator) -> Moment:
        state = self.population.states.past_state(date_of(day))
        kept = first = np.arange(len(state.rows))
        if len(kept) > limit:
            first = rng.choice(kept, limit, replace=False)
            others = np.setdiff1d(kept, first)
            if len(others) > OTHERS:
                others = np.random.default_rng(day).choice(others, OTHERS, replace=False)
            kept = np.sort(np.concatenate([first, others]))
        rows, attributes = state.rows[kept], state.table.take(pa.array(kept))
        held = np.isin(rows, state.held_out)
        learned = state.learned[np.searchsorted(state.held_out, rows[held]), : self._width]
        return Moment(day, rows, attributes, self._describe(attributes), held, learned, np.isin(kept, first))

    @cached_property
    def _width(self) -> int:
        """Places of a vector that are learned."""
        return learned_width(self.population.model)

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        """Attributes, and the most frequent values of those that are texts."""
        table = self.population.attributes
        activity = {f.name for f in ACTIVITY_FEATURES}
        by_attribute: dict[str, list[str]] = {}
        for field in table.schema:
            if field.name not in activity:
                counts = table[field.name].drop_null().value_counts().to_pylist() if pa.types.is_string(field.type) else []
                by_attribute[field.name] = [c["values"] for c in sorted(counts, key=lambda c: (-c["counts"], c["values"]))[:VALUES]]
        return by_attribute

    def _describe(self, table: pa.Table) -> np.ndarray:
        """(N, F) float32 activity on a log scale; attributes on one too, or whether each value of a text is there."""
        silent = self.population.settings.lookback_days
        columns = [_logged(table[f.name], silent) for f in ACTIVITY_FEATURES]
        for name, values in self._values.items():
            if pa.types.is_string(table.schema.field(name).type):
                columns += [pc.equal(table[name], value).fill_null(False).to_numpy() for value in values]
            else:
                columns.append(_logged(table[name], 0))
        return np.stack(columns, 1).astype(np.float32)

    def _groups(self, widths: dict[str, int]) -> dict[str, list[int]]:
        """The columns of activity, of each attribute, and of what a task adds."""
        groups = {"activity": list(range(len(ACTIVITY_FEATURES)))}
        place = len(ACTIVITY_FEATURES)
        for name, values in self._values.items():
            count = len(values) if pa.types.is_string(self.population.attributes.schema.field(name).type) else 1
            groups[name] = list(range(place, place + count))
            place += count
        for name, count in widths.items():
            groups[name] = list(range(place, place + count))
            place += count
        return groups

    def _current_features(self) -> np.ndarray:
        """(U, F) `_describe` of everybody at the cutoff; in a file that is mapped, where there are more users than are looked at at
        once."""
        if not self.is_divided:
            return self._describe(self.population.attributes)
        with spill.scratch(self.population.settings.home / "tmp") as folder:
            with mapped.ArrayFile(folder / "features.npy", np.float32, (self._own_columns,)) as file:
                for part in parts.parts(self.population):
                    file.append(self._describe(part.attributes))
            return mapped.load(folder / "features.npy")

    @property
    def _own_columns(self) -> int:
        """Columns of features that no task adds."""
        return self.moments[0].features.shape[1]

    def rhythm(self, act: Act | None, doing: WeightedEvents, day: int, rows: np.ndarray | None) -> np.ndarray:
        """How often and how much the users at `rows` (N,) of a moment did an act, by its day: (N, R), or (U, R) of everybody at the
        cutoff.

        That of an act that is about no texts is kept for the demands that follow; None is one that is about some.
        """
        if act is None:
            return self.rhythm_of(doing if rows is None else doing.of_users(rows), day)
        return self._of_rows(self._kept_rhythm(act, day), day, rows)

    def bases(self, act: Act, day: int, rows: np.ndarray | None) -> np.ndarray:
        """What an act is a share of, counted by a day, see `affinity.bases`: of the users at `rows` (N,) of a moment, or of all
        at the cutoff."""
        return self._of_rows(self._kept_bases(acts.base_of(act), day), day, rows)

    def base_counts(self, act: Act, day: int) -> np.ndarray:
        """(U,) of how many acts an act is a share in the window from a day on."""
        return self._kept_counts(acts.base_of(act), day)

    def _of_rows(self, kept: np.ndarray, day: int, rows: np.ndarray | None) -> np.ndarray:
        return kept if rows is None else kept[np.searchsorted(self._moment_of(day).rows, rows)]

    def _moment_of(self, day: int) -> Moment:
        return next(m for m in self.moments if m.day == day)

    def _of_whom(self, doing: WeightedEvents, day: int) -> WeightedEvents:
        """What the users of a moment do, or everybody at the cutoff."""
        return doing if day == self.past.day else doing.of_users(self._moment_of(day).rows)

    def _rhythm_of_act(self, act: Act, day: int) -> np.ndarray:
        """(N, R) the rhythm of an act that is about no texts by a moment, of its users; or (U, R) at the cutoff, of everybody."""
        return self.rhythm_of(self._of_whom(acts.resolve(self.population, act, None), day), day)

    def _bases_of_act(self, base: Act, day: int) -> np.ndarray:
        return affinity.bases(self._of_whom(acts.resolve(self.population, base, None), day).events, day)

    def _counts_of_act(self, base: Act, day: int) -> np.ndarray:
        events = acts.resolve(self.population, base, None).events
        return acts.count_between(events, day, day + self.days).astype(np.int32)

    def taste(self, day: int, rows: np.ndarray | None, taste: affinity.Taste) -> list[np.ndarray]:
        """What `taste` tells by a day: of the users at `rows` (N,) of a moment, or of all at the cutoff."""
        return taste.features(day, rows)

    def rhythm_of(self, doing: WeightedEvents, day: int) -> np.ndarray:
        """(U, R) the rhythm of a doing by a day."""
        return rhythm.features(doing, day, self.days, self.past.first_day, self.backs)

    def head_features(self, task: Task) -> np.ndarray:
        """(U, F) what a head sees of everybody at the cutoff, or of a part of the users, of whom a task is."""
        return self.everybody(task, self._head_features)

    def _head_features(self, task: Task) -> np.ndarray:
        users = task.population
        if self._kept_features is None:
            own = self._describe(users.attributes)
        else:
            own = self._kept_features()[users.rows if isinstance(users, Part) else slice(None)]
        return np.hstack([own, task.features(self.past.day, None)])

    def everybody(self, task: T, made_of: Callable[[T], np.ndarray]) -> np.ndarray:
        """(U, ...) what is made of each user that a task is of: of a part at a time where these are too many at once."""
        if not parts.is_divided(task.population):
            return made_of(task)
        return everybody.joined(task.population, lambda part: made_of(self._of_part(task, part)))

    def _of_part(self, task: T, part: Population) -> T:
        assert isinstance(part, Part)
        return task.of(ReplayOfPart(self, part))

    def _of_moment(self, task: Task, moment: Moment) -> tuple[Task, np.ndarray]:
        """The task that is asked of a moment's users, and the rows (N,) by which it knows them."""
        if not self.is_divided:
            return task, moment.rows
        return self._of_part(task, parts.part(self.population, moment.rows)), np.arange(len(moment.rows))

    def answer(self, task: Task) -> Replayed:
        """Everybody's scores. Raises PastTooShort where too few users did it, or too few did not."""
        newest, before = self.moments[0].day, self.ended[0]
        labels = task.labels_of_all((newest, before))  # others are made when they are read
        matched = task.matched(labels[newest], labels[before])
        learners_of, lessons = {}, []
        for m in self.moments:
            of_moment, known_by = self._of_moment(task, m)
            learners_of[m.day] = learners = m.learners(of_moment.eligible(m, known_by))
            rows = m.rows[learners]
            features = np.hstack([m.features[learners], of_moment.features(m.day, known_by[learners])])
            came = labels[m.day][rows] if m.day in labels else of_moment.labels(m.day)[known_by[learners]]
            lessons.append(Lessons(rows, features, came, m.held_out[learners], m.learned[learners[m.held_out]]))
        ended = [lesson for m, lesson in zip(self.moments, lessons, strict=True) if m.day in self.ended]
        count = min(len(lessons[0].rows), sum(len(lesson.rows) for lesson in ended))
        if count < FEWEST_LESSONS:
            raise PastTooShort(f"of the users it is asked of only {count} are among those that past windows were kept of")
        (head, slope, start), of_ended = _fits(task, lessons, ended)
        odds, weight = _backtest(task, of_ended, ended, lessons[0])
        residual = _residual(lessons, head) if weight else None

        added = np.zeros(len(self.population.keys))
        if residual is not None:
            width = self._width
            added = everybody.joined(self.population, lambda users: weight * residual.odds(users.vectors[:, :width]))
        scores, features = self.scored(task, head)
        scores += added
        return Replayed(
            scores=slope * scores + start,
            probabilities=heads.chance(slope * scores + start),
            days=self.days,
            moments=tuple(date_of(m.day) for m in self.moments),
            matched=matched,
            backtest=task.backtest(self.moments[0].attributes.filter(pa.array(learners_of[newest])), odds, lessons[0].labels),
            learned=weight,
            matching=task.matching,
            basis=Basis(
                head,
                features,
                self._groups(task.widths(features.shape[1] - self._own_columns)),
                added,
                (lambda rows: self._features_of(task, rows)) if self.is_divided else None,
            ),
        )

    def scored(self, task: Task, head: Head | Committee) -> tuple[np.ndarray, np.ndarray]:
        """(U,) log-odds of everybody at the cutoff, and (U, F) what a head sees of them; where there are more than are looked at at
        once, of some of them."""
        if not self.is_divided:
            features = self._head_features(task)
            return head.odds(features), features
        shown = parts.evenly(self.population)

        def of_part(part: Population) -> tuple[np.ndarray, np.ndarray]:
            assert isinstance(part, Part)
            assert isinstance(part.rows, slice)
            features = self._head_features(self._of_part(task, part))
            first, last = np.searchsorted(shown, (part.rows.start, part.rows.stop))
            return head.odds(features), features[shown[first:last] - part.rows.start]

        odds, features = zip(*everybody.each(self.population, of_part), strict=True)
        return np.concatenate(odds), np.concatenate(features)

    def _features_of(self, task: Task, rows: np.ndarray) -> np.ndarray:
        """(N, F) what a head sees of the users at `rows` (N,) at the cutoff."""
        ordered, places = np.unique(rows, return_inverse=True)
        return self._head_features(self._of_part(task, parts.part(self.population, ordered)))[places]


def _logged(column: pa.ChunkedArray, missing: float) -> np.ndarray:
    values = column.cast(pa.float64()).fill_null(missing).to_numpy()
    return np.log1p(np.abs(values)) * np.sign(values)


def _fits(task: Task, *taught: list[Lessons]) -> list[tuple[Head | Committee, float, float]]:
    """For each list of lessons a head, and how its log-odds become those of doing it.

    A head is surer of the users it was fitted on than of others, so what a head of half of the users says of the other half is held
    against what happened; where they are few, each half is. All heads are fitted side by side.
    """
    rows = [(np.concatenate([x.features for x in some]), np.concatenate([x.labels for x in some])) for some in taught]
    halves = [_half(np.concatenate([x.rows for x in some])) for some in taught]
    with heads.side_by_side() as pool:
        wholes = [pool.submit(task.fit, features, labels) for features, labels in rows]
        parts = [
            [(~part, pool.submit(task.fit, features[part], labels[part])) for part in _fitted_halves(half)]
            for (features, labels), half in zip(rows, halves, strict=True)
        ]
    fits = []
    for (features, labels), whole, part in zip(rows, wholes, parts, strict=True):
        odds = np.concatenate([head.result().odds(features[others]) for others, head in part])
        did = np.concatenate([task.happened(labels[others]) for others, _ in part])
        fits.append((whole.result(), *heads.scale(odds, did)))
    return fits


def _fitted_halves(half: np.ndarray) -> list[np.ndarray]:
    """The halves (N,) bool that a head is fitted on for its log-odds to be scaled."""
    return [half] if len(half) >= PLENTY else [half, ~half]


def _half(rows: np.ndarray) -> np.ndarray:
    """(N,) bool: every other user, at all moments the same."""
    return np.unique(rows, return_inverse=True)[1] % 2 == 0


def _residual(lessons: list[Lessons], head: Head | Committee) -> Residual:
    """What the learned vectors of held-out users add to a head."""
    features = np.concatenate([x.features[x.held_out] for x in lessons])
    labels = np.concatenate([x.labels[x.held_out] for x in lessons])
    return Residual.fit(np.concatenate([x.learned for x in lessons]), labels, head.odds(features))


def _backtest(
    task: Task, fitted: tuple[Head | Committee, float, float], ended: list[Lessons], newest: Lessons
) -> tuple[np.ndarray, float]:
    """Log-odds (N,) of the newest window by a head of earlier ones, and the weight of learned vectors that predicts it best."""
    head, slope, start = fitted
    did = task.happened(newest.labels)
    odds = slope * head.odds(newest.features) + start
    weight = 0.0
    if newest.held_out.any() and all(x.held_out.any() for x in ended):
        added = slope * _residual(ended, head).odds(newest.learned)
        weight = heads.worth(odds[newest.held_out], added, did[newest.held_out])
    return odds, weight
