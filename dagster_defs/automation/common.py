"""What sensors and schedules share: whether they are on, runs of a job, run requests, and a clock that a test can set.

What belongs here: nothing that decides whether a run is due.
"""

import datetime as dt
from collections.abc import Callable, Mapping

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.queueing import UNFINISHED
from found_platform.settings import Settings

Clock = Callable[[], dt.datetime]
"""The time now, in UTC."""

REQUEST = "found/request"
"""Tag of a run that a sensor asked for: what for. The same is not asked for twice."""

AT_WORK = [*UNFINISHED, dg.DagsterRunStatus.QUEUED]


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """How a sensor is until a person switches it."""
    return dg.DefaultSensorStatus.RUNNING if settings.automation else dg.DefaultSensorStatus.STOPPED


def schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """How a schedule is until a person switches it."""
    return dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED


def at_work(instance: dg.DagsterInstance, job: str) -> str | None:
    """The beginning of a reason to wait: a run of the job that has not ended; None where there is none."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=AT_WORK), limit=1)
    return f"run {runs[0].run_id[:8]} of the job {job} is at work" if runs else None


def earlier(instance: dg.DagsterInstance, request: str) -> dg.DagsterRun | None:
    """The newest run that was asked for with this request."""
    runs = instance.get_runs(dg.RunsFilter(tags={REQUEST: request}), limit=1)
    return runs[0] if runs else None


def run_request(job: str, request: str, assets: list[str], keys: list[str], tags: Mapping[str, str]) -> dg.RunRequest:
    """A run of some assets of a job over consecutive keys; none for unpartitioned assets."""
    partition: dict[str, str] = {}
    if len(keys) > 1:
        partition = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    return dg.RunRequest(
        run_key=request,
        job_name=job,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        partition_key=keys[0] if len(keys) == 1 else None,
        tags={REQUEST: request, **partition, **tags},
    )


def has_new_days(graph: AssetGraph) -> str | None:
    """Why nothing can be asked for yet: the home has other days than these definitions. None where it has not."""
    span = AssetGraph(graph.settings).span
    if span == graph.span:
        return None
    return (
        f"The home has days from {span.start} to before {span.end}, and this code location was loaded when it had others: "
        "`found serve --all` reloads it within a minute; elsewhere press Reload on the page Deployment."
    )
