"""What a full run begins before its turn, in processes beside this one, while the assets before it are made.

What belongs here: which, and when. What does not: the work, and the asset that waits for it and records it, as it would by itself.
"""

import datetime as dt

from dagster_defs import fingerprints, staleness
from dagster_defs.assets.evaluate import extent_of
from dagster_defs.execution import Executor
from dagster_defs.forced import Forced
from found_platform import registry, workers
from found_platform.evaluation import beside, scenarios
from found_platform.registry import gate
from found_platform.training_runs import stages

MOST_USERS = 50_000
"""The fits of the benchmark begin early for so many users at most: each process that makes some holds everybody's state."""


def encoder(runner: Executor, cutoff: dt.date, forced: Forced) -> None:
    """Has the stage of the profile table train beside that of behaviour: both need the same files, and neither the other."""
    settings = runner.graph.settings
    if _comes(runner, "tabular_encoder", cutoff, forced) and gate.unjudgeable(settings, cutoff) is None:
        stages.begin(settings, cutoff, "tabular")


def fits(runner: Executor, cutoff: dt.date, forced: Forced, config: dict[str, object], users: int) -> None:
    """Has what the benchmark fits made beside publishing, as soon as users have their states."""
    settings, key = runner.graph.settings, str(cutoff)
    if users > MOST_USERS or not _comes(runner, "benchmark_results", cutoff, forced):
        return
    tasks, _ = scenarios.load(settings, cutoff)
    extent = extent_of(config, tasks)
    made_of = fingerprints.of(runner.graph, runner.instance, "benchmark_results", [key])[key]
    beside.begin(settings, cutoff, registry.of_cutoff(settings, key), extent.selection(tasks), extent, made_of)


def _comes(runner: Executor, asset: str, cutoff: dt.date, forced: Forced) -> bool:
    """Whether this run is going to make an asset of the cutoff, in this process, and something forks."""
    if not (runner.here and workers.forks()):
        return False
    keys = [str(cutoff)]
    return bool(forced.pending(asset, keys) or staleness.stale(runner.graph, runner.instance, asset, keys))
