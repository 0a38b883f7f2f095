"""The benchmark over time: every cutoff that was judged, and whether a method's figures moved since the one before.

What belongs here: rows of several cutoffs of one home. What does not: one cutoff, which is `report`.
"""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from found_platform import lake, reports
from found_platform.evaluation import figure
from found_platform.evaluation.bootstrap import MEAN
from found_platform.evaluation.run import TABLE
from found_platform.settings import Settings

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

METRIC = "auc"
Method = tuple[str, str]
"""A task and a method's name."""


def rows(settings: Settings, dataset: str) -> dict[dt.date, dict[Method, dict[str, float]]]:
    """By cutoff and method, the AUC of each scenario, of all cutoffs that were judged on the same data."""
    columns = ["cutoff", "dataset", "task", "method", "scenario", "metric", "value"]
    by_cutoff: dict[dt.date, dict[Method, dict[str, float]]] = {}
    for row in lake.read(settings.lake, TABLE, columns=columns).to_pylist():
        if row["metric"] == METRIC and row["scenario"] != MEAN and row["dataset"] == dataset:
            of_cutoff = by_cutoff.setdefault(row["cutoff"], {})
            of_cutoff.setdefault((row["task"], row["method"]), {})[row["scenario"]] = row["value"]
    return dict(sorted(by_cutoff.items()))


def picture(by_cutoff: dict[dt.date, dict[Method, dict[str, float]]], methods: dict[Method, str]) -> bytes:
    """PNG: the AUC of some methods (colours by method) over cutoffs, mean of the scenarios that every cutoff has.

    Empty where there is one cutoff, or no scenario that all have.
    """
    shared = set.intersection(*({s for of in methods_of.values() for s in of} for methods_of in by_cutoff.values()))
    if len(by_cutoff) < 2 or not shared:
        return b""
    plot, (axes,) = figure.grid(1, columns=1, width=7.5, height=3.6)
    days = list(by_cutoff)
    ends = []
    for (task, method), color in methods.items():
        answers = {day: by_cutoff[day].get((task, method), {}) for day in days}
        points = [(day, float(np.mean([of[s] for s in shared]))) for day, of in answers.items() if shared <= of.keys()]
        if points:
            name = f"{method} (probe)" if task == "linear_probe" else method
            axes.plot([days.index(day) for day, _ in points], [value for _, value in points], "o-", color=color, markersize=4)
            ends.append((points[-1][1], name, color))
    axes.set_xticks(range(len(days)), [str(day) for day in days], fontsize=8)
    axes.set_ylabel(f"AUC, mean of {len(shared)} scenarios", fontsize=9)
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    figure.end_labels(axes, ends)
    return figure.png(plot)


def drift(by_cutoff: dict[dt.date, dict[Method, dict[str, float]]], cutoff: dt.date, path: Path, home: Path) -> dt.date | None:
    """Writes Evidently's drift report of the methods' AUCs, a row a scenario, against the cutoff before; also into the workspace
    of the home.

    Returns that cutoff; None, and no page, where there is none or too little that both have.
    """
    earlier = [day for day in by_cutoff if day < cutoff]
    if cutoff not in by_cutoff or not earlier:
        return None
    before, now = by_cutoff[earlier[-1]], by_cutoff[cutoff]
    columns: dict[str, tuple[list[float], list[float]]] = {}
    scenarios = sorted(set.intersection(*({s for of in each.values() for s in of} for each in (before, now))))
    for task, method in now:
        both = [each.get((task, method), {}) for each in (before, now)]
        if len(scenarios) > 1 and all(of.keys() >= set(scenarios) for of in both):
            old, new = ([of[scenario] for scenario in scenarios] for of in both)
            columns[f"{method} ({task})"] = (old, new)
    if not columns:
        return None
    reference, current = ({name: column[side] for name, column in columns.items()} for side in (0, 1))
    snapshot = _evidently(reference, current, cutoff)
    snapshot.save_html(str(path))
    reports.keep(home, reports.BENCHMARK, f"{cutoff} over time", snapshot)
    return earlier[-1]


def _evidently(reference: dict[str, list[float]], current: dict[str, list[float]], cutoff: dt.date) -> "Snapshot":
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(current))
    sides: list[Any] = [Dataset.from_pandas(pd.DataFrame(side), data_definition=definition) for side in (current, reference)]
    return Report([DataDriftPreset()]).run(*sides, timestamp=reports.stamp(cutoff))
