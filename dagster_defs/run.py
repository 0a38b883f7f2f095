"""Runs the graph in this process, on the home's instance: asset by asset, what is missing or stale, ranges as single runs.

What belongs here: full runs for a cutoff, backfills of days, and what is there and stale. What does not: what an asset does.
"""

import contextlib
import datetime as dt
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import dagster as dg
from filelock import FileLock, Timeout

from dagster_defs.definitions import build_assets
from dagster_defs.house import AUDIENCE, AUDIENCES, CUTOFF, DAILY, NONE, House
from found_platform import index, lake, registry
from found_platform.audiences import membership, specification
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.training_data import export


@dataclass(frozen=True)
class Step:
    """What became of one asset: keys made in this run, keys that were up to date, rows written, seconds."""

    asset: str
    made: int
    up_to_date: int
    rows: int | None
    seconds: float


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of a home, made at the first call; the UI opens on the same one."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    target = settings.dagster_home / "dagster.yaml"
    if not target.exists():
        with resources.as_file(resources.files("dagster_defs") / "dagster.yaml") as source:
            shutil.copyfile(source, target)
    return dg.DagsterInstance.from_config(str(settings.dagster_home))


IN_PROCESS = {"found/in_process": "true"}
"""Tag of the runs that `found` executes itself, one process a home at a time."""


@contextlib.contextmanager
def session(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The home's instance, for the one process that may run in it. Raises JobFailed while another does.

    A killed process leaves its runs started and its pool slots taken, and the next run would wait for those for ever. The lock is
    the system's, so it ends with the process: whoever holds it knows that such runs are dead.
    """
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.dagster_home / "found.lock", timeout=0), open_instance(settings) as instance:
            for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags=IN_PROCESS)):
                instance.report_run_canceled(run, message="The process that executed this run was killed.")
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            yield instance
    except Timeout:
        raise JobFailed(f"Another `found` command is at work in {settings.home}: wait for it, or choose another --home.") from None


UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def wanted_keys(house: House, asset: str, cutoff: dt.date) -> list[str]:
    """The keys a full run of a cutoff has: every day, the cutoff, and drift for the last day before it.

    No audience is among them: they are refreshed when a person or the schedule asks.
    """
    kind = house.graph[asset][0]
    if asset == "feature_drift":
        return [str(cutoff - dt.timedelta(days=1))]
    return {DAILY: house.keys(asset) if kind == DAILY else [], CUTOFF: [str(cutoff)], AUDIENCE: [], NONE: [""]}[kind]


def run(
    settings: Settings, cutoff: dt.date, *, force: bool = False, prepare: Callable[[], None] = lambda: None
) -> Iterator[Step | str]:
    """Materialises the whole graph for a cutoff. Yields an asset's name when it starts and its Step when it is done.

    A partition whose newest materialisation has the fingerprint it would get again is skipped, unless `force`. `prepare` is called
    once, before the first asset that has something to do. Raises BadInput or JobFailed; what was done before stays, and the next
    call goes on from there.
    """
    prepared = False
    house = House(settings)
    with session(settings) as instance:
        for asset in house.graph:
            keys = wanted_keys(house, asset, cutoff)
            if not keys:
                continue
            yield asset
            stale = keys if force else _stale(house, instance, asset, keys)
            if stale and not prepared:
                prepare()
                prepared = True
            start = time.perf_counter()
            rows = [_materialize(house, instance, asset, part) for part in _ranges(stale)]
            known = [r for r in rows if r is not None]
            yield Step(
                asset, len(stale), len(keys) - len(stale), sum(known) if known else None, round(time.perf_counter() - start, 2)
            )


RUN_DAYS = 30
"""Days of a run in a backfill: progress shows after each, and a killed backfill loses at most one."""

BACKFILLED = ("raw_events", "behavior_text", "behavior_sequence", "search_text", "user_tabular")
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
) -> Iterator[Filled]:
    """Materialises the days `first` to `last`, both included, of these daily assets: those that are missing or stale, or all.

    A source that has changed is scanned first. Days go into runs of consecutive ones, or a run each with `each_day`: the rows are
    the same. Raises BadInput for days outside the source and JobFailed; what was done before stays, and the same call goes on from
    there.
    """
    house = House(settings)
    days = [k for k in house.keys("raw_events") if str(first) <= k <= str(last)]
    if not days or days[0] != str(first) or days[-1] != str(last):
        known = house.keys("raw_events")
        raise BadInput(f"There are no days from {first} to {last} in this home: its source goes from {known[0]} to {known[-1]}.")
    with session(settings) as instance:
        for asset in ("quarantine", "raw_profile"):
            if _stale(house, instance, asset, [""]):
                _materialize(house, instance, asset, [""])
        for asset in assets:
            stale = days if force else [k for k in _stale(house, instance, asset, house.keys(asset)) if k in set(days)]
            runs = (
                [[k] for k in stale]
                if each_day
                else [r[i : i + RUN_DAYS] for r in _ranges(stale) for i in range(0, len(r), RUN_DAYS)]
            )
            yield Filled(asset, [], len(stale), len(days) - len(stale), 0, 0.0)
            for keys in runs:
                timer = lake.Timer()
                rows = _materialize(house, instance, asset, keys)
                yield Filled(asset, keys, len(stale), len(days) - len(stale), rows or 0, timer.seconds)


@dataclass(frozen=True)
class State:
    """What is there of an asset: keys it could have, keys made, and of those the ones that would come out of other inputs now."""

    asset: str
    kind: str
    possible: int
    made: list[str]
    stale: list[str]


def states(settings: Settings) -> list[State]:
    """The state of every asset, in the order of the graph. An upstream that has to be redone first may make more of it stale."""
    house = House(settings)
    found = []
    with open_instance(settings) as instance:
        for asset, (kind, _) in house.graph.items():
            there = house.records(instance, asset)
            keys = house.keys(asset) or ([""] if kind == NONE else [])
            made = [k for k in keys if k in there]
            now = house.fingerprints(instance, asset, [k for k in made if k]) if made else {}
            stale = [k for k in made if there[k].get("fingerprint") != now[k]]
            found.append(State(asset, kind, len(keys), made, stale))
    return found


def publish(settings: Settings, cutoff: dt.date) -> None:
    """Publishes a cutoff's users anew: the index in any case; their states, the promotion and the prompts where they are stale."""
    house = House(settings)
    key = str(cutoff)
    with session(settings) as instance:
        for asset in ("user_embeddings", "promotion", "user_index", "tuned_prompts"):
            if asset == "user_index" or _stale(house, instance, asset, [key]):
                _materialize(house, instance, asset, [key])


def refresh(settings: Settings, audience: str) -> None:
    """Finds the members of a saved audience anew. Raises BadInput or JobFailed; its last members stay then."""
    specification.newest(settings, audience)
    house = House(settings)
    with session(settings) as instance:
        instance.add_dynamic_partitions(AUDIENCES, [audience])
        _materialize(house, instance, "audience_members", [audience])


def forget(settings: Settings, audience: str) -> None:
    """Removes a saved audience, its members and its partition. Raises BadInput while another audience leaves it out."""
    with session(settings) as instance:
        membership.forget(settings, audience)
        instance.delete_dynamic_partition(AUDIENCES, audience)


def materialize(settings: Settings, asset: str, key: str) -> None:
    """Materialises one partition of one asset, whatever is there already."""
    house = House(settings)
    if key not in house.keys(asset):
        days = house.keys(asset)
        raise BadInput(f"There is no {key} in this home: days go from {days[0]} to {days[-1]}.")
    with session(settings) as instance:
        _materialize(house, instance, asset, [key])


def _stale(house: House, instance: dg.DagsterInstance, asset: str, keys: list[str]) -> list[str]:
    if keys and not _is_there(house.settings, asset, keys[-1]):
        return keys
    wanted = house.fingerprints(instance, asset, [k for k in keys if k])
    there = house.records(instance, asset)
    return [k for k in keys if there.get(k, {}).get("fingerprint") != wanted[k]]


def _is_there(settings: Settings, asset: str, key: str) -> bool:
    """Whether what the asset's materialisation speaks of still exists, and, where there is but one, is of this key.

    A champion or an index that a person took back is gone on purpose: only something new makes it again.
    """
    if asset in IN_LAKE and not lake.exists(settings.lake, asset):
        return False
    if asset == "quarantine":
        return staging.is_staged(settings)
    if asset in TRAINED:
        folder = export.folder(settings, dt.date.fromisoformat(key))
        if not ((folder / "data").exists() and (folder / TRAINED[asset]).exists()):
            return False
    if asset == "online_features":
        return (settings.home / "feast" / "online.db").exists()
    if asset in ("found_model", "promotion", "user_index"):
        version = registry.serving(settings, key)
        if asset == "promotion":
            return version is not None and (
                registry.version_of(settings, registry.CHAMPION) == version or registry.held(settings, version)
            )
        if asset == "user_index":
            return version is not None and (
                index.is_live(settings, version, key) or index.withdrawn(settings, version, key) or registry.held(settings, version)
            )
        return version is not None
    return True


TRAINED = {"user_text_pairs": "", "behavior_encoder": "behavior", "tabular_encoder": "", "found_model": "align"}
"""Assets with files under `HOME/training/CUTOFF`: a stage's folder, or none (a source without a profile trains no table)."""

IN_LAKE = frozenset(
    {
        "quarantine",
        "raw_events",
        "raw_profile",
        "behavior_text",
        "behavior_sequence",
        "search_text",
        "user_tabular",
        "training_set",
        "text_vectors",
        "user_embeddings",
        "benchmark_results",
    }
)
"""Assets that are a lake table of the same name."""


def _ranges(keys: list[str]) -> list[list[str]]:
    """Groups keys into runs of consecutive days."""
    groups: list[list[str]] = []
    for key in keys:
        last = groups[-1][-1] if groups else None
        if last and key and dt.date.fromisoformat(key) - dt.date.fromisoformat(last) == dt.timedelta(days=1):
            groups[-1].append(key)
        else:
            groups.append([key])
    return groups


def _materialize(house: House, instance: dg.DagsterInstance, asset: str, keys: list[str]) -> int | None:
    """One run over consecutive keys. Returns the rows it says it wrote."""
    tags = dict(IN_PROCESS)
    if len(keys) > 1:
        tags |= {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    outcome = dg.materialize(
        build_assets(house),
        selection=[asset],
        partition_key=keys[0] if len(keys) == 1 and keys[0] else None,
        tags=tags,
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    for check in outcome.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            why = str(check.metadata["why"].value)
            raise BadInput(why) if asset == "quarantine" else JobFailed(f"{asset}: the check {check.check_name} failed: {why}.")
    if not outcome.success:
        raise _cause(outcome, asset)
    events = outcome.asset_materializations_for_node(asset)
    metadata = events[0].metadata if events else {}
    for name in ("rows_written", "dagster/row_count"):
        if name in metadata:
            return int(metadata[name].value)  # pyright: ignore[reportArgumentType]
    return None


def _cause(outcome: dg.ExecuteInProcessResult, asset: str) -> BaseException:
    """What went wrong, as the kind of error it was."""
    for event in outcome.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None and error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
                return KeyboardInterrupt()
            if error is not None:
                message = error.message.strip().removeprefix(f"{error.cls_name}: ").split(": ", 1)
                if error.cls_name == "BadInput":
                    return BadInput(message[-1] if message[0].endswith("BadInput") else error.message.strip())
                return JobFailed(f"{asset} failed: {error.message.strip()} (the run's page in the UI has the whole trace)")
    return JobFailed(f"{asset} failed; the run's page in the UI says why")
