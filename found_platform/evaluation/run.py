"""Runs the benchmark at a cutoff: every method, task, scenario and metric into one table, stored in the lake."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import lake, row_hash, threads
from found_platform.evaluation import beside, methods, retrained
from found_platform.evaluation.extent import FULL, ORACLE, Extent
from found_platform.evaluation.judging import ZERO_SHOT, Judge
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenarios import RESULTS, Scenario, as_table
from found_platform.evaluation.unfinished import Figures, Unfinished, figures_of
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.sources import config as source_config

TABLE = "benchmark_results"


def run(
    settings: Settings, cutoff: dt.date, version: str, scenarios: list[Scenario], extent: Extent = FULL, made_of: str = ""
) -> tuple[Written, pa.Table]:
    """Evaluates a model version at a cutoff and stores the rows of that cutoff.

    `made_of` names everything that decides the outcome but the extent: a run of the same that was killed is gone on with.
    """
    timer = lake.Timer()
    chosen = extent.selection(scenarios)
    unfinished = Unfinished(settings, cutoff, chosen, f"{made_of} {extent}" if made_of else "")
    if chosen:
        population = Population.stored(settings, version, cutoff)
        if extent.retrains:
            retrained.check(population)
        with threads.one_each():  # thousands of small fits: threads would wait for each other
            judge = Judge(population, scenarios, extent, lambda: retrained.populations(population, extent.training_seeds))
            fits = beside.taken(settings, cutoff, version, chosen, extent, made_of)
            for unit, answered in judge.answers(unfinished.units, fits):
                unfinished.add(unit, answered)
    unfinished.write()
    common = {"cutoff": cutoff, "dataset": source_config.of_home(settings).name, "model_version": version}
    figures = [figures for unit in unfinished.units.values() for figures in unit]
    table = as_table(list(_rows(figures, chosen, common, extent)))
    predicate = f"cutoff = '{cutoff.isoformat()}'"
    written = lake.replace(settings.lake, TABLE, table, schema=RESULTS, partition_by=("cutoff",), predicate=predicate)
    unfinished.finish()
    hashes = row_hash.by_key(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff, drop=["model_version"])
    hashes = hashes or {str(cutoff): (0, "0" * 16)}
    return Written(TABLE, written, table.num_rows, lake.size(settings.lake, TABLE), timer.seconds, {}, hashes), table


def evaluated(
    population: Population, scenarios: list[Scenario], common: dict[str, Any], extent: Extent = FULL
) -> Iterator[dict[str, Any]]:
    """The result rows of a population, kept nowhere. `common` is what every row carries."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    answers = Judge(population, scenarios, extent).answers()
    figures = [figures_of(answered, by_name) for _, unit in answers for answered in unit]
    return _rows(figures, extent.selection(scenarios), common, extent)


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


def _rows(
    all_figures: list[Figures], scenarios: list[Scenario], common: dict[str, Any], extent: Extent
) -> Iterator[dict[str, Any]]:
    """A row for each method, task, scenario and metric, and the means over scenarios."""
    labels = {scenario.name: scenario.labels for scenario in scenarios}
    lifts = _oracle_lifts(all_figures)
    places = {method.name: place for place, method in enumerate(methods.registry())}
    for figures in sorted(all_figures, key=lambda figures: places.get(figures["method"], len(places))):
        method, task = figures["method"], figures["task"]
        if method == ORACLE and not extent.has_oracle:
            continue
        judgements: list[Judged] = []
        for name, answer in figures["scenarios"].items():
            draws, lift = answer["draws"], lifts.get(name, 0.0)
            if lift > 0:
                draws = [draw | {"oracle_share": (draw["auc"] - 0.5) / lift} for draw in draws]
            summary = {metric: _mean_and_spread([draw[metric] for draw in draws]) for metric in draws[0]}
            if answer["reworded"]:
                summary["auc_paraphrases"] = _mean_and_spread(answer["reworded"])
            judged = Judged(summary, len(labels[name]), int(labels[name].sum()), len(draws))
            judgements.append(judged)
            yield from _lines(common, method, task, name, judged)
        for metric in dict.fromkeys(m for j in judgements for m in j.summary):
            yield from _lines(common, method, task, "mean", Judged.mean([j for j in judgements if metric in j.summary], metric))


def _oracle_lifts(all_figures: list[Figures]) -> dict[str, float]:
    """By scenario, how far the oracle's AUC is above chance, where there is one."""
    for figures in all_figures:
        if (figures["method"], figures["task"]) == (ORACLE, ZERO_SHOT):
            return {name: answer["draws"][0]["auc"] - 0.5 for name, answer in figures["scenarios"].items()}
    return {}


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
