"""Executing one run: by the home's Dagster daemon where one is alive, else in this process; and its outcome.

What belongs here: the instance of a home, runs in this process, what killed processes left, errors as sentences. How a run gets to
the daemon and back is `queueing`'s; which runs there are is `runs`'.
"""

import contextlib
import hashlib
import logging
import re
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster import DagsterEvent, DagsterEventType
from filelock import FileLock, Timeout

from dagster_defs import connections, cutoffs, event_batches, fingerprints, jobs, pools, queueing, run_logs, service, step_output
from dagster_defs.build import build_defs
from dagster_defs.graph import ASKED_BY, CUTOFF, AssetGraph
from found_platform import database, home
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy import actor
from found_platform.settings import Settings

IN_PROCESS, SESSION = ".dagster/found_in_process", ".dagster/found_session"
"""Tags of runs that a command executes itself, and of which command it is. With this prefix Dagster's pages do not show them."""

SHOWN_BEFORE = {IN_PROCESS: "found/in_process", SESSION: "found/session"}
"""Their names in homes of earlier versions."""

STARTED_ANEW = "dagster/parent_run_id"
"""Tag of a run that was re-executed: it has all tags of the first one, and the daemon executes it."""

EARLIER = frozenset(
    {
        "638340404a40a712f7310031113294d8bf7d0202d7dfa9cad3a67130547cc11d",
        "daa789a66713494fe225f6b56ffcf06721e665d9a454716ff6a8d246ae531cea",
    }
)
"""SHA-256 of `dagster.yaml` as earlier versions made it: a home that has it unchanged gets today's."""

WATCH_SECONDS = 3.0
"""Between two looks for runs of killed processes while a run is executed: it may wait for a slot that one of them holds."""

log = logging.getLogger(__name__)


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of a home, made at the first call; the UI opens on the same one."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    target = settings.dagster_home / "dagster.yaml"
    with home.lock(settings.home, "dagster-instance"):  # SQLite does not wait for whoever else makes the same tables
        _write_configuration(settings, target)
        instance = dg.DagsterInstance.from_config(str(settings.dagster_home))
    event_batches.install(instance)
    connections.install(instance)
    run_logs.install(instance)
    step_output.install(instance)
    cutoffs.bring_up_to_date(settings, instance)
    return instance


IN_POSTGRES = """storage: # in PostgreSQL, which FOUND_DATABASE_URL names
  custom:
    module: dagster_defs.storage
    class: HomeStorage
    config: {{url: {{env: FOUND_DATABASE_URL}}, schema: {schema}}}
"""
"""What `dagster.yaml` of a home has besides where its records are in PostgreSQL."""


def _write_configuration(settings: Settings, target: Path) -> None:
    """Makes `dagster.yaml` where it is missing or of an earlier version; one that a person has changed keeps the changes.

    Raises BadInput where that has a storage of its own, and the setting names another.
    """
    store = settings.postgres
    lines = IN_POSTGRES.format(schema=store.schema(database.DAGSTER)) if store else ""
    before = target.read_text() if target.exists() else None
    own = None if before is None else before.removesuffix(lines)
    if own is None or hashlib.sha256(own.encode()).hexdigest() in EARLIER:
        own = (resources.files("dagster_defs") / "dagster.yaml").read_text()
    if lines and "storage" in (yaml.safe_load(own) or {}):
        raise BadInput(f"{target} has a `storage:` of its own, and {database.SETTING} names a database: remove one of them.")
    if own + lines != before:
        home.write_whole(target, own + lines)


@dataclass(frozen=True)
class RunOutcome:
    """A finished run, by its events."""

    asset_or_job: str
    success: bool
    events: list[DagsterEvent]

    def metadata(self) -> Mapping[str, Any]:
        """Of the materialisation, or of the output of a job's op."""
        for event in self.events:
            if event.is_step_materialization:
                return event.step_materialization_data.materialization.metadata
            if event.is_successful_output and event.step_output_data.metadata:
                return event.step_output_data.metadata
        return {}

    def raise_for_failure(self) -> None:
        """Raises what went wrong, as the kind of error it was: BadInput, JobFailed or KeyboardInterrupt."""
        for event in self.events:
            if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                    why = str(check.metadata["why"].value)
                    if self.asset_or_job == "quarantine":
                        raise BadInput(why)
                    raise JobFailed(f"{self.asset_or_job}: the check {check.check_name} failed: {why}.")
        if not self.success:
            raise _cause(self.asset_or_job, self.events)


class Executor:
    """Executes runs of a home's graph for one command, which is told apart from others by its session."""

    def __init__(self, graph: AssetGraph, instance: dg.DagsterInstance, session: str):
        self.graph = graph
        self.instance = instance
        self._asked_by = {ASKED_BY: str(actor.current())}
        # the daemon neither stops nor repeats what a command executes: the command does, or the person who gave it
        self._tags = {IN_PROCESS: "true", SESSION: session, jobs.MAX_RUNTIME: "0", "dagster/max_retries": "0", **self._asked_by}
        self._built: tuple[AssetGraph, dg.Definitions] | None = None
        self._here = False  # the daemon did not take a run of this command: it is not asked again
        self.here = False
        """Whether the last run was executed in this process."""

    def materialize(self, asset: str, keys: list[str], config: Mapping[str, Any] | None = None) -> RunOutcome:
        """One run of an asset over consecutive keys ([""] for an unpartitioned one). Raises BadInput or JobFailed."""
        run_config = {"ops": {asset: {"config": dict(config)}}} if config else {}
        if self.graph.table[asset].partitions == CUTOFF:
            cutoffs.add(self.graph, self.instance, keys)
        tags: dict[str, str] = {}
        if len(keys) > 1:
            tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
        elif keys[0]:
            tags = {"dagster/partition": keys[0]}
        outcome = self._queued(asset, queueing.Order(asset=asset, tags=tags | self._asked_by, run_config=run_config))
        self.here = outcome is None
        if outcome is None:
            job = self._definitions().resolve_job_def(jobs.JOB_OF[asset])
            result = job.execute_in_process(
                asset_selection=[dg.AssetKey(asset)],
                partition_key=tags.get("dagster/partition"),
                tags=tags | self._tags,
                instance=self.instance,
                run_config={**run_config, **QUIET},
                raise_on_error=False,
            )
            outcome = RunOutcome(asset, result.success, list(result.all_events))
        outcome.raise_for_failure()
        return outcome

    def job(self, name: str, config: Mapping[str, Any]) -> RunOutcome:
        """One run of a job of `service`. Raises BadInput or JobFailed."""
        run_config = {"ops": {service.OPS[name]: {"config": dict(config)}}} if config else {}
        outcome = self._queued(name, queueing.Order(job=name, tags=self._asked_by, run_config=run_config))
        if outcome is None:
            job = self._definitions().resolve_job_def(name)
            result = job.execute_in_process(
                run_config={**run_config, **QUIET}, instance=self.instance, tags=self._tags, raise_on_error=False
            )
            outcome = RunOutcome(name, result.success, list(result.all_events))
        outcome.raise_for_failure()
        return outcome

    def _definitions(self) -> dg.Definitions:
        """The definitions of the graph, built once: a backfill of a year by the day would spend a seventh of its time on them."""
        if self._built is None or self._built[0] is not self.graph:
            self._built = (self.graph, build_defs(self.graph.settings))
        return self._built[1]

    def _queued(self, asset_or_job: str, order: queueing.Order) -> RunOutcome | None:
        """The outcome of a run by the daemon; None where there is no daemon that takes it."""
        if self._here or not queueing.is_open(self.graph.settings, self.instance):
            return None
        run_id = queueing.submit(self.graph, self.instance, order)
        run = queueing.follow(self.instance, run_id, self.graph.settings.wait_seconds)
        if run is None:
            self._here = True
            return None
        events = [entry.dagster_event for entry in self.instance.all_logs(run.run_id) if entry.dagster_event]
        return RunOutcome(asset_or_job, run.is_success, events)


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""A command says itself what became of a run."""


@contextlib.contextmanager
def executor(settings: Settings) -> Iterator[Executor]:
    """An executor for one command. Others may have theirs at the same time.

    A killed process leaves its runs started and its pool slots taken, and the next run would wait for those for ever. Each command
    holds a lock of its session while it lives, which the system lets go of with the process: runs of a session whose lock is free
    are dead. They are looked for at the start and for as long as the command runs.
    """
    session = uuid.uuid4().hex
    own = home.lock(settings.home, _lock(session))
    stop = threading.Event()
    with interruptible(), contextlib.ExitStack() as session_lock, open_instance(settings) as instance, own:
        session_lock.callback(_remove, settings, session)
        cancel_dead_runs(settings, instance)
        pools.limit_waiting(instance, settings.wait_seconds)
        watch = threading.Thread(target=_watch, args=(settings, instance, stop), daemon=True)
        watch.start()
        try:
            runner = Executor(AssetGraph(settings), instance, session)
            yield runner
            for asset in runner.graph.table:  # so that the next `found status` reads no event through Dagster
                fingerprints.newest(runner.graph, instance, asset)
        finally:
            stop.set()
            watch.join()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Has SIGINT and SIGTERM end what runs here where a shell script has started it in the background, with SIGINT ignored.

    Dagster gives SIGTERM whatever SIGINT has, and leaves it so. Ignored, nobody could end the command; and what runs in other
    threads of the process afterwards would wait a minute for the processes that follow its logs, which inherit it.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    terminate = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, terminate)


def cancel_dead_runs(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Cancels unfinished runs whose process was killed, and frees their pool slots. Never one of a living process."""
    names = (IN_PROCESS, SHOWN_BEFORE[IN_PROCESS])
    filters = (dg.RunsFilter(statuses=queueing.UNFINISHED, tags={name: "true"}) for name in names)
    for run in (run for each in filters for run in instance.get_runs(each)):
        if STARTED_ANEW in run.tags:
            continue
        session = run.tags.get(SESSION) or run.tags.get(SHOWN_BEFORE[SESSION])
        if session is None and not _is_free(settings):
            continue
        if session is not None and not home.is_free(settings.home, _lock(session)):
            continue
        instance.report_run_canceled(run, message="The process that executed this run was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        if session is not None:
            _remove(settings, session)


def _is_free(settings: Settings) -> bool:
    """Whether no command of a version before sessions runs, which held one lock on the home."""
    try:
        with FileLock(settings.dagster_home / "found.lock", timeout=0):
            return True
    except Timeout:
        return False


def _watch(settings: Settings, instance: dg.DagsterInstance, stop: threading.Event) -> None:
    """Looks for dead runs until told to stop."""
    while not stop.wait(WATCH_SECONDS):
        try:
            cancel_dead_runs(settings, instance)
        except Exception:  # the run itself meets the same fault and reports it
            log.debug("looking for dead runs failed", exc_info=True)


def _lock(session: str) -> str:
    return f"session-{session}"


def _remove(settings: Settings, session: str) -> None:
    """Removes the lock of a session that is over; nobody takes it again."""
    (settings.home / "locks" / f"{_lock(session)}.lock").unlink(missing_ok=True)


def _cause(asset_or_job: str, events: list[DagsterEvent]) -> BaseException:
    """What went wrong: our own error as it was raised, else the first cause of the failure."""
    for event in events:
        error = getattr(event.event_specific_data, "error", None)
        if error is None or not (event.is_step_failure or event.is_failure):
            continue
        chain = [error]
        while chain[-1].cause is not None:
            chain.append(chain[-1].cause)
        ours = next((e for e in chain if e.cls_name in _names(BadInput) | _names(JobFailed)), None)
        if chain[-1].cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
            return KeyboardInterrupt()
        if ours is not None:
            return (BadInput if ours.cls_name in _names(BadInput) else JobFailed)(_sentence(ours))
        return JobFailed(f"{asset_or_job} failed: {_sentence(chain[-1])} (the run's page in the UI has the whole trace)")
    # a run whose process was killed, or never began, has no step that failed
    reasons = [event.message for event in events if event.event_type == dg.DagsterEventType.RUN_FAILURE and event.message]
    if reasons:
        return JobFailed(f"{asset_or_job} failed: {reasons[-1].rstrip('.')} (its page in the UI has the log)")
    return JobFailed(f"{asset_or_job} failed; the run's page in the UI says why")


def _names(kind: type) -> set[str]:
    """The names of a class of errors and of those made from it."""
    return {kind.__name__, *(name for inner in kind.__subclasses__() for name in _names(inner))}


def _sentence(error: Any) -> str:
    """A serialised error's message without the name of its class."""
    message = re.sub(rf"^[\w.]*\b{re.escape(error.cls_name or '')}(: |$)", "", error.message.strip()).strip()
    if error.cls_name == "KeyError":
        return f"there is no entry {message}"
    return message or "no reason was given"
