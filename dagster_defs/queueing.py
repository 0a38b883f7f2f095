"""The way to the Dagster daemon and back: is one alive for this home, give it a run, follow the run to its end.

What belongs here: Dagster's queue. What a run does and what its outcome means is `execution`'s.
"""

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget, ModuleTarget

from dagster_defs import jobs, pools
from dagster_defs.graph import AssetGraph
from found_platform.errors import JobFailed
from found_platform.settings import Settings

LOCATION, MODULE = "found", "dagster_defs.definitions"
"""The code location, as `workspace.yaml` names it."""

COORDINATOR = "QUEUED_RUN_COORDINATOR"
"""The part of the daemon that starts queued runs."""

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Of runs that have begun and have not ended."""

ALIVE_SECONDS = 75.0
"""The daemon gives a sign of life every 30 seconds: after two that did not come it is taken for dead."""

POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """What to run: an asset with the tags that name its partitions, or a job with its configuration."""

    asset: str | None = None
    job: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    run_config: Mapping[str, Any] = field(default_factory=dict)


def is_open(settings: Settings, instance: dg.DagsterInstance) -> bool:
    """Whether a daemon is alive that would do the same as this process: its code location sees the settings that the home keeps."""
    return isinstance(instance.run_coordinator, QueuedRunCoordinator) and _is_alive(instance) and _are_kept(settings)


def _is_alive(instance: dg.DagsterInstance) -> bool:
    heartbeat = instance.get_daemon_heartbeats().get(COORDINATOR)
    return heartbeat is not None and not heartbeat.errors and time.time() - heartbeat.timestamp < ALIVE_SECONDS


def _are_kept(settings: Settings) -> bool:
    path = settings.home / "settings.yaml"
    kept = yaml.safe_load(path.read_text()) if path.exists() else None
    current = settings.model_dump(mode="json")
    return bool(kept) and all(current[name] == value for name, value in kept.items() if name in current)


def submit(graph: AssetGraph, instance: dg.DagsterInstance, order: Order) -> str:
    """Puts a run into the queue. Returns its id."""
    from dagster_defs.build import build_defs

    definitions = build_defs(graph.settings)
    job = definitions.resolve_job_def(order.job or jobs.JOB_OF[order.asset or ""])
    (origin,) = ModuleTarget(MODULE, None, None, LOCATION).create_origins()
    run = instance.create_run_for_job(
        job_def=job,
        run_config=order.run_config,
        tags={**job.run_tags, **order.tags},
        asset_selection=frozenset({dg.AssetKey(order.asset)}) if order.asset else None,
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(origin, SINGLETON_REPOSITORY_NAME), job.name),
        job_code_origin=JobPythonOrigin(
            job.name,
            RepositoryPythonOrigin(
                sys.executable, ModuleCodePointer(MODULE, "defs", None), entry_point=DEFAULT_DAGSTER_ENTRY_POINT
            ),
        ),
    )
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        instance.submit_run(run.run_id, workspace.create_request_context())
    return run.run_id


def follow(instance: dg.DagsterInstance, run_id: str, seconds: float) -> dg.DagsterRun | None:
    """Waits for the end of a queued run and passes on what it logs. None where the daemon never started it: its code location does
    not load, or it has died since; such a run is taken back.

    An interrupt ends the run too, as it would end one in this process. Raises JobFailed, and takes the run back, where it has been
    in the queue for so many seconds.
    """
    log.info("The Dagster daemon of this home executes run %s", run_id)
    cursor, queued = 0, time.monotonic()
    try:
        while True:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            cursor = _pass_on(instance, run_id, cursor)
            if run.is_finished:
                break
            if run.status == dg.DagsterRunStatus.QUEUED and not _is_alive(instance):
                instance.run_coordinator.cancel_run(run_id)
                log.warning("The Dagster daemon of this home gives no sign of life any more: the run is executed here.")
                return None
            if run.status == dg.DagsterRunStatus.QUEUED and time.monotonic() - queued >= seconds:
                instance.run_coordinator.cancel_run(run_id)
                working = [r.run_id for r in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
                before = f", behind {pools.described(instance, working)}" if working else ""
                raise JobFailed(pools.too_long(f"run {run_id[:8]} is still in the queue of the Dagster daemon{before}", seconds))
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        instance.run_coordinator.cancel_run(run_id)
        raise
    record = instance.get_run_record_by_id(run_id)
    if run.status == dg.DagsterRunStatus.FAILURE and (record is None or record.start_time is None):
        log.warning("The Dagster daemon could not start run %s (its page in the UI says why): it is executed here.", run_id)
        return None
    return run


def _pass_on(instance: dg.DagsterInstance, run_id: str, cursor: int) -> int:
    """Logs what a run has logged since; returns how many entries that makes."""
    entries = instance.all_logs(run_id)
    for entry in entries[cursor:]:
        if entry.dagster_event is None:
            log.log(int(entry.level), "%s", entry.user_message)
    return len(entries)
