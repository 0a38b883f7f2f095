"""Runs the benchmark at a cutoff: every method, task, scenario and metric into one table, stored in the lake."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import lake
from found_platform.evaluation import heads, methods
from found_platform.evaluation.classifiers import Classifier
from found_platform.evaluation.methods import Method, Probe
from found_platform.evaluation.metrics import evaluate
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenarios import RESULTS, Scenario, as_table
from found_platform.lake import Written
from found_platform.metrics import auc
from found_platform.scoring import threads
from found_platform.settings import Settings
from found_platform.sources import config as source_config

TABLE = "benchmark_results"
SEEDS = 5
SHOTS, DRAWS = (5, 50), 3
"""Users of either kind that few-shot heads are made from, and how often they are drawn."""
PROBE_SHARE = 0.2
"""The linear probe is fitted on one fifth of the users and judged on the other four (FOUND, section 5)."""
ORACLE = ("oracle", "zero_shot")
"""The ceiling: what nobody can beat who does not see the future. Known for simulated sources alone."""


@dataclass(frozen=True)
class Extent:
    """How much of a benchmark is run.

    Attributes:
        methods: those that score without labels and the probes, by name; None takes all.
        few_shot: heads of a few users too; they start from the scores of `auto`.
        splits: of the users of a probe.
        paraphrases: the demands in other words too.
        slow: methods that are trained before they can be asked, too.
    """

    methods: Collection[str] | None = None
    few_shot: bool = True
    splits: int = SEEDS
    paraphrases: bool = True
    slow: bool = True

    def includes(self, method: Method) -> bool:
        is_slow = isinstance(method, Probe) and method.slow
        return (self.slow or not is_slow) and (self.methods is None or method.name in self.methods)


FULL = Extent()
QUICK = Extent(few_shot=False, splits=3, paraphrases=False, slow=False)
"""What a person who waits gets: a third of the time."""


def run(
    settings: Settings, cutoff: dt.date, version: str, scenarios: list[Scenario], extent: Extent = FULL
) -> tuple[Written, pa.Table]:
    """Evaluates a model version at a cutoff and stores the rows of that cutoff."""
    timer = lake.Timer()
    rows = list(_rows(settings, cutoff, version, scenarios, extent)) if scenarios else []
    table = as_table(rows)
    predicate = f"cutoff = '{cutoff.isoformat()}'"
    written = lake.replace(settings.lake, TABLE, table, schema=RESULTS, partition_by=("cutoff",), predicate=predicate)
    hashes = lake.row_hashes(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff, drop=["model_version"])
    hashes = hashes or {str(cutoff): (0, "0" * 16)}
    return Written(TABLE, written, table.num_rows, lake.size(settings.lake, TABLE), timer.seconds, {}, hashes), table


def _rows(settings: Settings, cutoff: dt.date, version: str, scenarios: list[Scenario], extent: Extent) -> Iterator[dict[str, Any]]:
    population = Population.stored(settings, version, cutoff)
    common = {"cutoff": cutoff, "dataset": source_config.of_home(settings).name, "model_version": version}
    with threads.one_each():  # thousands of small fits: threads would wait for each other
        yield from evaluated(population, scenarios, common, extent)


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

    def ranked(self, scores: np.ndarray) -> np.ndarray:
        """(..., N) the scores (..., U) of its users; whoever is not in the home is last."""
        return np.where(self.in_home, scores[..., self.rows], scores.min() - 1)


Figures = dict[tuple[str, str], list[dict[str, float]]]
"""Metrics of every draw, by method and task."""


def evaluated(
    population: Population, scenarios: list[Scenario], common: dict[str, Any], extent: Extent = FULL
) -> Iterator[dict[str, Any]]:
    """The result rows of a population: every method, task, scenario and metric. `common` is what every row carries."""
    tasks = [Task.of(population, scenario) for scenario in scenarios]
    probes = _probes(population, tasks, extent)
    collected: dict[tuple[str, str], list[Judged]] = {}
    progress = tqdm(tasks, desc="benchmark: look-ups", unit="scenario", disable=None, leave=False)
    for number, task in enumerate(progress):
        figures, reworded = _draws(population, task, extent)
        figures |= {(method, "linear_probe"): by_task[number] for method, by_task in probes.items()}
        lift = figures[ORACLE][0]["auc"] - 0.5 if ORACLE in figures else None
        for key, draws in figures.items():
            if lift is not None and lift > 0:
                draws = [f | {"oracle_share": (f["auc"] - 0.5) / lift} for f in draws]
            summary = {metric: _mean_and_spread([f[metric] for f in draws]) for metric in draws[0]}
            if paraphrased := reworded.get(key):
                summary["auc_paraphrases"] = _mean_and_spread(paraphrased)
            labels = task.scenario.labels
            judged = Judged(summary, len(labels), int(labels.sum()), len(draws))
            collected.setdefault(key, []).append(judged)
            yield from _lines(common, *key, task.scenario.name, judged)
    for (method, kind), judgements in collected.items():
        for metric in dict.fromkeys(m for j in judgements for m in j.summary):
            yield from _lines(common, method, kind, "mean", Judged.mean([j for j in judgements if metric in j.summary], metric))


def _draws(population: Population, task: Task, extent: Extent) -> tuple[Figures, dict[tuple[str, str], list[float]]]:
    """Metrics of all but the probes: methods without labels, the oracle, few-shot heads, ceilings; and AUCs of other wordings."""
    scenario = task.scenario
    demands = [scenario.demand, *(scenario.paraphrases if extent.paraphrases else [])]
    question = methods.Question(demands, scenario.horizon_days, scenario.outcome, scenario.rank)
    figures: Figures = {}
    reworded: dict[tuple[str, str], list[float]] = {}
    scores_of: dict[str, np.ndarray] = {}
    for method in methods.zero_shot():
        scores = method.scores(population, question) if extent.includes(method) else None
        if scores is None:
            continue
        scores_of[method.name] = np.where(population.has_history, scores, scores.min() - 1)
        ranked = task.ranked(scores_of[method.name])  # (D, N)
        figures[method.name, "zero_shot"] = [evaluate(ranked[0], scenario.labels, hard=scenario.hard)]
        reworded[method.name, "zero_shot"] = [auc(r, scenario.labels) for r in ranked[1:]]
    if scenario.oracle is not None:
        figures[ORACLE] = [evaluate(scenario.oracle, scenario.labels, hard=scenario.hard)]
    for method in methods.most_labels():
        of_home = task.of_home()
        scores = method.scores(population, of_home.scenario, of_home.rows) if extent.includes(method) else None
        if scores is not None:
            ranked = np.full(len(task.rows), scores.min() - 1)
            ranked[task.in_home] = scores
            figures[method.name, "most_labels"] = [evaluate(ranked, scenario.labels, hard=scenario.hard)]
    if extent.few_shot and "auto" in scores_of:
        figures |= _few_shot(population, task, scores_of["auto"][0])
    return figures, reworded


@dataclass(frozen=True)
class Judged:
    """What a method made of a scenario, or of the mean of several: value and spread by metric, over so many draws (`seeds`)."""

    summary: dict[str, tuple[float, float]]
    users: int
    positives: int
    seeds: int

    @classmethod
    def mean(cls, judgements: list["Judged"], metric: str) -> "Judged":
        """The mean of one metric over the scenarios that have it, with their users and the fewest draws of any."""
        value, spread = np.mean([j.summary[metric] for j in judgements], 0).tolist()
        users, positives = sum(j.users for j in judgements), sum(j.positives for j in judgements)
        return cls({metric: (value, spread)}, users, positives, min(j.seeds for j in judgements))


def _few_shot(population: Population, task: Task, demand_scores: np.ndarray) -> Figures:
    """Metrics of heads made from a few users of either kind, drawn anew each time and judged on all others.

    `demand_scores` (U,) are those of the demand without a label.
    """
    scenario, rows = task.scenario, task.rows
    figures: Figures = {}
    for count in SHOTS:
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            seen = task.in_home & population.has_history[rows]
            groups = [np.flatnonzero(seen & (scenario.labels == label)) for label in (1, 0)]
            if min(map(len, groups)) < 2 * count:
                continue
            drawn = [rng.choice(group, count, replace=False) for group in groups]
            others = np.setdiff1d(np.arange(len(rows)), np.concatenate(drawn))
            hard = None if scenario.hard is None else scenario.hard[others]
            by_head = heads.scores(population, scenario.demand, demand_scores, *(rows[d] for d in drawn), seed)
            for head, scores in by_head.items():
                figures.setdefault((f"{head}_{count}", "few_shot"), []).append(
                    evaluate(task.ranked(scores)[others], scenario.labels[others], seed, hard)
                )
    return figures


def _lines(common: dict, method: str, task: str, scenario: str, judged: Judged) -> Iterator[dict[str, Any]]:
    for metric, (value, std) in judged.summary.items():
        yield {
            **common,
            "method": method,
            "task": task,
            "scenario": scenario,
            "metric": metric,
            "value": value,
            "std": std,
            "users": judged.users,
            "positives": judged.positives,
            "seeds": judged.seeds,
        }


def _mean_and_spread(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))


FITS_APART = 100
"""Fits from which on they are shared among processes: each takes .05 s, and a process seconds to start."""


def _probes(population: Population, tasks: list[Task], extent: Extent) -> dict[str, list[list[dict[str, float]]]]:
    """Metrics of each probe by task and split. Probes are fitted side by side: scikit-learn's own work keeps a thread busy."""
    from joblib import Parallel, delayed

    features = {p.name: p.features(population) for p in methods.probes() if extent.includes(p)}
    kept = [p for p in methods.probes() if features.get(p.name) is not None]
    apart = len(kept) * len(tasks) * extent.splits >= FITS_APART
    workers = Parallel(n_jobs=-1 if apart else 1, return_as="generator", max_nbytes=None)
    calls = (delayed(judge_probe)(p.classifier, features[p.name], tasks, extent.splits) for p in kept)
    judged: Iterable[Any] = tqdm(workers(calls), desc="benchmark: probes", unit="probe", total=len(kept), disable=None, leave=False)
    return dict(zip((p.name for p in kept), judged, strict=True))


def judge_probe(classifier: Classifier, features: Any, tasks: list[Task], splits: int) -> list[list[dict[str, float]]]:
    """Metrics by task and split of a classifier on features (U, F), fitted on one fifth and judged on the other four."""
    return [[_probe(classifier, features, task, seed) for seed in range(splits)] for task in tasks]


def _probe(classifier: Classifier, features: Any, task: Task, seed: int) -> dict[str, float]:
    from sklearn.model_selection import train_test_split

    labels, in_home = task.scenario.labels, task.in_home
    fit, test = train_test_split(np.arange(len(labels)), train_size=PROBE_SHARE, stratify=labels, random_state=seed)
    fit = fit[in_home[fit]]
    hard = None if task.scenario.hard is None else task.scenario.hard[test]
    if min(labels[fit].sum(), (1 - labels[fit]).sum()) < 2:
        return evaluate(np.zeros(len(test)), labels[test], seed, hard)  # nothing to learn from: chance
    scores = classifier(features[task.rows[fit]], labels[fit], seed)(features[task.rows[test]])
    return evaluate(np.where(in_home[test], scores, scores.min() - 1), labels[test], seed, hard)
