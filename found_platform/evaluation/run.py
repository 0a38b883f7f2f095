"""Runs the benchmark at a cutoff: every method, task, scenario and metric into one table, stored in the lake."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import lake
from found_platform.evaluation import ceiling, methods
from found_platform.evaluation.metrics import evaluate
from found_platform.evaluation.scenarios import RESULTS, Scenario, as_table
from found_platform.lake import Written
from found_platform.metrics import auc
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


def run(settings: Settings, cutoff: dt.date, version: str, scenarios: list[Scenario]) -> tuple[Written, pa.Table]:
    """Evaluates a model version at a cutoff and stores the rows of that cutoff."""
    timer = lake.Timer()
    rows = list(_rows(settings, cutoff, version, scenarios)) if scenarios else []
    table = as_table(rows)
    predicate = f"cutoff = '{cutoff.isoformat()}'"
    written = lake.replace(settings.lake, TABLE, table, schema=RESULTS, partition_by=("cutoff",), predicate=predicate)
    hashes = lake.row_hashes(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff, drop=["model_version"])
    hashes = hashes or {str(cutoff): (0, "0" * 16)}
    return Written(TABLE, written, table.num_rows, lake.size(settings.lake, TABLE), timer.seconds, {}, hashes), table


def _rows(settings: Settings, cutoff: dt.date, version: str, scenarios: list[Scenario]) -> Iterator[dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    population = methods.Population.stored(settings, version, cutoff)
    common = {"cutoff": cutoff, "dataset": source_config.of_home(settings).name, "model_version": version}
    with threadpool_limits(1):  # thousands of small fits: threads would wait for each other
        yield from evaluated(population, scenarios, common)


def evaluated(
    population: methods.Population, scenarios: list[Scenario], common: dict[str, Any], only: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The result rows of a population: every method, task, scenario and metric.

    Args:
        common: what every row carries.
        only: the methods that score without labels and the probes, by name, and no few-shot heads; None takes all.
    """
    probes = {name: probe for name, probe in methods.probes(population).items() if only is None or name in only}
    labelled = ceiling.Ceiling(population) if only is None or ceiling.METHOD[0] in only else None
    collected: dict[tuple[str, str], list[Judged]] = {}
    for scenario in tqdm(scenarios, desc="benchmark", unit="scenario", disable=None, leave=False):
        rows = population.keys.rows(scenario.user_keys)
        in_home, rows = rows >= 0, np.maximum(rows, 0)
        counts = {"users": len(rows), "positives": int(scenario.labels.sum())}
        demands = [scenario.demand, *scenario.paraphrases]
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        reworded: dict[tuple[str, str], list[float]] = {}
        zero_shot = methods.zero_shot(
            population, demands, scenario.horizon_days, only, outcome=scenario.outcome, rank=scenario.rank
        )
        for method, scores in zero_shot.items():
            ranked = np.where(in_home, scores[:, rows], scores.min() - 1)  # (demands, N)
            runs[method, "zero_shot"] = [evaluate(ranked[0], scenario.labels, hard=scenario.hard)]
            reworded[method, "zero_shot"] = [auc(r, scenario.labels) for r in ranked[1:]]
        if scenario.oracle is not None:
            runs[ORACLE] = [evaluate(scenario.oracle, scenario.labels, hard=scenario.hard)]
        if labelled is not None and (scores := labelled.scores(scenario, rows)) is not None:
            ranked = np.where(in_home, scores, scores.min() - 1)
            runs[ceiling.METHOD] = [evaluate(ranked, scenario.labels, hard=scenario.hard)]
        if only is None:
            runs |= _few_shot(population, scenario, rows, in_home, demands, zero_shot)
        for method, probe in probes.items():
            runs[method, "linear_probe"] = [_probe(probe, scenario, rows, in_home, seed) for seed in range(SEEDS)]
        for (method, task), figures in runs.items():
            if scenario.oracle is not None:
                lift = runs[ORACLE][0]["auc"] - 0.5
                figures = [f | {"oracle_share": (f["auc"] - 0.5) / lift} for f in figures]
            summary = {m: _mean_and_spread([f[m] for f in figures]) for m in figures[0]}
            if paraphrased := reworded.get((method, task)):
                summary["auc_paraphrases"] = _mean_and_spread(paraphrased)
            judged = Judged(summary, counts["users"], counts["positives"], len(figures))
            collected.setdefault((method, task), []).append(judged)
            yield from _lines(common, method, task, scenario.name, judged)
    for (method, task), judgements in collected.items():
        for metric in dict.fromkeys(m for j in judgements for m in j.summary):
            yield from _lines(common, method, task, "mean", Judged.mean([j for j in judgements if metric in j.summary], metric))


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


def _few_shot(
    population: methods.Population,
    scenario: Scenario,
    rows: np.ndarray,
    in_home: np.ndarray,
    demands: list[str],
    zero_shot: dict[str, np.ndarray],
) -> dict[tuple[str, str], list[dict[str, float]]]:
    """Metrics of heads made from a few users of either kind, drawn anew each time and judged on all others."""
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for count in SHOTS:
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            seen = in_home & population.has_history[rows]
            groups = [np.flatnonzero(seen & (scenario.labels == label)) for label in (1, 0)]
            if min(map(len, groups)) < 2 * count:
                continue
            drawn = [rng.choice(group, count, replace=False) for group in groups]
            others = np.setdiff1d(np.arange(len(rows)), np.concatenate(drawn))
            hard = None if scenario.hard is None else scenario.hard[others]
            by_head = methods.few_shot(population, demands[0], zero_shot["auto"][0], *(rows[d] for d in drawn), seed)
            for head, scores in by_head.items():
                ranked = np.where(in_home, scores[rows], scores.min() - 1)[others]
                figures = evaluate(ranked, scenario.labels[others], seed, hard)
                runs.setdefault((f"{head}_{count}", "few_shot"), []).append(figures)
    return runs


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


def _probe(probe: methods.Probe, scenario: Scenario, rows: np.ndarray, in_home: np.ndarray, seed: int) -> dict[str, float]:
    """Metrics of a probe fitted on one fifth. `rows` are the users' features; users not `in_home` are last."""
    from sklearn.model_selection import train_test_split

    labels = scenario.labels
    fit, test = train_test_split(np.arange(len(labels)), train_size=PROBE_SHARE, stratify=labels, random_state=seed)
    fit = fit[in_home[fit]]
    hard = None if scenario.hard is None else scenario.hard[test]
    if min(labels[fit].sum(), (1 - labels[fit]).sum()) < 2:
        return evaluate(np.zeros(len(test)), labels[test], seed, hard)  # nothing to learn from: chance
    scores = probe.fit(probe.features[rows[fit]], labels[fit], seed)(probe.features[rows[test]])
    return evaluate(np.where(in_home[test], scores, scores.min() - 1), labels[test], seed, hard)


def as_document(table: pa.Table) -> dict[str, Any]:
    """The result as one JSON document."""
    rows = table.to_pylist()
    keys = ("method", "task", "scenario", "metric", "value", "std", "users", "positives", "seeds")
    return {
        "dataset": rows[0]["dataset"],
        "cutoff": str(rows[0]["cutoff"]),
        "model_version": rows[0]["model_version"],
        "results": [{k: row[k] for k in keys} for row in rows],
    }


RANKING = {
    "auc": "AUC",
    "std": "±",
    "ks": "KS",
    "auc_paraphrases": "reworded",
    "auc_hard": "hard",
    "lift_at_10pct": "lift",
    "oracle_share": "oracle",
}
TARGETING = {
    "accuracy": "acc",
    "precision": "prec",
    "recall": "rec",
    "accuracy_5050": "acc 50",
    "precision_5050": "prec 50",
    "recall_5050": "rec 50",
}

ABREAST = 10
"""Columns of a table that fits a terminal."""

TITLES = {"zero_shot": "zero-shot", "few_shot": "few-shot", "linear_probe": "probes", "most_labels": "most labels"}

Grid = tuple[list[str], list[list[str]]]
"""A header and rows, for people."""


def means_grid(table: pa.Table, metrics: dict[str, str]) -> Grid:
    """The mean over scenarios: a numbered row a method, a column a metric (titles by name)."""
    means = [r for r in table.to_pylist() if r["scenario"] == "mean"]
    cells = {(r["metric"], r["method"], r["task"]): _short(r["value"]) for r in means}
    cells |= {("std", r["method"], r["task"]): _short(r["std"]) for r in means if r["metric"] == "auc" and r["std"]}
    titles = {m: title for m, title in metrics.items() if any(m == metric for metric, _, _ in cells)}
    return ["mean of scenarios", *titles.values()], [
        [f"{number:>2} {method}", *(cells.get((m, method, task), "") for m in titles)]
        for number, (method, task) in enumerate(_methods(table), 1)
    ]


def scenarios_grid(table: pa.Table, metric: str, task: str, part: slice = slice(None)) -> Grid:
    """A metric by scenario: a row a scenario, a column a method of the task (or part of them), by its number in `means_grid`."""
    rows = [r for r in table.to_pylist() if r["metric"] == metric]
    columns = dict([(m, str(number)) for number, m in enumerate(_methods(table), 1) if m[1] == task][part])
    cells = {(r["scenario"], r["method"], r["task"]): _short(r["value"]) for r in rows}
    names = dict.fromkeys(r["scenario"] for r in rows)
    title = f"{metric.upper()}, {TITLES[task]}"
    return [title, *columns.values()], [[name, *(cells.get((name, *m), "") for m in columns)] for name in names]


def _methods(table: pa.Table) -> list[tuple[str, str]]:
    """The methods with their tasks: without labels, with a few, with a fifth."""
    methods_and_tasks = dict.fromkeys((r["method"], r["task"]) for r in table.to_pylist())
    return sorted(methods_and_tasks, key=lambda m: list(TITLES).index(m[1]))


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def grids(table: pa.Table) -> list[Grid]:
    """All that people look at, in order: the means, then AUC by scenario."""
    tasks = Counter(task for _, task in _methods(table))
    parts = [(task, slice(i, i + ABREAST)) for task, count in tasks.items() for i in range(0, count, ABREAST)]
    by_scenario = [scenarios_grid(table, "auc", task, part) for task, part in parts]
    return [means_grid(table, RANKING), means_grid(table, TARGETING), *by_scenario]


def as_markdown(table: pa.Table) -> str:
    """The same tables in Markdown."""
    lines = []
    for header, rows in grids(table):
        lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *("| " + " | ".join(r) + " |" for r in rows), ""]
    return "\n".join(lines)
