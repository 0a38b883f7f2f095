"""Retraining: a model of the newest cutoff, once a week, or when a drift was seen and the last training is some days ago.

What belongs here: whether a training is due, in words where it is not. What a training does is the job `train_cutoff`; what follows
from it, publishing, is asked for by `conditions`.
"""

import datetime as dt

import dagster as dg

from dagster_defs import cutoffs, fingerprints
from dagster_defs.automation.common import REQUEST, Clock, at_work, earlier, has_new_days, schedule_status, sensor_status, utc_now
from dagster_defs.graph import DAYS, AssetGraph
from dagster_defs.jobs import TRAIN
from found_platform import registry
from found_platform.monitoring import figures

SCHEDULE, SENSOR = "retrain_weekly", "retrain_on_drift"


def schedule(graph: AssetGraph) -> dg.ScheduleDefinition:
    """Trains a model of the newest cutoff, where there is none."""

    @dg.schedule(
        name=SCHEDULE,
        job_name=TRAIN,
        cron_schedule=graph.settings.retrain_at,
        execution_timezone="UTC",
        default_status=schedule_status(graph.settings),
        description="Trains a model of the newest day, at the time of the setting `retrain_at`.",
    )
    def retrain_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        cutoff = newest_cutoff(graph)
        reason = _not_now(graph, context.instance, cutoff)
        if reason is not None:
            return dg.SkipReason(reason)
        cutoffs.add(graph, context.instance, [cutoff])
        return _request(cutoff, f"schedule {context.scheduled_execution_time:%Y-%m-%d %H:%M} {cutoff}", "schedule")

    return retrain_weekly


def sensor(graph: AssetGraph, clock: Clock = utc_now) -> dg.SensorDefinition:
    """Trains a model of the newest cutoff when features or traffic have drifted, but not twice within `retrain_cooldown_days`."""

    @dg.sensor(
        name=SENSOR,
        job_name=TRAIN,
        minimum_interval_seconds=600,
        default_status=sensor_status(graph.settings),
        description="Trains a model of the newest day when a drift was seen after the champion's cutoff, with a cool-down.",
    )
    def retrain_on_drift(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        cutoff = newest_cutoff(graph)
        reason = (
            _no_drift(graph, context.instance)
            or _cooling(graph, context.instance, clock())
            or _not_now(graph, context.instance, cutoff)
        )
        if reason is not None:
            return dg.SkipReason(reason)
        request = f"drift {cutoff}"
        if (run := earlier(context.instance, request)) is not None:
            return dg.SkipReason(f"Run {run.run_id[:8]} was asked for because of this drift; its page says what became of it.")
        cutoffs.add(graph, context.instance, [cutoff])
        return _request(cutoff, request, "drift")

    return retrain_on_drift


def newest_cutoff(graph: AssetGraph) -> str:
    """The day after the last day with events."""
    return graph.keys("training_set")[-1]


def _request(cutoff: str, request: str, why: str) -> dg.RunRequest:
    tags = {REQUEST: request, "found/cutoff": cutoff, "found/because_of": why}
    return dg.RunRequest(run_key=request, job_name=TRAIN, partition_key=cutoff, tags=tags)


def _not_now(graph: AssetGraph, instance: dg.DagsterInstance, cutoff: str) -> str | None:
    """Why no model of a cutoff can or need be trained now; None where one can."""
    if (busy := at_work(instance, TRAIN)) is not None:
        return f"Waiting: {busy}."
    if (reason := has_new_days(graph)) is not None:
        return reason
    if (version := registry.serving(graph.settings, cutoff)) is not None:
        return f"There is a model of the newest cutoff {cutoff} already: version {version}. New days of data bring a new cutoff."
    day = str(dt.date.fromisoformat(cutoff) - dt.timedelta(days=1))
    # else a model would be trained on the past of an older day
    missing = [asset for asset in DAYS if day not in fingerprints.newest(graph, instance, asset)]
    if missing:
        return (
            f"A model of the cutoff {cutoff} reads {missing[0]} of {day}, which has not been made yet: the job `ingest` makes it."
        )
    return None


def _no_drift(graph: AssetGraph, instance: dg.DagsterInstance) -> str | None:
    """Why no drift asks for a training; None where one does."""
    champion = registry.version_of(graph.settings, registry.CHAMPION)
    if champion is None:
        return "No model serves yet: the schedule, or a person, trains the first one."
    event = instance.get_latest_materialization_event(dg.AssetKey("feature_drift"))
    if event is None or event.asset_materialization is None:
        return "No day has been compared with the weeks before it yet: the asset feature_drift does that."
    day, metadata = str(event.asset_materialization.partition), event.asset_materialization.metadata
    state = str(metadata["state"].value)
    if state != figures.DRIFTED:
        return f"No drift: the report of {day} says {state!r}."
    cutoff = next(v.tags["cutoff"] for v in registry.versions(graph.settings) if v.version == champion)
    if day < cutoff:
        return f"The drift of {day} lies before the cutoff {cutoff} of the champion, version {champion}, which has learned from it."
    return None


def _cooling(graph: AssetGraph, instance: dg.DagsterInstance, now: dt.datetime) -> str | None:
    """Why it is too early for another training, whatever the last one was asked for by; None where it is not."""
    days = graph.settings.retrain_cooldown_days
    records = instance.get_run_records(dg.RunsFilter(job_name=TRAIN), limit=1)
    last = max((r.create_timestamp for r in records), default=None)
    if last is None or now >= last + dt.timedelta(days=days):
        return None
    return (
        f"The last training began on {last:%Y-%m-%d %H:%M} UTC, and a drift asks for one in {days} days at most "
        f"(`retrain_cooldown_days`): the next may begin on {last + dt.timedelta(days=days):%Y-%m-%d %H:%M} UTC."
    )
