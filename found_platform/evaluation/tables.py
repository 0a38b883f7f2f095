"""Looking at the result of a benchmark: as one document, as tables for people, as Markdown."""

from collections import Counter
from typing import Any

import pyarrow as pa

from found_platform.evaluation.bootstrap import Difference


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


def differences_grid(differences: list[Difference]) -> Grid:
    """Methods beside one of them: how far ahead each is, the bounds, and whether it is chance."""
    first = differences[0]
    rows = [[d.method, f"{d.difference:+.3f}", f"{d.low:+.3f}", f"{d.high:+.3f}", d.verdict] for d in differences]
    return [f"AUC, {TITLES[first.task]}", f"to {first.other}", "from", "to", "verdict"], rows


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
