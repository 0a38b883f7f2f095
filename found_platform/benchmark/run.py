"""Runs the benchmark at a cutoff: every method, task, scenario and metric into one table, stored in the lake."""

import datetime as dt
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import lake
from found_platform.benchmark import methods
from found_platform.benchmark.metrics import auc, evaluate
from found_platform.benchmark.scenarios import RESULTS, Scenario, as_table
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.sources import config as source_config

TABLE = "benchmark_results"
SEEDS = 5
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
        only: the probes to fit, by name; None fits all.
    """
    probes = {name: probe for name, probe in methods.probes(population).items() if only is None or name in only}
    collected: dict[tuple[str, str], list[dict[str, tuple[float, float]]]] = {}
    for scenario in tqdm(scenarios, desc="benchmark", unit="scenario", disable=None, leave=False):
        known = np.array([u in population.row for u in scenario.user_keys])
        rows = np.array([population.row.get(u, 0) for u in scenario.user_keys])
        counts = {"users": len(rows), "positives": int(scenario.labels.sum())}
        demands = [scenario.demand, *scenario.paraphrases]
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        reworded: dict[tuple[str, str], list[float]] = {}
        for method, scores in methods.zero_shot(population, demands).items():
            ranked = np.where(known, scores[:, rows], scores.min() - 1)  # (demands, N)
            runs[method, "zero_shot"] = [evaluate(ranked[0], scenario.labels, hard=scenario.hard)]
            reworded[method, "zero_shot"] = [auc(r, scenario.labels) for r in ranked[1:]]
        if scenario.oracle is not None:
            runs[ORACLE] = [evaluate(scenario.oracle, scenario.labels, hard=scenario.hard)]
        for method, probe in probes.items():
            runs[method, "linear_probe"] = [_probe(probe, scenario, rows, known, seed) for seed in range(SEEDS)]
        for (method, task), figures in runs.items():
            if scenario.oracle is not None:
                lift = runs[ORACLE][0]["auc"] - 0.5
                figures = [f | {"oracle_share": (f["auc"] - 0.5) / lift} for f in figures]
            summary = {m: _mean_and_spread([f[m] for f in figures]) for m in figures[0]}
            if paraphrased := reworded.get((method, task)):
                summary["auc_paraphrases"] = _mean_and_spread(paraphrased)
            collected.setdefault((method, task), []).append(summary)
            yield from _lines(common, method, task, scenario.name, summary, counts, len(figures))
    total = {"users": sum(len(s.labels) for s in scenarios), "positives": sum(int(s.labels.sum()) for s in scenarios)}
    for (method, task), summaries in collected.items():
        names = dict.fromkeys(m for s in summaries for m in s)
        mean = {m: tuple(np.mean([s[m] for s in summaries if m in s], 0).tolist()) for m in names}
        yield from _lines(common, method, task, "mean", mean, total, SEEDS if task == "linear_probe" else 1)


def _lines(
    common: dict, method: str, task: str, scenario: str, summary: dict[str, tuple[float, float]], counts: dict[str, int], seeds: int
) -> Iterator[dict[str, Any]]:
    for metric, (value, std) in summary.items():
        yield {
            **common,
            "method": method,
            "task": task,
            "scenario": scenario,
            "metric": metric,
            "value": value,
            "std": std,
            **counts,
            "seeds": seeds,
        }


def _mean_and_spread(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))


def _probe(probe: methods.Probe, scenario: Scenario, rows: np.ndarray, known: np.ndarray, seed: int) -> dict[str, float]:
    """Metrics of a probe fitted on one fifth. `rows` are the users' features; users not `known` teach nothing and rank last."""
    from sklearn.model_selection import train_test_split

    labels = scenario.labels
    fit, test = train_test_split(np.arange(len(labels)), train_size=PROBE_SHARE, stratify=labels, random_state=seed)
    fit = fit[known[fit]]
    hard = None if scenario.hard is None else scenario.hard[test]
    if min(labels[fit].sum(), (1 - labels[fit]).sum()) < 2:
        return evaluate(np.zeros(len(test)), labels[test], seed, hard)  # nothing to learn from: chance
    scores = probe.fit(probe.features[rows[fit]], labels[fit], seed)(probe.features[rows[test]])
    return evaluate(np.where(known[test], scores, scores.min() - 1), labels[test], seed, hard)


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


def as_grid(table: pa.Table, metric: str) -> tuple[list[str], list[list[str]]]:
    """A metric as a table for people: a header, and a row a scenario with a column a method, the mean last."""
    rows = [r for r in table.to_pylist() if r["metric"] == metric]
    methods = list(dict.fromkeys((r["method"], r["task"]) for r in rows))
    cells = {(r["scenario"], r["method"], r["task"]): _cell(r) for r in rows}
    scenarios = list(dict.fromkeys(r["scenario"] for r in rows))
    return _header(metric.upper(), methods), [[name, *(cells[(name, *m)] for m in methods)] for name in scenarios]


def means_grid(table: pa.Table) -> tuple[list[str], list[list[str]]]:
    """The mean over scenarios of every metric: a row a metric, a column a method."""
    rows = [r for r in table.to_pylist() if r["scenario"] == "mean"]
    methods = list(dict.fromkeys((r["method"], r["task"]) for r in rows))
    cells = {(r["metric"], r["method"], r["task"]): _cell(r) for r in rows}
    metrics = list(dict.fromkeys(r["metric"] for r in rows))
    return _header("mean of", methods), [[metric, *(cells.get((metric, *m), "") for m in methods)] for metric in metrics]


def _header(first: str, methods: list[tuple[str, str]]) -> list[str]:
    return [first, *(f"{method} {task}" for method, task in methods)]


def _cell(row: dict[str, Any]) -> str:
    return f"{row['value']:.3f}" + (f" ±{row['std']:.3f}" if row["std"] else "")


def as_markdown(table: pa.Table) -> str:
    """AUC and KS as Markdown tables."""
    lines = []
    for header, rows in (as_grid(table, "auc"), as_grid(table, "ks")):
        lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *("| " + " | ".join(r) + " |" for r in rows), ""]
    return "\n".join(lines)
