"""Alerts: what is wrong reaches a receiver, signed, once, with the next step, and again where it was not taken."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from alert_receivers import Hook, Mail, listening
from conftest import at as moment
from conftest import call_found, lake_of, write_source
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from dagster_defs import pulse, queueing
from dagster_defs.build import build_defs
from dagster_defs.execution import QUIET, open_instance
from dagster_defs.graph import AssetGraph
from found_platform.app import operations
from found_platform.app.context import Actor, Context
from found_platform.audiences import deliveries
from found_platform.errors import BadInput
from found_platform.monitoring import alerts
from found_platform.monitoring.finding import Finding
from found_platform.serving import watch
from found_platform.serving.application import create_app
from found_platform.serving.options import Options
from found_platform.settings import Settings
from found_platform.sources import staging

SECRET = "ab" * 32
DISK = Finding("disk", "0.1 GB are free", "`found gc --dry-run` says what may go", key="disk")
TICK = Finding("ticks", "a tick of daily failed", "its page has the trace", key="tick daily 1")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening(Hook()) as server:
        yield server


@pytest.fixture
def mail() -> Iterator[Mail]:
    with listening(Mail()) as server:
        yield server


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small home of three days."""
    folder = tmp_path_factory.mktemp("alerts")
    events = [{"user_id": f"u{i}", "event_time": moment(f"2026-01-0{1 + i % 3}"), "text": "tent"} for i in range(9)]
    return lake_of(folder / "found", write_source(folder / "source", events))


@pytest.fixture
def home(demo_home: Settings, hook: Hook, mail: Mail, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """That home, whose settings name both channels, before anything was sent."""
    monkeypatch.setenv("FOUND_ALERT_WEBHOOK", f"http://127.0.0.1:{hook.server_port}/alerts")
    monkeypatch.setenv("FOUND_ALERT_SECRET", SECRET)
    monkeypatch.setenv("FOUND_ALERT_MAIL_TO", "ops@example.org")
    monkeypatch.setenv("FOUND_ALERT_SMTP", f"127.0.0.1:{mail.server_address[1]}")
    monkeypatch.setenv("FOUND_DISK_FREE_GB", "0")
    for name in (alerts.DATABASE, deliveries.DATABASE):
        (demo_home.home / name).unlink(missing_ok=True)
    settings = Settings.load(demo_home.home, profile="tiny")
    settings.keep()
    return settings


def add_failed_delivery(home: Settings) -> None:
    with deliveries._opened(home) as con:
        values = ("1", "gold", 1, "crm", "whole", 5, 0, "0", deliveries.FAILED, "it answered 500", "", "ann", time.time())
        columns = ", ".join(deliveries.COLUMNS)
        con.execute(f"INSERT INTO deliveries ({columns}) VALUES ({', '.join('?' * len(values))})", values)


@pytest.mark.slow
def test_a_failed_delivery_and_little_room_are_told(home: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    add_failed_delivery(home)
    monkeypatch.setenv("FOUND_DISK_FREE_GB", "1000000")
    operations.alert(Context(home.home, Actor("ann", "test")))
    by_check = {json.loads(body)["check"]: json.loads(body) for _, body in hook.got}
    assert by_check.keys() == {"disk", "delivery"}
    assert "found audience deliver gold --to crm" in by_check["delivery"]["fix"]


@pytest.mark.slow
def test_all_that_is_worth_an_alert_reaches_a_receiver_once_with_the_next_step(
    home: Settings, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Settings.load(Path(shutil.copytree(home.home, tmp_path / "found")))
    monkeypatch.setattr(pulse, "GRACE_SECONDS", -1.0)
    monkeypatch.setattr(pulse, "BACKFILLED", ("raw_events",))
    monkeypatch.setenv("FOUND_DISK_FREE_GB", "1000000")
    add_failed_delivery(copy)
    partitions = dg.DynamicPartitionsDefinition(name="others")

    @dg.asset(partitions_def=partitions)
    def audience_members() -> None:
        raise BadInput("The audience 'gold' names a column that is gone: save it again.")

    with open_instance(copy) as instance:
        for day in ("2026-01-01", "2026-01-02"):
            instance.report_runless_asset_event(dg.AssetMaterialization("raw_events", partition=day))
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="dagster_defs.definitions"))
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "daily")
        schedule = ScheduleInstigatorData("0 6 * * *", start_timestamp=time.time())
        state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, schedule)
        instance.add_instigator_state(state)
        tick = (state.instigator_origin_id, "daily", InstigatorType.SCHEDULE, TickStatus.FAILURE, time.time() - 60)
        error = SerializableErrorInfo("Error: the store is full\n", [], "Error")
        instance.create_tick(TickData(*tick, error=error, selector_id=state.selector_id))
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - queueing.ALIVE_SECONDS - 1, "SCHEDULER", "1", []))
        instance.add_dynamic_partitions("others", ["gold"])
        dg.materialize([audience_members], partition_key="gold", instance=instance, raise_on_error=False, run_config=QUIET)
        check = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("audience_members"),
            check_name="size_is_steady",
            passed=False,
            metadata={"why": "5 users instead of 40"},
        )
        instance.report_runless_asset_event(check)
    for _ in range(2):
        operations.alert(Context(copy.home, Actor("ann", "test")))
    told = [json.loads(body) for _, body in hook.got]
    kinds = ["checks", "daemon", "delivery", "disk", "partitions", "refresh", "ticks"]
    assert sorted(alert["check"] for alert in told) == kinds
    assert all(alert["fix"] and alert["problem"] for alert in told)
    assert watch.EVERY + queueing.ALIVE_SECONDS < 120


@pytest.fixture
def copy(home: Settings, tmp_path: Path) -> Settings:
    """A copy of it, in which a test may leave runs."""
    return Settings.load(Path(shutil.copytree(home.home, tmp_path / "found")))


def test_a_killed_run_is_told_with_its_reason_unless_it_starts_again_by_itself(copy: Settings) -> None:
    reason = "Run timed out due to taking longer than 300 seconds to start."
    with open_instance(copy) as instance:
        run = instance.create_run_for_job(build_defs(copy).resolve_job_def("rollback"))
        instance.report_run_failed(run, reason)
        graph, later = AssetGraph(copy), time.time() + pulse.RETRY_SECONDS + 1
        assert not [*pulse.failed_runs(pulse.of(graph, instance, 600.0))], "a daemon that lives will start it again"
        (finding,) = pulse.failed_runs(pulse.of(graph, instance, 600.0, now=later))
        assert reason.rstrip(".") in finding.problem
        instance.add_run_tags(run.run_id, {AUTO_RETRY_RUN_ID_TAG: "1"})
        assert not [*pulse.failed_runs(pulse.of(graph, instance, 600.0, now=later))]


def report_check(
    instance: dg.DagsterInstance, settings: Settings, partition: str, check: tuple[str, str], passed: bool, why: str
) -> None:
    """A run of a partition has evaluated a check, by its asset and name."""
    run = instance.create_run_for_job(build_defs(settings).resolve_job_def("rollback"), tags={"dagster/partition": partition})
    asset, name = check
    evaluation = dg.AssetCheckEvaluation(asset_key=dg.AssetKey(asset), check_name=name, passed=passed, metadata={"why": why})
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
    instance.report_dagster_event(dg.DagsterEvent(kind, "rollback", event_specific_data=evaluation), run_id=run.run_id)


def problems_sent(instance: dg.DagsterInstance, settings: Settings, hook: Hook) -> list[str]:
    """What a webhook is told now of checks that did not pass."""
    findings, before = [*pulse.failed_checks(pulse.of(AssetGraph(settings), instance, 600.0))], len(hook.got)
    alerts.send(settings, findings)
    return [json.loads(body)["problem"] for _, body in hook.got[before:]]


def test_a_check_that_still_fails_for_the_same_reason_is_told_once(copy: Settings, hook: Hook) -> None:
    """As of an audience that is found anew every hour."""
    audiences = [f"audience-{i}" for i in range(12)]

    def evaluated(passed: bool, why: str) -> list[str]:
        with open_instance(copy) as instance:
            instance.add_dynamic_partitions("audiences", audiences)
            for name in audiences:
                report_check(instance, copy, name, ("audience_members", "size_is_steady"), passed, why)
            return problems_sent(instance, copy, hook)

    assert len(evaluated(False, "5 users instead of 40")) == 12
    assert evaluated(False, "5 users instead of 40") == []
    assert len(evaluated(False, "4 users instead of 40")) == 12, "another reason"
    assert evaluated(True, "about as many") == []
    assert len(evaluated(False, "4 users instead of 40")) == 12, "again, after it had passed"


def test_what_a_young_home_cannot_judge_is_told_once_and_not_every_day(copy: Settings, hook: Hook) -> None:
    def evaluated(day: int, why: str) -> list[str]:
        with open_instance(copy) as instance:
            report_check(instance, copy, f"2026-01-{day:02}", ("feature_drift", "nothing_drifted"), False, why)
            return problems_sent(instance, copy, hook)

    assert len(evaluated(1, "not judged: searches (the source is 20 days old, and 42 are needed)")) == 1
    assert evaluated(2, "not judged: searches (the source is 21 days old, and 42 are needed)") == []
    assert len(evaluated(3, "drifted: searches")) == 1
    assert len(evaluated(4, "drifted: searches")) == 1, "a drift is one of its day"


def test_days_that_automation_left_out_are_told(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "instigators", lambda _: ["a schedule that is on"])
    monkeypatch.setattr(pulse, "BACKFILLED", ("raw_events",))
    with open_instance(home) as instance:
        for day in ("2026-01-01", "2026-01-02"):
            instance.report_runless_asset_event(dg.AssetMaterialization("raw_events", partition=day))
        (finding,) = pulse.missed(pulse.of(AssetGraph(home), instance, 60.0))
    assert finding.problem == "raw_events was not made of 2026-01-03"
    assert "found backfill --from 2026-01-03 --to 2026-01-03" in finding.fix


def test_a_source_of_which_no_new_day_comes_is_told_by_its_own_rhythm(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = AssetGraph(home)
    day = dt.datetime(2026, 1, 3, 12, tzinfo=dt.UTC).timestamp()  # the newest of three days, one after the other
    with open_instance(home) as instance:

        def problems(days_later: int) -> list[str]:
            return [finding.problem for finding in pulse.late(pulse.of(graph, instance, 60.0, now=day + days_later * 86_400))]

        assert not problems(30), "nobody watches its files"
        monkeypatch.setattr(pulse, "instigators", lambda _: [SimpleNamespace(instigator_name="source_files")])
        assert not problems(3)
        assert problems(4) == [
            "no new day has come for 4 days: the newest is 2026-01-03, and in the 56 days before it each day had events"
        ]
        manifest = staging.manifest(home)
        days = {"2025-12-27": [1, "0"], "2026-01-03": [1, "0"]}  # once a week
        monkeypatch.setattr(staging, "manifest", lambda _: {**manifest, "days": days})
        assert not problems(9)
        assert "days with events were at most 7 days apart" in problems(10)[0]


@pytest.mark.slow
def test_a_daemon_that_was_killed_is_told_within_two_minutes(home: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real daemon; it is killed, and the clock of the look is put forward by what it takes to be sure."""
    with open_instance(home) as instance:
        environment = {**os.environ, "FOUND_HOME": str(home.home), "DAGSTER_HOME": str(home.dagster_home)}
        command = [sys.executable, "-m", "dagster._daemon", "run", "--empty-workspace"]
        daemon = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 90
            while not instance.get_daemon_heartbeats() and time.monotonic() < end:
                time.sleep(0.5)
        finally:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
        monkeypatch.setattr(pulse, "waits", lambda _: ["a queued run"])
        graph, after = AssetGraph(home), time.time() + queueing.ALIVE_SECONDS + 1
        alive = pulse.of(graph, instance, 60.0)
        dead = pulse.of(graph, instance, 60.0, now=after)
        assert pulse.heartbeats(alive)
        assert not [*pulse.daemon(alive)]
        sent = alerts.send(home, [*pulse.daemon(dead)])
    assert queueing.ALIVE_SECONDS + 30 < 120
    assert "has given no sign of life" in sent[0].finding.problem
    assert "found serve --all" in json.loads(hook.got[0][1])["fix"]


def test_a_sensor_without_a_tick_for_long_is_found_while_the_daemon_lives(copy: Settings) -> None:
    """Where its code location does not load, no tick fails."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="dagster_defs.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "source_files")
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData(min_interval=60))
    now = time.time()
    with open_instance(copy) as instance:
        instance.add_instigator_state(state)
        graph = AssetGraph(copy)
        instance.add_daemon_heartbeat(DaemonHeartbeat(now, "SENSOR", "1", []))
        assert not [*pulse.overdue_ticks(pulse.of(graph, instance, 60.0))], "it has never ticked"
        tick = (state.instigator_origin_id, "source_files", InstigatorType.SENSOR, TickStatus.SKIPPED, now - 3000)
        instance.create_tick(TickData(*tick, selector_id=state.selector_id))
        (finding,) = pulse.overdue_ticks(pulse.of(graph, instance, 60.0, now=now))
        assert finding.problem == "source_files is on, and was last looked at by the daemon 50 minutes ago"
        assert not [*pulse.overdue_ticks(pulse.of(graph, instance, 60.0, now=now - 2000))]
        assert not [*pulse.overdue_ticks(pulse.of(graph, instance, 60.0, now=now + 600))], (
            "the daemon is gone, which is another finding"
        )


def test_a_server_looks_by_itself_and_goes_on_after_a_look_that_fails(
    home: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, stopping = create_app(Options(home.home), warm=False).state.server, threading.Event()
    monkeypatch.setenv("FOUND_DISK_FREE_GB", "1000000")
    monkeypatch.setattr(watch, "EVERY", 0.01)
    real, calls = watch.look, []

    def look(of: Any) -> None:
        calls.append(of)
        monkeypatch.setattr(alerts, "DATABASE", "no/such/folder.db" if len(calls) == 1 else "alerts.db")
        real(of)
        if len(calls) == 2:
            stopping.set()

    monkeypatch.setattr(watch, "look", look)
    watch.until(server, stopping)
    assert "Alerts were not sent: " in caplog.text
    assert [json.loads(body)["check"] for _, body in hook.got] == ["disk"]


def test_a_server_without_a_channel_looks_for_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOUND_ALERT_WEBHOOK")
    monkeypatch.delenv("FOUND_ALERT_MAIL_TO")
    home.model_copy(update={"alert_webhook": None, "alert_mail_to": None}).keep()
    monkeypatch.setattr(watch, "look", lambda _: pytest.fail("it looked"))
    watch.until(create_app(Options(home.home), warm=False).state.server, threading.Event())


def test_the_command_tells_and_tries_the_channels(home: Settings, hook: Hook) -> None:
    outcome = call_found("alerts", "--trial", "--home", home.home)
    assert (outcome.status, "sent by webhook" in outcome.out, "sent by mail" in outcome.out) == (0, True, True), outcome.err
    assert call_found("alerts", "--home", home.home).out == "Nothing new to tell.\n"
    hook.status = 500
    assert call_found("alerts", "--trial", "--home", home.home).status == 1
