"""The pulse of a home's Dagster instance: heartbeats, ticks, failed runs and checks, partitions that are missing or stale.

What belongs here: reading what Dagster knows, as findings and figures; open-source Dagster tells nobody of any of it. What becomes
of a finding is the application layer's.
"""

import datetime as dt
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._utils.error import SerializableErrorInfo

from dagster_defs import staleness
from dagster_defs.automation import files
from dagster_defs.checks import CHECKS
from dagster_defs.execution import RunOutcome
from dagster_defs.graph import DAILY, AssetGraph
from dagster_defs.queueing import ALIVE_SECONDS, UNFINISHED
from dagster_defs.runs import BACKFILLED
from found_platform import home
from found_platform.errors import BadInput, JobFailed
from found_platform.monitoring.figures import NOT_JUDGED
from found_platform.monitoring.finding import Finding
from found_platform.sources import config, staging

RUNNING = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}

NEWEST = 10
"""Failed ticks of an instigator that are looked at: a watch looks twice a minute."""

EVALUATIONS = 200
"""Evaluations of a check that are looked at: the newest of each of many audiences is among them."""

REFRESH = "audience_members"

GRACE_SECONDS = 600.0
"""Without a run, after which a day that is not made counts as left out: between two runs of a day automation looks again."""


@dataclass(frozen=True)
class Pulse:
    """An instance at a moment (POSIX seconds): what the findings and figures are read from."""

    graph: AssetGraph
    instance: dg.DagsterInstance
    now: float
    since: float

    @property
    def option(self) -> str:
        return home.option(self.graph.settings.home)


def of(graph: AssetGraph, instance: dg.DagsterInstance, recent: float, now: float | None = None) -> Pulse:
    """The pulse now; events of the last `recent` seconds count."""
    now = time.time() if now is None else now
    return Pulse(graph, instance, now, now - recent)


def heartbeats(pulse: Pulse) -> dict[str, float]:
    """Seconds since each daemon's last sign of life; nothing where none ever ran."""
    return {name: pulse.now - beat.timestamp for name, beat in pulse.instance.get_daemon_heartbeats().items()}


def instigators(pulse: Pulse) -> list[InstigatorState]:
    """Schedules and sensors that are switched on."""
    return list(pulse.instance.all_instigator_state(instigator_statuses=RUNNING))


def ticks(pulse: Pulse) -> dict[str, float]:
    """Seconds since the newest tick of each schedule and sensor that is on."""
    ages = {}
    for state in instigators(pulse):
        newest = pulse.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if newest:
            ages[state.instigator_name] = pulse.now - newest[0].timestamp
    return ages


def lag(pulse: Pulse) -> dict[str, int]:
    """By daily asset, how many days of the home are not made, of the days up to the newest of the source."""
    lags = {}
    for asset in BACKFILLED:
        keys = pulse.graph.keys(asset) if pulse.graph.table[asset].partitions == DAILY else []
        lags[asset] = len(set(keys) - pulse.instance.get_materialized_partitions(dg.AssetKey(asset)))
    return lags


def unfinished(pulse: Pulse) -> dict[str, int]:
    """How many runs wait in the queue, and how many work."""
    states = {"queued": [dg.DagsterRunStatus.QUEUED], "working": UNFINISHED}
    return {name: pulse.instance.get_runs_count(dg.RunsFilter(statuses=statuses)) for name, statuses in states.items()}


def waits(pulse: Pulse) -> list[str]:
    """What waits for a daemon: schedules and sensors that are on, and queued runs."""
    queued = pulse.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    names = [state.instigator_name for state in instigators(pulse)]
    return names + ([f"{queued:,} queued runs" if queued > 1 else "a queued run"] if queued else [])


def daemon(pulse: Pulse) -> Iterator[Finding]:
    """A daemon that gives no sign of life while something waits for it: in the UI it looks healthy for minutes."""
    ages, waiting = heartbeats(pulse), waits(pulse)
    if not waiting or not ages or min(ages.values()) < ALIVE_SECONDS:
        return
    at = dt.datetime.fromtimestamp(pulse.now - min(ages.values()), dt.UTC)
    problem = f"the daemon has given no sign of life since {at:%Y-%m-%d %H:%M} UTC, and {', '.join(waiting[:3])} wait for it"
    yield Finding("daemon", problem, f"start it again: `found serve --all{pulse.option}`", key=f"daemon {at:%Y-%m-%d %H:%M:%S}")


def failed_ticks(pulse: Pulse) -> Iterator[Finding]:
    """Ticks of schedules and sensors that failed."""
    for state in instigators(pulse):
        recent = pulse.instance.get_ticks(
            state.instigator_origin_id, state.selector_id, after=pulse.since, limit=NEWEST, statuses=[TickStatus.FAILURE]
        )
        for tick in recent:
            lines = (tick.error.message if tick.error else "no reason was given").strip().splitlines()
            problem = (
                f"a tick of {state.instigator_name} failed at {_at(tick.timestamp)}: {lines[-1].partition(': ')[2] or lines[-1]}"
            )
            fix = f"its page under *Automation* has the whole trace; it is tried again at its next time{_shown(pulse)}"
            yield Finding("ticks", problem, fix, key=f"tick {state.instigator_name} {tick.timestamp:.0f}")


def overdue_ticks(pulse: Pulse) -> Iterator[Finding]:
    """Sensors that are on and have not ticked for long while the daemon lives: a code location that does not load looks healthy."""
    alive = min(heartbeats(pulse).values(), default=ALIVE_SECONDS) < ALIVE_SECONDS
    sensors = {state.instigator_name for state in instigators(pulse) if state.instigator_type == InstigatorType.SENSOR}
    for name, age in ticks(pulse).items():
        if alive and name in sensors and age > OVERDUE_SECONDS:
            problem = f"{name} is on, and was last looked at by the daemon {age / 60:,.0f} minutes ago"
            fix = f"the page *Deployment* says whether the code location is loaded; *Reload* there loads it again{_shown(pulse)}"
            yield Finding("overdue ticks", problem, fix)


OVERDUE_SECONDS = 1800.0
"""Three times what the slowest sensor waits between two ticks."""


def _why(error: SerializableErrorInfo | None) -> str:
    """The first cause of an error, without the name of its class."""
    while error is not None and error.cause is not None:
        error = error.cause
    line = error.message.strip().splitlines()[-1] if error else "no reason was given"
    return line.removeprefix(f"{error.cls_name}: ").rpartition("Error: ")[2].rstrip(".") if error else line


def _shown(pulse: Pulse) -> str:
    return f" (`found serve --all{pulse.option}`)" if pulse.option else ""


def _at(moment: float) -> str:
    return f"{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d %H:%M} UTC"


def failed_runs(pulse: Pulse) -> Iterator[Finding]:
    """Runs that failed, that no later one made good and that Dagster does not start again by itself; a refresh of an audience by
    its name."""
    since = dt.datetime.fromtimestamp(pulse.since, dt.UTC)
    for record in pulse.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)):
        run, end = record.dagster_run, record.end_time or record.update_timestamp.timestamp()
        if _starts_again(run, pulse.now - end):
            continue
        events = [entry.dagster_event for entry in pulse.instance.all_logs(run.run_id) if entry.dagster_event]
        assets = [key for event in events if event.is_asset_materialization_planned and (key := event.asset_key)]
        partition = run.tags.get("dagster/partition", "")
        if not _is_made_good(pulse, run, assets[:1], partition, end):
            yield _failed(pulse, run, assets[0].to_user_string() if assets else run.job_name, partition, events)


def _starts_again(run: dg.DagsterRun, age: float) -> bool:
    """Whether Dagster has started a killed run again, which tells of itself if it fails, or is about to, `age` seconds after."""
    return AUTO_RETRY_RUN_ID_TAG in run.tags or (run.tags.get(WILL_RETRY_TAG) == "true" and age < RETRY_SECONDS)


RETRY_SECONDS = 60.0
"""Until a daemon that is alive has started a killed run again."""


def _is_made_good(pulse: Pulse, run: dg.DagsterRun, assets: list[dg.AssetKey], partition: str, end: float) -> bool:
    """Whether the same asset was made, or the same job succeeded, after a run had failed."""
    for key in assets:
        filters = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None, after_timestamp=end)
        return bool(pulse.instance.fetch_materializations(filters, limit=1).records)
    after = dt.datetime.fromtimestamp(end, dt.UTC)
    succeeded = dg.RunsFilter(job_name=run.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=after)
    return pulse.instance.get_runs_count(succeeded) > 0


def _failed(pulse: Pulse, run: dg.DagsterRun, name: str, partition: str, events: list[dg.DagsterEvent]) -> Finding:
    why = "its page in the UI says why"
    try:
        RunOutcome(name, False, events).raise_for_failure()
    except (BadInput, JobFailed) as error:
        why = str(error).rstrip(".")
    except KeyboardInterrupt:
        why = "it was stopped"
    refreshes = name == REFRESH
    what = f"the refresh of the audience {partition}" if refreshes else f"the run of {name}{_of(partition)}"
    again = f"`found audience refresh {partition}{pulse.option}`" if refreshes else f"`found status{pulse.option}` says what to run"
    return Finding("refresh" if refreshes else "runs", f"{what} failed: {why}", again, key=f"run {run.run_id}")


def _of(partition: str) -> str:
    return f" of {partition}" if partition else ""


def failed_checks(pulse: Pulse) -> Iterator[Finding]:
    """Checks that did not pass, each at its newest evaluation of a partition: Dagster shows them, and says nothing.

    The key is of a state, for an audience is found anew every hour: one that still fails for the same reason is told once. So is
    what is not judged, of whatever day: the source of a young home has another age every day.
    """
    for asset, checks in CHECKS.items():
        for name, check in checks.items():
            key = dg.AssetCheckKey(dg.AssetKey(asset), name)
            records = pulse.instance.event_log_storage.get_asset_check_execution_history(key, limit=EVALUATIONS)
            judged, unjudged = set[str](), set[tuple[str, str]]()
            for record in records:
                if record.create_timestamp < pulse.since:
                    break  # the newest come first
                if record.event is None:
                    continue
                evaluation = record.event.dagster_event and record.event.dagster_event.event_specific_data
                run = pulse.instance.get_run_by_id(record.run_id)
                partition = run.tags.get("dagster/partition", "") if run else ""
                if partition in judged or record.status == AssetCheckExecutionRecordStatus.PLANNED:
                    continue
                judged.add(partition)
                if record.status == AssetCheckExecutionRecordStatus.FAILED:
                    metadata = getattr(evaluation, "metadata", {})
                    why = str(metadata["why"].value).rstrip(".") if "why" in metadata else check.description.rstrip(".")
                    problem = f"the check {name} of {asset}{_of(partition)} did not pass: {why}"
                    if why.startswith(NOT_JUDGED):
                        partition, why = (re.sub(r"\d+", "#", words) for words in (partition, why))
                        if (partition, why) in unjudged:
                            continue
                        unjudged.add((partition, why))
                    yield Finding("checks", problem, FIXES.get(name, NEXT), key=f"check:{asset}:{name}:{partition}:{_digest(why)}")


def _digest(why: str) -> str:
    return hashlib.sha256(why.encode()).hexdigest()[:12]


NEXT = "read what docs/operations.md says of this check"
FIXES = {
    "size_is_steady": "look at it (`found audience show NAME`) before it is exported or delivered",
    "predictions_are_steady": "its page has both refreshes; docs/operations.md, *A drift alarm*, says what that means",
    "vectors_are_steady": "read docs/operations.md, *A drift alarm*, which says what that means",
    "no_day_is_missing": "`found backfill --from DAY --to DAY` makes them",
    "nothing_drifted": "its page says what moved; docs/operations.md, *A drift alarm*, says what that means",
    "gate_passes": "the champion keeps serving; docs/operations.md, *A model that does not pass*",
    "bad_rows_under_threshold": "`found source check FILE` names file, row and reason; docs/operations.md, *A bad day*",
}
"""What to do next, by check."""


def missed(pulse: Pulse) -> Iterator[Finding]:
    """Days of the source that an asset has not made, where automation is on and has had the time: nothing ran for GRACE_SECONDS."""
    newest = pulse.instance.get_run_records(limit=1, order_by="update_timestamp")
    if not instigators(pulse) or (newest and pulse.now - newest[0].update_timestamp.timestamp() < GRACE_SECONDS):
        return
    for asset in BACKFILLED:
        keys = pulse.graph.keys(asset)
        materialized = pulse.instance.get_materialized_partitions(dg.AssetKey(asset))
        left = [key for key in keys if key not in materialized]
        if left and materialized:
            fix = f"`found backfill --from {left[0]} --to {left[-1]}{pulse.option}`"
            days = left[0] if len(left) == 1 else f"{left[0]} to {left[-1]} ({len(left):,} days)"
            yield Finding("partitions", f"{asset} was not made of {days}", fix, key=f"missed {asset} {left[-1]}")


def late(pulse: Pulse) -> Iterator[Finding]:
    """A source of which no new day came, by its own rhythm, where its files are watched: else a supply that stopped looks quiet."""
    settings = pulse.graph.settings
    watched = any(state.instigator_name == files.SENSOR for state in instigators(pulse))
    if not watched or not staging.is_staged(settings) or config.of_home(settings).simulator:
        return
    days = sorted(map(dt.date.fromisoformat, staging.manifest(settings)["days"]))
    if not days:
        return
    recent = [day for day in days if (days[-1] - day).days <= RHYTHM_DAYS]
    gap = max((after - before).days for before, after in itertools.pairwise(recent)) if len(recent) > 1 else 1
    age = (dt.datetime.fromtimestamp(pulse.now, dt.UTC).date() - days[-1]).days
    if age > gap + FINISHED_DAYS:
        rhythm = "each day had events" if gap == 1 else f"days with events were at most {gap} days apart"
        problem = f"no new day has come for {age} days: the newest is {days[-1]}, and in the {RHYTHM_DAYS} days before it {rhythm}"
        fix = f"ask who delivers the source; `found backfill --from {days[-1]} --to TODAY{pulse.option}` takes up what came unseen"
        yield Finding("late", problem, fix, key=f"late {days[-1]}")


RHYTHM_DAYS = 56
"""Of a source, by which it is told whether it is late: eight weeks hold its weekends and a holiday."""

FINISHED_DAYS = 2
"""A day is there once it is over, and its file a day later at the latest."""


def stale(pulse: Pulse) -> Iterator[Finding]:
    """Assets that would come out of other inputs now, in one finding: most are stale because the first of them is."""
    counts = {state.asset: len(state.stale) for state in staleness.states(pulse.graph, pulse.instance) if state.stale}
    if counts:
        names = ", ".join(f"{asset} ({count:,} partitions)" if count > 1 else asset for asset, count in counts.items())
        fix = f"`found status{pulse.option}` says of which days, and what makes them again"
        assets = "an asset" if len(counts) == 1 else f"{len(counts)} assets"
        yield Finding("stale", f"{assets} would come out of other inputs now: {names}", fix)


EVENTS: dict[str, Callable[[Pulse], Iterator[Finding]]] = {
    "daemon": daemon,
    "ticks": failed_ticks,
    "runs": failed_runs,
    "checks": failed_checks,
    "partitions": missed,
    "late": late,
}
"""What is worth an alert, by name."""

LOOKS: dict[str, Callable[[Pulse], Iterator[Finding]]] = {**EVENTS, "overdue ticks": overdue_ticks, "stale": stale}
"""What the doctor looks at."""
