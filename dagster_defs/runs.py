"""Which runs a command asks for: a whole cutoff, days, a publication, an audience; what is missing or stale, ranges as single runs.

What belongs here: full runs for a cutoff, backfills of days, what a person asks of one asset or job. What does not: what an asset
does (`assets/`), what is stale (`staleness`), how a run is executed (`execution`).
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster_defs import beside, jobs, locks, service, staleness
from dagster_defs.assets.evaluate import MOST_SCENARIOS, QUICK
from dagster_defs.execution import Executor, executor
from dagster_defs.forced import Forced
from dagster_defs.graph import AUDIENCE, AUDIENCES, CUTOFF, DAILY, DAYS, HISTORY, NONE, AssetGraph, ranges
from dagster_defs.service import ServiceChange
from found_platform import home, lake
from found_platform.audiences import specification
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import growth, staging


@dataclass(frozen=True)
class Step:
    """What became of one asset: keys made in this run, keys that were up to date, rows written, seconds."""

    asset: str
    materialized: int
    up_to_date: int
    rows: int | None
    seconds: float


def keys_of(graph: AssetGraph, asset: str, cutoff: dt.date) -> list[str]:
    """The keys a full run of a cutoff has: every day, the cutoff, and drift for the last day before it.

    No audience is among them: they are refreshed when a person or the schedule asks.
    """
    kind = graph.table[asset].partitions
    if asset == "feature_drift":
        return [str(cutoff - dt.timedelta(days=1))]
    return {DAILY: graph.keys(asset) if kind == DAILY else [], CUTOFF: [str(cutoff)], AUDIENCE: [], NONE: [""]}[kind]


def in_a_full_run(settings: Settings, asset: str) -> dict[str, Any]:
    """Configuration of an asset in a full run: who waits for one wants to see that it works.

    The whole table of the benchmark is asked for by itself.
    """
    if asset != "benchmark_results":
        return {}
    return {QUICK: True, MOST_SCENARIOS: settings.sizes.benchmark_scenarios or 0}


NOT_IN_A_FULL_RUN = ("benchmark_report",)
"""What `found benchmark run` makes beside the table: pages that nobody waits for."""


def run(
    settings: Settings, cutoff: dt.date, *, force: bool = False, prepare: Callable[[], None] = lambda: None
) -> Iterator[Step | str]:
    """Materialises the graph for a cutoff. Yields an asset's name when it starts and its Step when it is done.

    A partition whose newest materialisation has the fingerprint it would get again is skipped, unless `force`. `prepare` is called
    once, before the first asset that has something to do. Raises BadInput or JobFailed; what was done before stays, and the next
    call goes on from there: with or without `force`, it redoes what a killed call with `force` had still to redo.
    """
    prepared = False
    _check_engine(settings)
    with beside.a_run(settings), executor(settings) as runner:
        forced = Forced(settings, f"demo {cutoff}", force=force)
        for asset in runner.graph.table:
            if asset == "raw_events":  # the scan may have found days that were not there before
                runner.graph = AssetGraph(settings)
            keys = keys_of(runner.graph, asset, cutoff)
            if not keys or asset in NOT_IN_A_FULL_RUN:
                continue
            yield asset
            stale = _to_do(runner, asset, keys, forced)
            if stale and not prepared:
                prepare()
                prepared = True
            timer = lake.Timer()
            if stale and asset == "behavior_encoder":
                beside.encoder(runner, cutoff, forced)
            counts = []
            for part in ranges(stale):
                counts.append(_materialize(runner, asset, part, in_a_full_run(settings, asset)))
                forced.redone(asset, part)
            rows = [n for n in counts if n is not None]
            if rows and asset == "user_tabular":
                for key in keys_of(runner.graph, "feature_drift", cutoff):
                    beside.look_at_drift(runner, key, forced, sum(rows))
            if rows and asset == "user_embeddings":
                beside.fits(runner, cutoff, forced, in_a_full_run(settings, "benchmark_results"), sum(rows))
            yield Step(asset, len(stale), len(keys) - len(stale), sum(rows) if rows else None, timer.seconds)
        forced.finish()


def _check_engine(settings: Settings) -> None:
    """Raises BadInput where what computes the features does not answer, or computes other rows than DuckDB."""
    from found_platform import engine  # it brings Ibis: a promotion or a refresh does not need it

    engine.check(settings)


BACKFILLED = DAYS
"""The daily assets of a backfill, in the order in which they run."""


@dataclass(frozen=True)
class Filled:
    """One run of a backfill: an asset, the keys it made (of `total` in this backfill), the rows it wrote and its seconds.

    The first one of each asset comes before its runs, without keys.
    """

    asset: str
    keys: list[str]
    total: int
    up_to_date: int
    rows: int
    seconds: float


def backfill(
    settings: Settings,
    first: dt.date,
    last: dt.date,
    *,
    assets: Sequence[str] = BACKFILLED,
    each_day: bool = False,
    force: bool = False,
    removed: growth.Removed | None = None,
    planned: Callable[[dict[str, tuple[int, int]]], None] = lambda _: None,
) -> Iterator[Filled]:
    """Materialises the days `first` to `last`, both included, of these daily assets: those that are missing or stale, or all.

    A source that has changed is scanned first. Days that the home does not have then are left out, see `days_of`. Days go into runs
    of consecutive ones, or a run each with `each_day`: the rows are the same. `removed` says what is done with rows that the source
    no longer holds. `planned` is told before the first of them how many days of each asset are to be made, in how many runs: a day
    that one asset makes counts for those after it too, which read it, and may turn out to be as it was. Raises BadInput where the
    home has none of the days, or its source has shrunk and nobody says what to do, and JobFailed; what was done before stays, and
    the same call goes on from there.
    """
    _check_engine(settings)
    with executor(settings) as runner:
        staging.renew(settings, removed)
        forced = Forced(settings, f"backfill {first} {last} {' '.join(assets)}", force=force)
        for asset in ("quarantine", "raw_profile"):
            runner.graph = AssetGraph(settings)
            if _stale(runner, asset, [""]):
                _materialize(runner, asset, [""])
        runner.graph = AssetGraph(settings)
        days = days_of(settings, first, last)

        def in_runs(keys: list[str]) -> list[list[str]]:
            if each_day:
                return [[key] for key in keys]
            return [r[i : i + jobs.RUN_DAYS] for r in ranges(keys) for i in range(0, len(r), jobs.RUN_DAYS)]

        materialised: set[str] = set()
        plan: dict[str, tuple[int, int]] = {}
        for asset in assets:
            materialised |= {*staleness.stale(runner.graph, runner.instance, asset, days), *forced.pending(asset, days)}
            plan[asset] = len(materialised), len(in_runs(sorted(materialised)))
        planned(plan)
        for asset in assets:
            stale = _to_do(runner, asset, days, forced)
            runs = in_runs(stale)
            yield Filled(asset, [], len(stale), len(days) - len(stale), 0, 0.0)
            for keys in runs:
                timer = lake.Timer()
                rows = _materialize(runner, asset, keys)
                forced.redone(asset, keys)
                yield Filled(asset, keys, len(stale), len(days) - len(stale), rows or 0, timer.seconds)
        if _stale(runner, HISTORY, [""]):
            _materialize(runner, HISTORY, [""])
        forced.finish()


def days_of(settings: Settings, first: dt.date, last: dt.date) -> list[str]:
    """The days of a home from `first` to `last`, both included. Raises BadInput where it has none of them."""
    own = AssetGraph(settings).keys("raw_events")
    days = [k for k in own if str(first) <= k <= str(last)]
    if not days:
        raise BadInput(f"There are no days from {first} to {last} in this home: its source goes from {own[0]} to {own[-1]}.")
    return days


def publish(settings: Settings, cutoff: dt.date) -> None:
    """Publishes a cutoff's users anew: the index in any case; their states, the promotion and the prompts where they are stale."""
    key = str(cutoff)
    with executor(settings) as runner:
        for asset in ("user_embeddings", "promotion", "user_index", "tuned_prompts"):
            if asset == "user_index" or _stale(runner, asset, [key]):
                _materialize(runner, asset, [key])


def promote(settings: Settings, version: str | None = None) -> ServiceChange:
    """Makes a version, by default the candidate, the champion, and publishes its users. Raises BadInput or JobFailed."""
    with executor(settings) as runner:
        return ServiceChange.from_metadata(runner.job(service.PROMOTE, {"version": version}).metadata())


def rollback(settings: Settings) -> ServiceChange:
    """Makes the version before it the champion again, with its index. Raises BadInput or JobFailed."""
    with executor(settings) as runner:
        return ServiceChange.from_metadata(runner.job(service.ROLLBACK, {}).metadata())


def rollback_index(settings: Settings) -> ServiceChange:
    """Makes the index before it answer look-ups again; the champion stays. Raises BadInput or JobFailed."""
    with executor(settings) as runner:
        return ServiceChange.from_metadata(runner.job(service.ROLLBACK_INDEX, {}).metadata())


def refresh(settings: Settings, audience: str) -> None:
    """Finds the members of a saved audience anew. Raises BadInput or JobFailed; its last members stay then."""
    specification.newest(settings, audience)
    with executor(settings) as runner:
        with home.lock(settings.home, AUDIENCES):  # Dagster looks whether a partition is there, and then adds it
            runner.instance.add_dynamic_partitions(AUDIENCES, [audience])
        _materialize(runner, "audience_members", [audience])


def forget(settings: Settings, audience: str) -> None:
    """Removes a saved audience, its members and its partition. Raises BadInput while another audience leaves it out."""
    specification.newest(settings, audience)
    with executor(settings) as runner:
        runner.job(service.FORGET, {"audience": audience})


def materialize(settings: Settings, asset: str, key: str, config: Mapping[str, Any] | None = None) -> None:
    """Materialises one partition of one asset, whatever is there already."""
    days = AssetGraph(settings).keys(asset)
    if key not in days:
        raise BadInput(f"There is no {key} in this home: days go from {days[0]} to {days[-1]}.")
    with executor(settings) as runner:
        _materialize(runner, asset, [key], config)


def _to_do(runner: Executor, asset: str, keys: list[str], forced: Forced) -> list[str]:
    """The keys that are missing, stale or forced, in their order."""
    chosen = {*_stale(runner, asset, keys), *forced.pending(asset, keys)}
    return [key for key in keys if key in chosen]


def _stale(runner: Executor, asset: str, keys: list[str]) -> list[str]:
    """Of these keys those that are missing or stale. Where another process is making some of them, it waits and looks again."""
    stale = staleness.stale(runner.graph, runner.instance, asset, keys)
    if not stale:
        return stale
    with locks.hold(runner.graph.settings, locks.names(runner.graph, asset, stale)) as waited:
        return staleness.stale(runner.graph, runner.instance, asset, keys) if waited else stale


def _materialize(runner: Executor, asset: str, keys: list[str], config: Mapping[str, Any] | None = None) -> int | None:
    """One run over consecutive keys. Returns the rows it says it wrote."""
    metadata = runner.materialize(asset, keys, config).metadata()
    counts = [int(metadata[name].value) for name in ("rows_written", "dagster/row_count") if name in metadata]
    return counts[0] if counts else None
