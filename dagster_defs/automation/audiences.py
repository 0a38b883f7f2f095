"""Saved audiences: found anew as often as each says, and when what serves, who may be targeted or what they ask has changed.

What belongs here: which audiences are refreshed and in which order. What a refresh does is `found_platform.audiences.membership`'s.
A frozen audience is never asked for; one of every week or month waits for its day.

No condition of the asset does this: an audience comes after those that it leaves out, and an order between partitions of one asset
is nothing that a condition can say. Nor would one see a promotion, a rollback or a suppression, which materialise nothing.
"""

import datetime as dt

import dagster as dg

from dagster_defs import fingerprints, staleness
from dagster_defs.automation.common import REQUEST, earlier, schedule_status, sensor_status
from dagster_defs.graph import AUDIENCES, AssetGraph
from dagster_defs.jobs import REFRESH
from found_platform import home
from found_platform.audiences import specification
from found_platform.index import pointer

AT = "0 * * * *"
HOUR = 6
"""Of the day (UTC) at which what is found anew every day, week (on Monday) or month (on the first) is."""
SCHEDULE, SENSOR = f"{REFRESH}_on_time", "audiences_follow"

NONE = "No audience is saved, or all of them are frozen."
IN_ORDER = {"found/in_order": "true"}
"""Tag of runs that the daemon starts one at a time, oldest first (`dagster.yaml`): an audience after those that it leaves out."""


def schedule(graph: AssetGraph) -> dg.ScheduleDefinition:
    """Refreshes the saved audiences whose time it is."""

    @dg.schedule(
        name=SCHEDULE,
        job_name=REFRESH,
        cron_schedule=AT,
        execution_timezone="UTC",
        default_status=schedule_status(graph.settings),
        description="Refreshes saved audiences every hour, day, week or month, each after those that it leaves out.",
    )
    def on_time(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        moving, at = specification.moving(graph.settings), context.scheduled_execution_time
        if not moving:
            return dg.SkipReason(NONE)
        names = [each.audience for each in moving if each.every in due(at)]
        if not names:
            return dg.SkipReason(f"No audience is to be found anew at {at:%H:%M} UTC of this day.")
        _add(graph, context.instance, names)
        return [dg.RunRequest(run_key=f"{at:%Y-%m-%d %H} {name}", partition_key=name, tags=IN_ORDER) for name in names]

    return on_time


def due(at: dt.datetime) -> set[str]:
    """How often those audiences are found anew that are at a full hour."""
    if at.hour != HOUR:
        return {"hour"}
    return {"hour", "day"} | ({"week"} if at.weekday() == 0 else set()) | ({"month"} if at.day == 1 else set())


def sensor(graph: AssetGraph) -> dg.SensorDefinition:
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
        moving = specification.moving(settings)
        if not moving:
            return dg.SkipReason(NONE)
        names = [each.audience for each in moving if each.every in ("hour", "day")]
        if not names:
            return dg.SkipReason("Every saved audience waits for its day of the week or the month.")
        if not pointer.exists(settings):
            return dg.SkipReason("No index answers look-ups yet: audiences follow the first publication.")
        stale = staleness.stale(graph, context.instance, "audience_members", names)
        inputs = fingerprints.of(graph, context.instance, "audience_members", stale) if stale else {}
        due = [name for name in stale if earlier(context.instance, _request_name(name, inputs)) is None]
        if not due:
            if stale:
                return dg.SkipReason(
                    f"{', '.join(stale)}: a refresh was asked for already; it is at work, or its page says why it failed."
                )
            return dg.SkipReason(f"All {len(names)} audiences that follow are of what serves now.")
        _add(graph, context.instance, due)
        return [
            dg.RunRequest(
                run_key=_request_name(name, inputs), partition_key=name, tags={REQUEST: _request_name(name, inputs), **IN_ORDER}
            )
            for name in due
        ]

    return audiences_follow


def _request_name(name: str, inputs: dict[str, str]) -> str:
    return f"audience {name} {inputs[name]}"


def _add(graph: AssetGraph, instance: dg.DagsterInstance, names: list[str]) -> None:
    """Makes these audiences partitions. Dagster looks whether one is there, and then adds it: one process at a time."""
    with home.lock(graph.settings.home, AUDIENCES):
        instance.add_dynamic_partitions(AUDIENCES, names)
