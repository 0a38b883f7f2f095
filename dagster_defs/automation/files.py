"""Files of the source that are new or changed: they are scanned, and the days that follow from them are made.

What belongs here: which run is due next, in words where none is. What a scan or a day is belongs to `found_platform`; which days
are missing or stale is asked of `staleness`, by the fingerprints that every command goes by.

A tick asks for one run at most. The first scans the files; the next ones make the days that are missing or would come out
differently: events, then features, then the online store. Late events change days of the features far behind them, and which they
are is known only after the events are made: hence one step a tick.
"""

import hashlib

import dagster as dg

from dagster_defs import staleness
from dagster_defs.automation.common import Clock, at_work, earlier, has_new_days, run_request, sensor_status, utc_now
from dagster_defs.graph import DAYS, AssetGraph, ranges
from dagster_defs.jobs import INGEST, RUN_DAYS
from found_platform.errors import BadInput
from found_platform.sources import config, staging

SENSOR = "source_files"

SETTLE_SECONDS = 60
"""A file that was changed more recently may still be being written."""


def sensor(graph: AssetGraph, clock: Clock = utc_now) -> dg.SensorDefinition:
    """The sensor of a home. `clock` says the time of a tick."""

    @dg.sensor(
        name=SENSOR,
        job_name=INGEST,
        minimum_interval_seconds=60,
        default_status=sensor_status(graph.settings),
        description="Scans the files of the source when one is new or changed, and makes the days that follow from them.",
    )
    def source_files(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        try:
            due = _due(graph, context.instance, clock, context.cursor)
        except (BadInput, OSError) as error:
            return dg.SkipReason(f"The source cannot be looked at: {error}")
        if isinstance(due, str):
            return dg.SkipReason(due)
        if isinstance(due, UpToDate):
            # the next tick need not ask thousands of days again
            return dg.SensorResult(skip_reason=due.reason, cursor=due.cursor)
        return dg.SensorResult(run_requests=[due])

    return source_files


class UpToDate:
    """Nothing is to do: the reason, and the state of the source that it is true of."""

    def __init__(self, cursor: str):
        self.cursor = cursor
        self.reason = "No file of the source is new or changed, and every day of the last scan is made."


def _due(graph: AssetGraph, instance: dg.DagsterInstance, clock: Clock, cursor: str | None) -> dg.RunRequest | UpToDate | str:
    """The run that is due, or why there is none."""
    settings = graph.settings
    if not (settings.home / "source.yaml").exists():
        return "The home has no source yet: `found demo --source FILE` gives it one."
    source = config.of_home(settings)
    if source.simulator:
        return "The source of this home is a simulation: no files arrive."
    if all(origin.is_elsewhere for _, origin in source.origins()):
        return "The rows of this source are not in files here: `found demo` and `found backfill` read what is new of them."
    if (busy := at_work(instance, INGEST)) is not None:
        return f"Waiting: {busy}."
    tags = {"found/source": source.name}
    state = staging.source_fingerprint(settings)
    if not staging.is_staged(settings) or staging.manifest(settings).get("fingerprint") != state:
        age = clock().timestamp() - staging.newest_file(settings)
        if 0 <= age < SETTLE_SECONDS:
            return f"A file of the source was changed {age:.0f} seconds ago and may still be being written: it is looked at again."
        return _once(
            instance, run_request(INGEST, f"scan {state}", ["quarantine", "raw_profile"], [], tags), "the scan of these files"
        )
    if (reason := has_new_days(graph)) is not None:
        return reason
    if cursor == state:
        return UpToDate(state)
    keys = graph.keys("raw_events")
    for place, asset in enumerate(DAYS):
        stale = staleness.stale(graph, instance, asset, keys)
        if not stale:
            continue
        days = ranges(stale)[0][:RUN_DAYS]
        together = [asset, *(other for other in DAYS[place + 1 :] if staleness.stale(graph, instance, other, keys) == stale)]
        digest = hashlib.sha256(f"{state} {together} {days}".encode()).hexdigest()[:16]
        request = run_request(INGEST, f"days {digest}", together, days, tags)
        return _once(instance, request, f"the run of {', '.join(together)} for {days[0]} to {days[-1]}")
    for asset in ("raw_profile", "online_features"):
        if staleness.stale(graph, instance, asset, [""]):
            return _once(instance, run_request(INGEST, f"{asset} {state}", [asset], [], tags), f"the run of {asset}")
    return UpToDate(state)


def _once(instance: dg.DagsterInstance, request: dg.RunRequest, label: str) -> dg.RunRequest | str:
    """The request; or why it is not made: it has been made before, and nothing has changed since."""
    run = earlier(instance, str(request.run_key))
    if run is None:
        return request
    how = "failed" if run.status == dg.DagsterRunStatus.FAILURE else f"ended as {run.status.value.lower()}"
    return (
        f"Run {run.run_id[:8]}, {label}, {how}; its page says why. It is not repeated by itself: re-execute it there when the "
        "cause is mended, or change the files."
    )
