"""The doctor: a home in order has no finding, and everything that is broken in one is found, with its fix."""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from conftest import call_found
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData, TickData, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from dagster_defs.execution import QUIET, open_instance
from found_platform import registry
from found_platform.app import operations
from found_platform.app.context import Actor, Context
from found_platform.engine import spark_connect
from found_platform.errors import BadInput
from found_platform.housekeeping import condition
from found_platform.index import pointer
from found_platform.monitoring.finding import Finding
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("doctor") / "found")))


@pytest.fixture
def broken(home: Settings, tmp_path: Path) -> Settings:
    return Settings.load(
        Path(shutil.copytree(home.home, tmp_path / "found", ignore=shutil.ignore_patterns("training", "simulated")))
    )


def findings(settings: Settings, check: str) -> list[Finding]:
    diagnosis = operations.diagnose(Context(settings.home, Actor("ann", "test")))
    assert all(finding.problem and finding.fix for finding in diagnosis.findings)
    return [finding for finding in diagnosis.findings if finding.check == check]


def test_a_home_in_order_has_no_finding(home: Settings) -> None:
    diagnosis = operations.diagnose(Context(home.home, Actor("ann", "test")))
    of_the_machine, too_short = ("versions", "disk"), "not judged"  # drift needs two months
    assert not [f for f in diagnosis.findings if f.check not in of_the_machine and too_short not in f.problem]


def read_by_all(settings: Settings) -> None:
    (settings.home / "vault.db").chmod(0o644)


def telemetry_on(settings: Settings) -> None:
    path = settings.dagster_home / "dagster.yaml"
    path.write_text(path.read_text().replace("telemetry: {enabled: false}", "telemetry: {enabled: true}"))


def model_lost(settings: Settings) -> None:
    shutil.rmtree(registry.served(settings, registry.champion(settings).version))


def index_lost(settings: Settings) -> None:
    shutil.rmtree(settings.home / "index" / pointer.live(settings).name)


def erasure_killed(settings: Settings) -> None:
    (settings.home / "erasures").mkdir()
    (settings.home / "erasures" / "0123.progress.json").write_text("{}")


def database_damaged(settings: Settings) -> None:
    path = settings.home / "deliveries.db"
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE t AS SELECT randomblob(20000) AS x")
    data = bytearray(path.read_bytes())
    data[4096:8000] = bytes(range(256)) * 15 + bytes(64)
    path.write_bytes(data)


def verdict_taken_back(settings: Settings) -> None:
    version = registry.champion(settings).version
    registry.store_verdict(settings, version, registry.Verdict(False, "too close", {}))


def table_cut_off(settings: Settings) -> None:
    path = next((settings.home / "lake" / "raw_events").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def table_without_log(settings: Settings) -> None:
    shutil.rmtree(settings.home / "lake" / "raw_events" / "_delta_log")


BREAKS: dict[str, tuple[Callable[[Settings], None], str, str]] = {
    "modes": (read_by_all, r"1 files of the home can be read by others, such as .*vault.db", "chmod -R go-rwx"),
    "telemetry": (telemetry_on, "tells its makers", "enabled: false"),
    "aliases": (index_lost, "live index .* is gone", "found publish"),
    "models": (model_lost, "are missing", "restore the home"),
    "erasure": (erasure_killed, "the erasure 0123 was not ended", "it goes on"),
    "tables": (table_cut_off, r"1 of .* files of the table raw_events are gone or cut off", "found restore"),
    "stores": (database_damaged, r"deliveries.db is damaged", "found restore"),
}


@pytest.mark.parametrize("check", BREAKS)
def test_what_is_broken_is_found_with_its_fix(broken: Settings, check: str) -> None:
    breaks, problem, fix = BREAKS[check]
    breaks(broken)
    looks = condition.LOOKS[check](broken)
    (first, *_) = looks
    assert first.check == check
    assert re.search(problem, first.problem)
    assert fix in first.fix


def test_a_table_without_its_log_is_found(broken: Settings) -> None:
    table_without_log(broken)
    (finding,) = condition.tables(broken)
    assert "the table raw_events cannot be opened" in finding.problem


@pytest.mark.parametrize("name", ["mlflow/mlflow.db", "dagster/history/runs.db", "dagster/history/runs/index.db"])
def test_the_doctor_says_what_it_can_where_a_database_cannot_be_read(broken: Settings, name: str) -> None:
    (broken.home / name).write_bytes(b"\xff" * 5000)
    diagnosis = operations.diagnose(Context(broken.home, Actor("ann", "test")))
    assert any("is damaged" in finding.problem and "found restore" in finding.fix for finding in diagnosis.findings)


def test_a_champion_whose_verdict_does_not_pass_is_found(broken: Settings) -> None:
    verdict_taken_back(broken)
    assert "its stored verdict does not pass" in next(iter(condition.aliases(broken))).problem


def test_an_engine_that_does_not_answer_is_found(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_connect, "SECONDS", 1)
    assert not [*condition.computes(home)]
    (finding,) = condition.computes(home.model_copy(update={"engine": "sc://127.0.0.1:1"}))
    assert "FOUND_ENGINE=duckdb" in finding.fix


def test_little_room_on_the_disk_is_found(home: Settings) -> None:
    (finding,) = condition.disk(home.model_copy(update={"disk_free_gb": 1e9}))
    assert "found gc --dry-run" in finding.fix
    assert not [*condition.disk(home.model_copy(update={"disk_free_gb": 0.0}))]


def test_another_version_than_the_tested_one_is_found(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "_tested", lambda: {"torch": "0.1"})
    assert "and 0.1 is the tested one" in next(iter(condition.versions(home))).problem


def test_a_lock_that_is_held_for_hours_is_found(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform.home import hold

    monkeypatch.setattr(condition, "LONG_HELD", -1.0)
    with hold(home.home, ["run-service"], "found demo", seconds=1):
        (finding,) = condition.locks(home)
    assert "run-service has been held for 0 hours by pid" in finding.problem
    assert not [*condition.locks(home)]


def switched_on(instance: dg.DagsterInstance) -> InstigatorState:
    """A schedule that is on, as the daemon keeps it."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="dagster_defs.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "refresh_audiences_daily")
    state = InstigatorState(
        origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, ScheduleInstigatorData("0 6 * * *", start_timestamp=time.time())
    )
    instance.add_instigator_state(state)
    return state


def test_a_stopped_daemon_and_a_failed_tick_are_found(broken: Settings) -> None:
    with open_instance(broken) as instance:
        state = switched_on(instance)
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 600, "SCHEDULER", "1", []))
        error = SerializableErrorInfo("Error: the store is full\n", [], "Error")
        tick = (state.instigator_origin_id, state.instigator_name, InstigatorType.SCHEDULE, TickStatus.FAILURE, time.time() - 60)
        instance.create_tick(TickData(*tick, error=error, selector_id=state.selector_id))
    (daemon,), (failed,) = findings(broken, "daemon"), findings(broken, "ticks")
    assert "refresh_audiences_daily wait for it" in daemon.problem
    assert "found serve --all" in daemon.fix
    assert failed.problem.endswith("the store is full")


def test_a_daemon_for_which_nothing_waits_is_no_finding(broken: Settings) -> None:
    with open_instance(broken) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 600, "SCHEDULER", "1", []))
    assert not findings(broken, "daemon")


def test_a_failed_refresh_and_a_failed_check_are_found_until_they_are_made_good(broken: Settings) -> None:
    partitions = dg.DynamicPartitionsDefinition(name="others")

    def asset(*, fails: bool) -> dg.AssetsDefinition:
        @dg.asset(name="audience_members", partitions_def=partitions)
        def audience_members() -> None:
            if fails:
                raise BadInput("The audience 'gold' names a column that is gone: save it again.")

        return audience_members

    with open_instance(broken) as instance:
        instance.add_dynamic_partitions("others", ["gold"])
        dg.materialize([asset(fails=True)], partition_key="gold", instance=instance, raise_on_error=False, run_config=QUIET)
        about = {"check_name": "size_is_steady", "asset_key": dg.AssetKey("audience_members")}
        check = {**about, "severity": dg.AssetCheckSeverity.WARN}
        why = {"why": "5 users instead of 40"}
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(passed=False, metadata=why, **check))
    (failed,), (jump,) = findings(broken, "refresh"), [f for f in findings(broken, "checks") if "size_is_steady" in f.problem]
    assert failed.problem == (
        "the refresh of the audience gold failed: The audience 'gold' names a column that is gone: save it again"
    )
    assert "found audience refresh gold" in failed.fix
    assert jump.problem.endswith("5 users instead of 40")
    with open_instance(broken) as instance:
        dg.materialize([asset(fails=False)], partition_key="gold", instance=instance, run_config=QUIET)
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(passed=True, metadata=why, **check))
    assert not findings(broken, "refresh")
    assert not [f for f in findings(broken, "checks") if "size_is_steady" in f.problem]


def test_the_command_ends_with_1_where_anything_is_found(broken: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by_all(broken)
    outcome = call_found("doctor", "--home", broken.home)
    assert outcome.status == 1
    assert "modes: 1 files" in outcome.out
    document = json.loads(call_found("doctor", "--home", broken.home, "--format", "json").out)
    assert "modes" in {finding["check"] for finding in document["findings"]}
