"""Asks the methods: what each makes of every scenario's users, once or over several draws, and where it draws its line.

What belongs here: scores of users who are judged. What does not: the table they become (`run`), metrics of one ranking (`metrics`).
"""

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from tqdm import tqdm

from found_platform import threads, workers
from found_platform.evaluation import heads, methods, thresholds
from found_platform.evaluation.classifiers import Classifier
from found_platform.evaluation.extent import FEW_SHOT, ORACLE, Extent
from found_platform.evaluation.metrics import evaluate
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenario import Scenario
from found_platform.metrics import auc

SHOTS, DRAWS = (5, 50), 5
"""Users of either kind that few-shot heads are made from, and how often they are drawn."""
PROBE_SHARE = 0.2
"""The linear probe is fitted on one fifth of the users and judged on the other four (FOUND, section 5)."""
ZERO_SHOT, PROBES, MOST_LABELS = "zero_shot", "linear_probe", "most_labels"


@dataclass(frozen=True)
class Task:
    """A scenario in one population: the rows (N,) of its users, and which of them (N,) bool are in the home at all."""

    scenario: Scenario
    rows: np.ndarray
    in_home: np.ndarray

    @classmethod
    def of(cls, population: Population, scenario: Scenario) -> "Task":
        rows = population.keys.rows(scenario.user_keys)
        return cls(scenario, np.maximum(rows, 0), rows >= 0)

    def of_home(self) -> "Task":
        """The same task of those users alone who are in the home: nothing is known of the others, so they teach nothing."""
        places, scenario = np.flatnonzero(self.in_home), self.scenario
        oracle, hard = (None if part is None else part[places] for part in (scenario.oracle, scenario.hard))
        users = [scenario.user_keys[place] for place in places]
        alone = replace(scenario, user_keys=users, labels=scenario.labels[places], oracle=oracle, hard=hard)
        return Task(alone, self.rows[places], self.in_home[places])

    def by_itself(self) -> "Task":
        """The same task over its own users in place of the population: their rows in `features[task.rows]`."""
        return replace(self, rows=np.arange(len(self.rows)))

    def ranked(self, scores: np.ndarray) -> np.ndarray:
        """(..., N) the scores (..., U) of its users; whoever has none, NaN, or is not in the home is last."""
        of_users = scores[..., self.rows]
        return np.where(self.in_home & ~np.isnan(of_users), of_users, np.nanmin(scores) - 1)


@dataclass(frozen=True)
class Draw:
    """What a method made of a scenario's users once: scores (N,), NaN for those whom it was shown, and its line."""

    scores: np.ndarray
    threshold: float
    seed: int = 0

    def metrics(self, scenario: Scenario) -> dict[str, float]:
        """See `metrics.evaluate`."""
        judged = np.flatnonzero(~np.isnan(self.scores))
        hard = None if scenario.hard is None else scenario.hard[judged]
        return evaluate(self.scores[judged], scenario.labels[judged], self.seed, hard, self.threshold)


@dataclass(frozen=True)
class Answer:
    """What a method made of one scenario: its draws, and the AUCs of other wordings."""

    draws: list[Draw]
    reworded: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answered:
    """A method of a task, and its answers by the scenario's name; without those that it could not be asked."""

    method: str
    task: str
    answers: dict[str, Answer]


Unit = str
"""Name of what is answered at once, and is not answered again in a run that goes on: a task and a method, or all few-shot heads."""


class Judge:
    """Puts every method of an extent to every task of a population.

    `retrained` is the same population as models of other training seeds have it, made where the first method asks for it.
    """

    def __init__(
        self,
        population: Population,
        scenarios: list[Scenario],
        extent: Extent,
        retrained: Callable[[], Sequence[Population]] = tuple,
    ):
        self.population, self.extent = population, extent
        self._retrained = cache(retrained)
        self.tasks = [Task.of(population, scenario) for scenario in extent.selection(scenarios)]

    def answers(
        self, finished: Iterable[Unit] = (), fits: "Callable[[], dict[Unit, list[Answered]]] | None" = None
    ) -> Iterator[tuple[Unit, list[Answered]]]:
        """What each unit answers, the look-ups first; those that are `finished` are left out.

        Fits begin before the look-ups, in processes of their own: these take one core, and what is left of it. Or somebody has
        begun them before: `fits` waits for them.
        """
        finished = set(finished)
        extent = self.extent
        ceilings, probes = self._to_fit(finished)
        quick = {unit: probe for unit, probe in probes.items() if not probe.slow}
        slow = [(unit, probe) for unit, probe in probes.items() if probe.slow]
        if fits is None:
            fitted = self._fitted(ceilings, quick, "fits")
        else:
            fitted = ((unit, answered) for unit, answered in fits().items() if unit in ceilings or unit in quick)
        for method in self._bar([m for m in methods.zero_shot() if extent.includes(m)], "look-ups"):
            if (unit := f"{ZERO_SHOT} {method.name}") not in finished:
                yield unit, [self._zero_shot(method)]
        if (unit := f"{ZERO_SHOT} {ORACLE}") not in finished:
            yield unit, [self._oracle()]
        yield from fitted
        if extent.has_few_shot and FEW_SHOT not in finished:
            yield FEW_SHOT, self._few_shot()
        for unit, probe in self._bar(slow, "trained rivals"):
            yield from self._fitted({}, {unit: probe}, probe.name)

    def fits(self) -> dict[Unit, list[Answered]]:
        """What the methods that are fitted answer, but for trained rivals: computed in this process."""
        ceilings, probes = self._to_fit(())
        quick = {unit: probe for unit, probe in probes.items() if not probe.slow}
        return dict(self._fitted(ceilings, quick, "fits", alone=True))

    def _to_fit(self, finished: Collection[Unit]) -> tuple[dict[Unit, methods.MostLabels], dict[Unit, methods.Probe]]:
        """The methods that are fitted, by unit, without those that are finished."""
        ceilings = {f"{MOST_LABELS} {m.name}": m for m in methods.most_labels() if self.extent.includes(m)}
        probes = {f"{PROBES} {p.name}": p for p in methods.probes() if self.extent.includes(p)}
        return (
            {unit: method for unit, method in ceilings.items() if unit not in finished},
            {unit: probe for unit, probe in probes.items() if unit not in finished},
        )

    @staticmethod
    def _bar(items: list, about: str) -> Iterable[Any]:
        return tqdm(items, desc=f"benchmark: {about}", unit="method", disable=None, leave=False)

    def _populations(self, method: methods.ZeroShot | methods.Probe) -> list[Population]:
        """By the model that serves, and by those of other training seeds where the method hangs on them."""
        return [self.population, *(self._retrained() if method.by_training_seed else ())]

    def _zero_shot(self, method: methods.ZeroShot) -> Answered:
        answers: dict[str, Answer] = {}
        for task in self.tasks:
            draws, reworded = [], []
            for seed, population in enumerate(self._populations(method)):
                scores = self._demand_scores(method, task, population)
                if scores is not None:
                    ranked = task.ranked(scores)  # (D, N)
                    of_home = scores[0][task.rows[task.in_home]]
                    draws.append(Draw(ranked[0], method.threshold(of_home[~np.isnan(of_home)]), seed))
                    reworded += [auc(r, task.scenario.labels) for r in ranked[1:]]
            if draws:
                answers[task.scenario.name] = Answer(draws, tuple(reworded))
        return Answered(method.name, ZERO_SHOT, answers)

    def _demand_scores(self, method: methods.ZeroShot, task: Task, population: Population) -> np.ndarray | None:
        """(D, U) of each wording, NaN for those whom the method cannot rank."""
        scenario = task.scenario
        demands = [scenario.demand, *(scenario.paraphrases if self.extent.paraphrases else [])]
        question = methods.Question(demands, scenario.horizon_days, scenario.outcome, scenario.rank)
        scores = method.scores(population, question)
        if scores is None or method.says_who:
            return scores
        return np.where(population.has_history, scores, np.nan)

    def _has_history(self, task: Task) -> np.ndarray:
        return task.in_home & self.population.has_history[task.rows]

    def _oracle(self) -> Answered:
        chances = {t.scenario.name: t.scenario.oracle for t in self.tasks if t.scenario.oracle is not None}
        answers = {name: Answer([Draw(chance, thresholds.average(chance))]) for name, chance in chances.items()}
        return Answered(ORACLE, ZERO_SHOT, answers)

    def _fitted(
        self, ceilings: dict[Unit, methods.MostLabels], probes: dict[Unit, methods.Probe], about: str, *, alone: bool = False
    ) -> Iterator[tuple[Unit, list[Answered]]]:
        """What methods that are fitted answer: computed from now on in processes side by side, or, where it is soon done or this
        process is one of several (`alone`), when it is asked for. A process is given a scenario of a method, or a division of its
        users, at a time."""
        from joblib import Parallel, delayed

        divided = [
            (unit, task, features)
            for unit, method in ceilings.items()
            for task in self.tasks
            if (features := method.features(self.population, task.scenario)) is not None
        ]
        by_probe = {unit: [probe.features(each) for each in self._populations(probe)] for unit, probe in probes.items()}
        by_probe = {unit: features for unit, features in by_probe.items() if features[0] is not None}
        foldings, splits = range(self.extent.foldings), self.extent.splits
        divisions = (
            delayed(ceilings[unit].scores)(features[home.rows], home.scenario.labels, seed)
            for unit, task, features in divided
            for home in [task.of_home()]
            for seed in foldings
        )
        draws = (
            delayed(judge_probe)(probes[unit].classifier, matrix[task.rows], [task.by_itself()], splits)
            for unit, features in by_probe.items()
            for matrix in features
            for task in self.tasks
        )
        counts = len(divided) * len(foldings), sum(map(len, by_probe.values())) * len(self.tasks)
        apart = not alone and counts[0] * DIVISION_FITS + counts[1] * splits >= FITS_APART
        calls = list(itertools.chain(divisions, draws))
        results: Iterator[Any]
        if calls and workers.forks() and not alone:
            results = _in_forks(calls, (os.cpu_count() or 1) if apart else 1)
        else:
            results = iter(Parallel(n_jobs=-1 if apart else 1, return_as="generator", max_nbytes=None)(calls))

        def answered() -> Iterator[tuple[Unit, list[Answered]]]:
            judged = iter(
                tqdm(results, desc=f"benchmark: {about}", unit="fit", total=sum(counts), disable=None, leave=False),
            )
            for unit, method in ceilings.items():
                scores = {task.scenario.name: [next(judged) for _ in foldings] for name, task, _ in divided if name == unit}
                answers = {task.scenario.name: _divided(task, scores.get(task.scenario.name, ())) for task in self.tasks}
                yield unit, [Answered(method.name, MOST_LABELS, {name: answer for name, answer in answers.items() if answer.draws})]
            for unit, features in by_probe.items():
                by_seed = [[next(judged)[0] for _ in self.tasks] for _ in features]
                answers = {
                    task.scenario.name: Answer([draw for by_task in by_seed for draw in by_task[place]])
                    for place, task in enumerate(self.tasks)
                }
                yield unit, [Answered(probes[unit].name, PROBES, answers)]

        return answered()

    def _few_shot(self) -> list[Answered]:
        """Heads made from a few users of either kind, drawn anew each time and judged on all others."""
        draws: dict[str, dict[str, list[Draw]]] = {}
        auto = next(method for method in methods.zero_shot() if method.name == "auto")
        for task in self._bar(self.tasks, "few-shot heads"):
            demand_scores = self._demand_scores(auto, task, self.population)
            if demand_scores is None:
                continue
            for head, draw in self._heads(task, demand_scores[0]):
                draws.setdefault(head, {}).setdefault(task.scenario.name, []).append(draw)
        return [Answered(head, FEW_SHOT, {s: Answer(d) for s, d in by_scenario.items()}) for head, by_scenario in draws.items()]

    def _heads(self, task: Task, demand_scores: np.ndarray) -> Iterator[tuple[str, Draw]]:
        scenario, rows = task.scenario, task.rows
        groups = [np.flatnonzero(self._has_history(task) & (scenario.labels == label)) for label in (1, 0)]
        for count in SHOTS:
            if min(map(len, groups)) < 2 * count:
                continue
            for seed in range(DRAWS):
                rng = np.random.default_rng(seed)
                drawn = [rng.choice(group, count, replace=False) for group in groups]
                near, far = (rows[d] for d in drawn)
                by_head = heads.scores(self.population, scenario.demand, demand_scores, near, far, seed)
                for head, scores in {**by_head, **self._rival_heads(scenario, near, far, seed)}.items():
                    ranked = task.ranked(scores)
                    threshold = thresholds.between(ranked[drawn[0]], ranked[drawn[1]])
                    ranked[np.concatenate(drawn)] = np.nan
                    yield f"{head}_{count}", Draw(ranked, threshold, seed)

    def _rival_heads(self, scenario: Scenario, near: np.ndarray, far: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Scores (U,) of all other methods that are shown the same few users, at rows (P,) and (N,)."""
        labels = np.repeat([1, 0], [len(near), len(far)])
        scores_by_head: dict[str, np.ndarray] = {}
        for name, (probe, features) in self._few_shot_features.items():
            scores_by_head[name] = probe.classifier(features[np.concatenate([near, far])], labels, seed)(features)
        question = methods.Question([scenario.demand], scenario.horizon_days, scenario.outcome, scenario.rank)
        for method in methods.few_shot():
            if (scores := method.scores(self.population, question, near, far)) is not None:
                scores_by_head[method.name] = scores
        has_history = self.population.has_history
        return {name: np.where(has_history, scores, scores.min() - 1) for name, scores in scores_by_head.items()}

    @cached_property
    def _few_shot_features(self) -> dict[str, tuple[methods.Probe, Any]]:
        """The probes that are fitted on a few users too, and their features (U, F), where there are any."""
        probes = [probe for probe in methods.probes() if probe.few_shot and (not probe.slow or self.extent.includes(probe))]
        features = ((probe, probe.features(self.population)) for probe in self._bar(probes, "features of few-shot heads"))
        return {probe.name: (probe, matrix) for probe, matrix in features if matrix is not None}


FITS_APART, DIVISION_FITS = 100, 5
"""Fits from which on they are shared among processes: each takes .05 s or more, and a process seconds to start. And as how many a
division of the users counts: one for each part that is left out."""


def fits_apart(scenarios: int, extent: Extent) -> bool:
    """Whether so many scenarios have fits to share among processes, if every method can be fitted."""
    ceilings = sum(map(extent.includes, methods.most_labels()))
    probes = sum(extent.includes(probe) and not probe.slow for probe in methods.probes())
    return scenarios * (ceilings * extent.foldings * DIVISION_FITS + probes * extent.splits) >= FITS_APART


def _in_forks(calls: list[tuple[Callable[..., Any], Any, Any]], count: int) -> Iterator[Any]:
    """What calls return, in their order: they begin at once, dealt out to so many forks."""
    parts = [workers.ahead(_returned, calls[place::count]) for place in range(count)]

    def results() -> Iterator[Any]:
        returned = [part() for part in parts]
        for place in range(len(calls)):
            yield returned[place % count][place // count]

    return results()


def _returned(calls: list[tuple[Callable[..., Any], Any, Any]]) -> list[Any]:
    with threads.one_each():
        return [call(*arguments, **options) for call, arguments, options in calls]


def _divided(task: Task, scores: Iterable[np.ndarray | None]) -> Answer:
    """The draws by scores (N,) of the task's users who are in the home, one for each division; who is not in it is last."""
    draws = []
    for seed, of_home in enumerate(scores):
        if of_home is None:
            break
        ranked = np.full(len(task.rows), of_home.min() - 1)
        ranked[task.in_home] = of_home
        draws.append(Draw(ranked, thresholds.fitted(task.scenario.labels[task.in_home]), seed))
    return Answer(draws)


def judge_probe(classifier: Classifier, features: Any, tasks: list[Task], splits: int) -> list[list[Draw]]:
    """The draws, by task and split, of a classifier on features (U, F), fitted on one fifth and judged on the other four."""
    return [[_probe(classifier, features, task, seed) for seed in range(splits)] for task in tasks]


def _probe(classifier: Classifier, features: Any, task: Task, seed: int) -> Draw:
    from sklearn.model_selection import train_test_split

    labels, in_home = task.scenario.labels, task.in_home
    fit, test = train_test_split(np.arange(len(labels)), train_size=PROBE_SHARE, stratify=labels, random_state=seed)
    fit = fit[in_home[fit]]
    scores = np.full(len(labels), np.nan)
    scores[test] = 0.0
    if min(labels[fit].sum(), (1 - labels[fit]).sum()) < 2:
        return Draw(scores, 0.0, seed)  # nothing to learn from: chance
    predicted = classifier(features[task.rows[fit]], labels[fit], seed)(features[task.rows[test]])
    scores[test] = np.where(in_home[test], predicted, predicted.min() - 1)
    return Draw(scores, thresholds.fitted(labels[fit]), seed)
