"""Several processes in one home: they wait for each other only where they write the same, and a killed one holds nobody up."""

import datetime as dt
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from conftest import at, write_source

from dagster_defs import locks, runs, staleness
from dagster_defs.execution import cancel_dead_runs, executor, open_instance
from dagster_defs.graph import AssetGraph
from dagster_defs.queueing import UNFINISHED
from found_platform import home
from found_platform.audiences import lookup, membership, specification
from found_platform.audiences.lookup import Question
from found_platform.audiences.question import Size
from found_platform.errors import JobFailed
from found_platform.settings import Settings
from found_platform.sources import config, staging

FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 1, 10)
FOREVER = 300


@pytest.fixture
def shop_home(tmp_path: Path) -> Settings:
    """A home with a source of ten days, in which nothing has run."""
    settings = Settings.load(tmp_path / "home", profile="tiny", secret="aa" * 16, lookback_days=5)
    events = [{"user_id": f"u{i % 4}", "event_time": at(f"2024-01-{1 + i % 10:02d}"), "text": f"text {i % 5}"} for i in range(60)]
    staging.open_home(settings, staging.discover(settings, config.load(write_source(tmp_path, events))))
    return settings


def test_a_lock_stands_for_what_a_run_writes(settings: Settings) -> None:
    graph = AssetGraph(settings)

    def names(asset: str, *keys: str) -> list[str]:
        return locks.names(graph, asset, keys)

    assert names("raw_events", "2026-01-30", "2026-01-31", "2026-02-01") == ["run-raw_events-2026-01", "run-raw_events-2026-02"]
    assert names("quarantine") == ["run-quarantine"]
    assert names("audience_members", "gold") != names("audience_members", "silver")
    assert names("training_set", "2026-02-01") != names("training_set", "2026-02-02")
    of_a_cutoff = [names(a, "2026-02-01") for a in ("user_text_pairs", "behavior_encoder", "tabular_encoder", "found_model")]
    assert of_a_cutoff == [["run-training-2026-02-01"]] * 4  # one folder
    assert names("promotion", "2026-02-01") == names("user_index", "2026-02-02") == ["run-service"]


def test_a_run_over_a_month_that_the_home_never_had_waits_for_an_erasure(settings: Settings) -> None:
    with locks.hold(settings, ["run-raw_events-2026-01"]):
        pass
    with home.lock(settings.home, home.WHOLE):
        with locks.hold(settings, ["run-raw_events-2026-01"], seconds=0):  # the erasure would hold it, if it had come so far
            pass
        with (
            pytest.raises(JobFailed, match=r"erasure in .* is still held"),
            locks.hold(settings, ["run-raw_events-1999-01"], seconds=0),
        ):
            pass
    with locks.hold(settings, ["run-raw_events-1999-01"], seconds=0):
        pass


def spawn(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


HELD_UP = """
import sys, time
from pathlib import Path
from dagster_defs import runs
from found_platform import feature_store
from found_platform.settings import Settings
settings = Settings.load(Path(sys.argv[1]), profile="tiny", secret="aa" * 16, lookback_days=5)
def hangs(*_):
    print("started", flush=True)
    time.sleep(300)
feature_store.materialize_online = hangs
from dagster_defs.execution import executor
with executor(settings) as runner:
    runner.materialize("online_features", [""])
"""
"""Runs an asset of the pool `feast` that does not end."""


@pytest.mark.slow
def test_a_killed_run_is_cancelled_and_its_slot_is_free_for_who_waits_and_a_living_one_is_left_alone(
    shop_home: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    list(runs.backfill(shop_home, FIRST, LAST))
    process = spawn(HELD_UP, shop_home.home)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "started"
    with open_instance(shop_home) as instance:

        def unfinished() -> list[dg.DagsterRun]:
            return list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))

        (run,) = unfinished()
        cancel_dead_runs(shop_home, instance)
        assert [r.run_id for r in unfinished()] == [run.run_id]  # alive

        with (
            pytest.raises(
                JobFailed, match=rf"After 1 seconds the pool feast is still held by run {run.run_id[:8]} \(online_features, "
            ),
            executor(shop_home.model_copy(update={"wait_minutes": 1 / 60})) as runner,
        ):
            runner.materialize("online_features", [""])
        assert [r.run_id for r in unfinished()] == [run.run_id]
        assert instance.event_log_storage.get_concurrency_info("feast").pending_step_count == 0

        killer = multiprocessing.get_context("fork").Process(target=_kill_later, args=(process.pid, 8.0))
        killer.start()
        with executor(shop_home) as runner:  # waits for the slot of a living run, which is killed meanwhile
            runner.materialize("online_features", [""])
        killer.join()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert unfinished() == []
        killed = instance.get_run_by_id(run.run_id)
        assert killed is not None
        assert killed.status == dg.DagsterRunStatus.CANCELED
    assert any(f"waiting for the pool feast, held by run {run.run_id[:8]}" in r.getMessage() for r in caplog.records)
    assert not list((shop_home.home / "locks").glob("session-*"))


def _kill_later(process: int, seconds: float) -> None:
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_who_writes_the_same_days_waits_says_for_whom_and_gives_up_in_the_end(
    shop_home: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    list(runs.backfill(shop_home, FIRST, LAST, assets=["raw_events"]))
    graph = AssetGraph(shop_home)
    with locks.hold(shop_home, locks.names(graph, "behavior_text", ["2024-01-03"])):
        list(runs.backfill(shop_home, FIRST, FIRST, assets=["search_text"]))  # other tables are nobody's business
        impatient = shop_home.model_copy(update={"wait_minutes": 1 / 60})
        with pytest.raises(JobFailed, match=r"After 1 seconds run-behavior_text-2024-01 in .* is still held by pid \d+"):
            list(runs.backfill(impatient, FIRST, FIRST, assets=["behavior_text"]))
    assert f"waiting for run-behavior_text-2024-01, held by pid {os.getpid()} (" in caplog.text
    list(runs.backfill(shop_home, FIRST, FIRST, assets=["behavior_text"]))


@pytest.mark.slow
def test_who_waited_for_another_to_make_the_same_makes_it_no_second_time(shop_home: Settings) -> None:
    """Two backfills of the same days at once: each day is made once, by either."""
    list(runs.backfill(shop_home, FIRST, LAST, assets=["raw_events"]))
    code = (
        "import sys, datetime as dt; from pathlib import Path; from dagster_defs import runs;"
        "from found_platform.settings import Settings;"
        "s = Settings.load(Path(sys.argv[1]), profile='tiny', secret='aa' * 16, lookback_days=5);"
        "print(sum(len(f.keys) for f in runs.backfill(s, dt.date(2024, 1, 1), dt.date(2024, 1, 10), assets=['user_tabular'])))"
    )
    both = [spawn(code, shop_home.home) for _ in range(2)]
    outputs = [process.communicate(timeout=FOREVER) for process in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    days = [int(out.split()[-1]) for out, _ in outputs]
    assert 10 <= sum(days) <= 20  # more than 10 only where both had looked before either had its lock
    assert [s.stale for s in staleness.of_home(shop_home) if s.asset == "user_tabular"] == [[]]


REFRESH = """
import sys
from pathlib import Path
from dagster_defs import runs
from found_platform.settings import Settings
runs.refresh(Settings.load(Path(sys.argv[1])), sys.argv[2])
"""

BACKFILL = """
import sys, datetime as dt
from pathlib import Path
from dagster_defs import runs
from found_platform.settings import Settings
settings = Settings.load(Path(sys.argv[1]))
day = dt.date.fromisoformat(sys.argv[2])
list(runs.backfill(settings, day, day, assets=["user_tabular", "behavior_sequence"], force=True))
"""


@pytest.mark.slow
def test_audiences_are_refreshed_at_the_same_time_and_during_a_backfill_and_look_ups_wait_for_nobody(
    settings: Settings, cutoff: dt.date, tmp_path: Path
) -> None:
    copy = Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found")))
    question = Question(sentence="people who will soon buy gold")
    for name in ("gold", "silver"):
        specification.save(copy, specification.draft(copy, audience=name, question=question, size=Size(top=20)))
    day = cutoff - dt.timedelta(days=2)
    processes = [spawn(REFRESH, copy.home, name) for name in ("gold", "silver", "gold")] + [spawn(BACKFILL, copy.home, day)]
    graph = AssetGraph(copy)
    everything = {n for a in graph.table for n in locks.names(graph, a, graph.keys(a))}
    outputs = [process.communicate(timeout=FOREVER) for process in processes]
    assert [p.returncode for p in processes] == [0, 0, 0, 0], outputs
    for name in ("gold", "silver"):
        newest = membership.last(copy, name)
        assert newest is not None
        assert (newest.size, newest.refresh) == (20, 1)  # the second refresh of gold came out the same
    assert not any(s.stale for s in staleness.of_home(copy) if s.asset in ("audience_members", "user_tabular", "behavior_sequence"))
    with locks.hold(copy, everything):
        assert lookup.find(copy, question, Size(top=5)).users == lookup.find(settings, question, Size(top=5)).users
