"""Where a daemon is alive for a home, it executes what a command asks for; where it is not, or dies, the command does."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from conftest import at, write_source
from dagster._daemon.types import DaemonHeartbeat

from dagster_defs import queueing, runs
from dagster_defs.execution import IN_PROCESS, open_instance
from found_platform import lake
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings
from found_platform.sources import config, staging

ROOT = Path(__file__).resolve().parents[2]
DAYS = (dt.date(2024, 1, 1), dt.date(2024, 1, 4))


@pytest.fixture
def shop_home(tmp_path: Path) -> Settings:
    """A home with a source of four days, in which nothing has run, and which keeps its settings."""
    settings = Settings.load(tmp_path / "home", profile="tiny", lookback_days=5)
    events = [{"user_id": f"u{i % 4}", "event_time": at(f"2024-01-{1 + i % 4:02d}"), "text": f"text {i % 5}"} for i in range(40)]
    staging.open_home(settings, staging.discover(settings, config.load(write_source(tmp_path, events))))
    settings.keep()
    return settings


def beat(settings: Settings, seconds_ago: float = 0.0) -> None:
    """A sign of life of a daemon that is not there."""
    with open_instance(settings) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, queueing.COORDINATOR, None, None))


def test_the_code_location_is_that_of_the_workspace() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {"module_name": queueing.MODULE, "location_name": queueing.LOCATION}


def test_a_daemon_is_asked_only_while_it_lives_and_sees_the_same_settings(shop_home: Settings) -> None:
    with open_instance(shop_home) as instance:
        assert not queueing.is_open(shop_home, instance)
        beat(shop_home)
        assert queueing.is_open(shop_home, instance)
        assert not queueing.is_open(shop_home.model_copy(update={"lookback_days": 6}), instance)
        beat(shop_home, queueing.ALIVE_SECONDS + 1)
        assert not queueing.is_open(shop_home, instance)


@pytest.mark.slow
def test_a_run_that_a_dying_daemon_leaves_in_the_queue_is_executed_here(
    shop_home: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beat(shop_home)
    submit = queueing.submit

    def submit_and_die(*order) -> str:
        run_id = submit(*order)
        beat(shop_home, queueing.ALIVE_SECONDS + 1)
        return run_id

    monkeypatch.setattr(queueing, "submit", submit_and_die)
    list(runs.backfill(shop_home, *DAYS, assets=["raw_events"]))
    assert "gives no sign of life any more: the run is executed here" in caplog.text
    with open_instance(shop_home) as instance:
        statuses = [r.status for r in instance.get_runs()]
    assert statuses.count(dg.DagsterRunStatus.CANCELED) == 1
    assert set(statuses) == {dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS}
    assert lake.read(shop_home.lake, "raw_events").num_rows == 40


@pytest.mark.slow
def test_a_run_that_stays_in_the_queue_too_long_is_taken_back_and_says_so(shop_home: Settings) -> None:
    beat(shop_home)  # of a daemon that has others to run
    with pytest.raises(JobFailed, match=r"After 0.6 seconds run .{8} is still in the queue of the Dagster daemon"):
        list(runs.backfill(shop_home.model_copy(update={"wait_minutes": 0.01}), *DAYS, assets=["raw_events"]))
    with open_instance(shop_home) as instance:
        assert {r.status for r in instance.get_runs()} == {dg.DagsterRunStatus.CANCELED}


@pytest.mark.slow
def test_a_living_daemon_executes_what_commands_ask_for_with_the_same_rows_and_errors(shop_home: Settings, tmp_path: Path) -> None:
    with open_instance(shop_home):
        environment = {
            **os.environ,
            "FOUND_HOME": str(shop_home.home),
            "DAGSTER_HOME": str(shop_home.dagster_home),
            "PYTHONPATH": str(ROOT),
        }
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", str(ROOT / "workspace.yaml")]
    with (tmp_path / "daemon.log").open("w") as log:
        daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
    try:
        with open_instance(shop_home) as instance:
            deadline = time.monotonic() + 180
            while not queueing.is_open(shop_home, instance):
                assert time.monotonic() < deadline, (tmp_path / "daemon.log").read_text()[-2000:]
                time.sleep(0.5)
            with pytest.raises(BadInput, match="behavior_text of 2024-01-02 reads raw_events of 2024-01-02"):
                runs.materialize(shop_home, "behavior_text", "2024-01-02")
            (filled,) = [f for f in runs.backfill(shop_home, *DAYS, assets=["raw_events"]) if f.keys]
            assert (len(filled.keys), filled.rows) == (4, 40)
            by_daemon = [r.run_id for r in instance.get_runs() if IN_PROCESS not in r.tags]
            assert len(by_daemon) == len(instance.get_runs()) == 5  # a failed one, quarantine, raw_profile, raw_events, history
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(timeout=60)
