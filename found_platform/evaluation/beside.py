"""Fits of a benchmark that begin before it does, in forks: what they need is there as soon as users have their states.

What belongs here: beginning them, and whether they are those of the benchmark that asks. What does not: the fits (`judging`).
"""

import datetime as dt
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from found_platform import lake, registry, threads, workers
from found_platform.evaluation import scenarios
from found_platform.evaluation.extent import Extent
from found_platform.evaluation.judging import Answered, Judge, Unit, fits_apart
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenario import Scenario
from found_platform.settings import Settings

Fits = dict[Unit, list[Answered]]

BEHIND = 5
"""By how much forks that take every core stand back for the process that they work for, which a person waits for (`nice`)."""

_begun: dict[tuple[Path, dt.date, str, str, str], list[Callable[[], tuple[Fits, dict[str, int]]]]] = {}
"""By home, cutoff, version, extent, and what the benchmark is made from."""


def begin(settings: Settings, cutoff: dt.date, version: str, chosen: list[Scenario], extent: Extent, made_of: str) -> None:
    """Has the fits of a benchmark made beside this process, where something forks: `taken` of the same waits for them."""
    if not workers.forks() or not chosen or extent.training_seeds > 1:
        return
    names = [scenario.name for scenario in chosen]
    count = min(len(names), os.cpu_count() or 1) if fits_apart(len(names), extent) else 1
    model = registry.model_folder(settings, version)
    behind = BEHIND if count == os.cpu_count() else 0
    parts = [replace(extent, scenarios=names[place::count]) for place in range(count)]
    _begun[settings.home, cutoff, version, str(extent), made_of] = [
        workers.ahead(of_stored, settings, cutoff, version, model, part, behind) for part in parts
    ]


def taken(
    settings: Settings, cutoff: dt.date, version: str, chosen: Iterable[Scenario], extent: Extent, made_of: str
) -> Callable[[], Fits] | None:
    """Waits for the fits that were begun for this very benchmark, in the order of its scenarios. None where none were begun."""
    parts = _begun.pop((settings.home, cutoff, version, str(extent), made_of), None)
    if parts is None:
        return None
    names = [scenario.name for scenario in chosen]

    def fits() -> Fits:
        answers = [part() for part in parts]
        for _, reads in answers:
            lake.record_reads(reads)
        return merged([answered for answered, _ in answers], names)

    return fits


def let_go(settings: Settings) -> None:
    """Lets go of the fits of a home that nobody has waited for: their forks end once they have nobody to answer."""
    for key in [key for key in _begun if key[0] == settings.home]:
        _begun.pop(key, None)


def merged(parts: list[Fits], names: list[str]) -> Fits:
    """The answers of several parts of the scenarios as those of all of them, in the order of `names`."""
    fits: Fits = {}
    for unit, first in parts[0].items():
        fits[unit] = []
        for place, answered in enumerate(first):
            by_name = {name: answer for part in parts for name, answer in part[unit][place].answers.items()}
            fits[unit].append(replace(answered, answers={name: by_name[name] for name in names if name in by_name}))
    return fits


def of_stored(
    settings: Settings, cutoff: dt.date, version: str, model: Path, extent: Extent, behind: int = 0
) -> tuple[Fits, dict[str, int]]:
    """The fits of some scenarios, of the states in the lake and a model by its folder; and the versions of the tables read."""
    if workers.in_a_fork():
        os.nice(behind)
    with lake.recorded_reads() as reads, threads.one_each():
        tasks, _ = scenarios.load(settings, cutoff)
        population = Population.of_files(settings, version, cutoff, model)
        return Judge(population, tasks, extent).fits(), reads
