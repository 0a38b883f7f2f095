"""What a full run begins before its turn, in processes beside this one, while the assets before it are made.

What belongs here: which, and when. What does not: the work, and the asset that waits for it and records it, as it would by itself.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator

from dagster_defs import fingerprints, staleness
from dagster_defs.assets.evaluate import extent_of
from dagster_defs.execution import Executor
from dagster_defs.forced import Forced
from found_platform import registry, workers
from found_platform.evaluation import beside, scenarios
from found_platform.monitoring import drift
from found_platform.registry import gate
from found_platform.settings import Settings
from found_platform.training_runs import stages

MOST_USERS = 50_000
"""The fits of the benchmark begin early for so many users at most: each process that makes some holds everybody's state."""

MOST_ROWS = 5_000_000
"""The look at drift begins early for so many rows of features at most: it takes memory beside what is made meanwhile."""


@contextlib.contextmanager
def a_run(settings: Settings) -> Iterator[None]:
    """A full run: what it began and, since it failed, nobody waited for is let go at its end."""
    try:
        yield
    finally:
        beside.let_go(settings)
        drift.let_go(settings)


def encoder(runner: Executor, cutoff: dt.date, forced: Forced) -> None:
    """Has the stage of the profile table train beside that of behaviour: both need the same files, and neither the other."""
    settings = runner.graph.settings
    if _comes(runner, "tabular_encoder", str(cutoff), forced) and gate.unjudgeable(settings, cutoff) is None:
        stages.begin(settings, cutoff, "tabular")


def fits(runner: Executor, cutoff: dt.date, forced: Forced, config: dict[str, object], users: int) -> None:
    """Has what the benchmark fits made beside publishing, as soon as users have their states."""
    settings, key = runner.graph.settings, str(cutoff)
    if users > MOST_USERS or not _comes(runner, "benchmark_results", key, forced):
        return
    tasks, _ = scenarios.load(settings, cutoff)
    extent = extent_of(config, tasks)
    made_of = _made_of(runner, "benchmark_results", key)
    beside.begin(settings, cutoff, registry.of_cutoff(settings, key), extent.selection(tasks), extent, made_of)


def look_at_drift(runner: Executor, key: str, forced: Forced, rows: int) -> None:
    """Has the look at drift, whose library takes long to load, made beside training as soon as its tables are there."""
    if rows <= MOST_ROWS and _comes(runner, "feature_drift", key, forced):
        drift.begin(runner.graph.settings, dt.date.fromisoformat(key), _made_of(runner, "feature_drift", key))


def _made_of(runner: Executor, asset: str, key: str) -> str:
    return fingerprints.of(runner.graph, runner.instance, asset, [key])[key]


def _comes(runner: Executor, asset: str, key: str, forced: Forced) -> bool:
    """Whether this run is going to make an asset, in this process, and something forks."""
    if not (runner.here and workers.forks()):
        return False
    return bool(forced.pending(asset, [key]) or staleness.stale(runner.graph, runner.instance, asset, [key]))
