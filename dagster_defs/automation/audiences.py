"""Saved audiences: found anew as often as each says, and when what serves, who may be targeted or what they ask has changed.

What belongs here: which audiences are refreshed and in which order. What a refresh does is `found_platform.audiences.membership`'s.

No condition of the asset does this: an audience comes after those that it leaves out, and an order between partitions of one asset
is nothing that a condition can say. Nor would one see a promotion, a rollback or a suppression, which materialise nothing.
"""

import datetime as dt

import dagster as dg

from dagster_defs import fingerprints, staleness
from dagster_defs.automation.common import REQUEST, Clock, earlier, schedule_status, sensor_status, utc_now
from dagster_defs.graph import AUDIENCES, AssetGraph
from dagster_defs.jobs import REFRESH
from found_platform import home
from found_platform.audiences import membership, specification
from found_platform.index import pointer
from found_platform.settings import Settings

NONE_SAVED = "No audience is saved, or every one is frozen."
AT = "0 6 * * *"
SCHEDULE, SENSOR = f"{REFRESH}_daily", "audiences_follow"

WAITS = {"hour": dt.timedelta(0), "day": dt.timedelta(0), "week": dt.timedelta(days=7), "month": dt.timedelta(days=30)}
"""By how often an audience says it is refreshed: how long it waits after a refresh although it would come out differently. One of
an hour or a day follows at once; a frozen one (`never`) is not asked about."""

IN_ORDER = {"found/in_order": "true"}
"""Tag of runs that the daemon starts one at a time, oldest first (`dagster.yaml`): an audience after those that it leaves out."""


def schedule(graph: AssetGraph) -> dg.ScheduleDefinition:
    """Refreshes every saved audience."""

    @dg.schedule(
        name=SCHEDULE,
        job_name=REFRESH,
        cron_schedule=AT,
        execution_timezone="UTC",
        default_status=schedule_status(graph.settings),
        description="Refreshes every saved audience once a day, each after those that it leaves out.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        names = specification.moving(graph.settings)
        if not names:
            return dg.SkipReason(NONE_SAVED)
        waiting = _waiting(graph.settings, names, context.scheduled_execution_time)
        names = [name for name in names if name not in waiting]
        if not names:
            return dg.SkipReason(_until(waiting))
        _add(graph, context.instance, names)
        return [
            dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d} {name}", partition_key=name, tags=IN_ORDER)
            for name in names
        ]

    return daily


def sensor(graph: AssetGraph, clock: Clock = utc_now) -> dg.SensorDefinition:
    """Refreshes the saved audiences that would come out differently now."""

    @dg.sensor(
        name=SENSOR,
        job_name=REFRESH,
        minimum_interval_seconds=60,
        default_status=sensor_status(graph.settings),
        description="Refreshes a saved audience when what serves, its specification or the suppression list has changed.",
    )
    def audiences_follow(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        settings = graph.settings
        names = specification.moving(settings)
        if not names:
            return dg.SkipReason(NONE_SAVED)
        if not pointer.exists(settings):
            return dg.SkipReason("No index answers look-ups yet: audiences follow the first publication.")
        stale = staleness.stale(graph, context.instance, "audience_members", names)
        waiting = _waiting(settings, stale, clock())
        stale = [name for name in stale if name not in waiting]
        inputs = fingerprints.of(graph, context.instance, "audience_members", stale) if stale else {}
        due = [name for name in stale if earlier(context.instance, _request_name(name, inputs)) is None]
        if not due:
            if stale:
                return dg.SkipReason(
                    f"{', '.join(stale)}: a refresh was asked for already; it is at work, or its page says why it failed."
                )
            if waiting:
                return dg.SkipReason(_until(waiting))
            return dg.SkipReason(f"All {len(names)} saved audiences are of what serves now.")
        _add(graph, context.instance, due)
        return [
            dg.RunRequest(
                run_key=_request_name(name, inputs), partition_key=name, tags={REQUEST: _request_name(name, inputs), **IN_ORDER}
            )
            for name in due
        ]

    return audiences_follow


def _waiting(settings: Settings, names: list[str], now: dt.datetime) -> dict[str, dt.datetime]:
    """Of these audiences those whose time has not come, and when it does."""
    waiting = {}
    for name in names:
        refresh = membership.last(settings, name)
        wait = WAITS[specification.newest(settings, name).every]
        if wait and refresh is not None and now < refresh.refreshed_at + wait:
            waiting[name] = refresh.refreshed_at + wait
    return waiting


def _until(waiting: dict[str, dt.datetime]) -> str:
    times = ", ".join(f"{name} until {at:%Y-%m-%d %H:%M} UTC" for name, at in waiting.items())
    return f"By how often each is refreshed, these wait: {times}."


def _request_name(name: str, inputs: dict[str, str]) -> str:
    return f"audience {name} {inputs[name]}"


def _add(graph: AssetGraph, instance: dg.DagsterInstance, names: list[str]) -> None:
    """Makes these audiences partitions. Dagster looks whether one is there, and then adds it: one process at a time."""
    with home.lock(graph.settings.home, AUDIENCES):
        instance.add_dynamic_partitions(AUDIENCES, names)
