"""The graph drives itself: from files to features, drift, a model, an index and audiences, and each part says why it waits."""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from small_automation import Daemon

from dagster_defs import staleness
from dagster_defs.automation import audiences
from dagster_defs.build import build_defs
from dagster_defs.execution import open_instance
from dagster_defs.graph import HISTORY, AssetGraph
from found_platform import index, registry
from found_platform.audiences import deliveries, membership, specification
from found_platform.audiences.lookup import Question
from found_platform.privacy import audit, holds
from found_platform.settings import Settings
from found_platform.sources import config, staging

USERS = 8
THINGS = ("dog food", "camping stove", "coffee beans", "gold ring")
NOW = dt.datetime(2024, 3, 27, 5, tzinfo=dt.UTC)
MONDAY = dt.datetime(2024, 4, 1, 3, tzinfo=dt.UTC)
SCHEDULES = ("retrain_weekly", "refresh_audiences_on_time", "expire_daily")
SENSORS = ("source_files", "audiences_follow", "deliveries_follow", "retrain_on_drift")


def orders(folder: Path, first: int, last: int, at: dt.datetime) -> None:
    """A file of an order a day, by one user after the other, for days of March; it was written at this time."""
    lines = [f"u{day % USERS},2024-03-{day:02d} 10:00:00,{THINGS[day % 4]},{day}" for day in range(first, last + 1)]
    path = folder / f"orders-{first:02d}.csv"
    path.write_text("\n".join(["id,when,what,number", *lines]) + "\n")
    os.utime(path, (at.timestamp(), at.timestamp()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unattended")
    orders(folder, 1, 25, NOW - dt.timedelta(hours=1))
    columns = {"user_id": "id", "event_time": "when", "text": "what", "event_id": "number"}
    content = {"name": "handful", "channels": {"pay_bill": {"path": "orders-*.csv", "columns": columns}}}
    (folder / "shop.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def home(folder: Path) -> Settings:
    """A home that knows its source, in which nothing has run."""
    settings = Settings.load(folder / "home", profile="tiny")
    staging.open_home(settings, staging.discover(settings, config.load(folder / "shop.yaml")))
    settings.keep()
    return settings


@pytest.fixture(scope="module")
def daemon(home: Settings) -> Iterator[Daemon]:
    with open_instance(home) as instance:
        yield Daemon(home, instance, NOW)


@pytest.mark.slow
def test_from_a_file_to_an_audience_nobody_clicks(folder: Path, home: Settings, daemon: Daemon) -> None:
    daemon.settle(SENSORS)
    assert daemon.runs[0] == "ingest", "the scan"
    assert set(daemon.runs) == {"ingest", "ingest 2024-03-25", "watch_drift 2024-03-25"}
    assert not [
        s.asset for s in staleness.of_home(home) if s.kind == "daily" and s.asset != "feature_drift" and len(s.materialized) != 25
    ]

    requests, reason = daemon.schedule("retrain_weekly", MONDAY)
    assert reason is None
    (request,) = requests
    assert request.partition_key == "2024-03-26"
    daemon.conditions()
    daemon.runs.clear()
    assert daemon.execute(request, "train_cutoff")
    daemon.settle(SENSORS)
    # index and prompts come in a second run, since they wait for a verdict that passed
    assert daemon.runs == ["train_cutoff 2024-03-26", "publish 2024-03-26", "publish 2024-03-26"]
    first = index.live(home)
    assert registry.champion(home).version == first.model_version
    run = daemon.instance.get_runs(dg.RunsFilter(job_name="publish"), limit=1)[0]
    tags = {name: run.tags.get(f"found/{name}") for name in ("source", "cutoff", "model")}
    assert tags == {"source": "handful", "cutoff": "2024-03-26", "model": first.model_version}

    specification.save(home, specification.draft(home, audience="gold", question=Question("gold ring"), top=2))
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert daemon.runs == ["refresh_audiences gold"]
    (folder / "sent").mkdir()
    deliveries.add(home, "crm", f"csv+file://{folder}/sent")
    specification.keep_so(home, "gold", deliver_to=("crm",), deliver_changes=True)
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert list(dict.fromkeys(daemon.runs)) == ["refresh_audiences gold", "deliver_audience"]

    orders(folder, 26, 26, NOW)
    daemon.now = NOW + dt.timedelta(days=1)
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert daemon.runs[:2] == ["ingest", "ingest 2024-03-26"]
    assert daemon.runs.count("watch_drift 2024-03-26") == 1
    assert not staleness.stale(AssetGraph(home), daemon.instance, HISTORY, [""]), "it tells of the new day"
    assert daemon.conditions() == {}, "a later day asks for nothing of an earlier cutoff"
    assert index.live(home) == first, "a day does not make a model"
    (request,), _ = daemon.schedule("retrain_weekly", MONDAY + dt.timedelta(days=7))
    assert daemon.execute(request, "train_cutoff")
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert list(dict.fromkeys(daemon.runs)) == ["publish 2024-03-27", "refresh_audiences gold", "deliver_audience"]
    refreshed = membership.last(home, "gold")
    assert refreshed is not None
    assert refreshed.index_version == index.live(home).name.removesuffix(".db") != first.name.removesuffix(".db")
    assert [row.content for row in deliveries.history(home, "gold")] == ["changes", "whole"]
    assert len(list((folder / "sent").glob("gold-*.csv"))) == 2
    for name in SENSORS:
        assert daemon.sensor(name)[0] == []


@pytest.mark.slow
def test_a_drift_asks_for_a_training_once_and_not_before_the_cool_down_is_over(home: Settings, daemon: Daemon) -> None:
    """The report of a day is written by hand here: that a drift is seen is another test's."""
    last = daemon.instance.get_run_records(dg.RunsFilter(job_name="train_cutoff"), limit=1)[0].create_timestamp
    daemon.now = last + dt.timedelta(days=1)

    def report(day: str, state: str) -> None:
        daemon.instance.report_runless_asset_event(
            dg.AssetMaterialization("feature_drift", partition=day, metadata={"state": state})
        )

    report("2024-03-26", "passed")
    assert daemon.sensor("retrain_on_drift") == ([], "No drift: the report of 2024-03-26 says 'passed'.")
    report("2024-03-26", "drifted")
    assert "lies before the cutoff 2024-03-27 of the champion" in str(daemon.sensor("retrain_on_drift")[1])
    report("2024-03-27", "drifted")
    reason = str(daemon.sensor("retrain_on_drift")[1])
    assert reason.startswith("The last training began on ")
    assert f"the next may begin on {last + dt.timedelta(days=7):%Y-%m-%d %H:%M} UTC" in reason
    daemon.now = last + dt.timedelta(days=7, minutes=1)
    assert "There is a model of the newest cutoff 2024-03-27 already" in str(daemon.sensor("retrain_on_drift")[1])
    orders(home.home.parent, 27, 27, NOW)
    (scan,), _ = daemon.sensor("source_files")
    assert daemon.execute(scan)
    for name in ("source_files", "retrain_on_drift"):
        assert "this code location was loaded when it had others" in str(daemon.sensor(name)[1])
    daemon.reload()
    assert "reads raw_events of 2024-03-27, which has not been made yet" in str(daemon.sensor("retrain_on_drift")[1])
    (day,), _ = daemon.sensor("source_files")
    assert daemon.execute(day)
    (training,), _ = daemon.sensor("retrain_on_drift")
    assert (training.partition_key, training.tags["found/because_of"]) == ("2024-03-28", "drift")
    daemon.instance.create_run_for_job(daemon.defs.resolve_job_def("train_cutoff"), tags=training.tags)
    assert "of the job train_cutoff is at work" in str(daemon.sensor("retrain_on_drift")[1])


@pytest.mark.slow
def test_a_scan_that_failed_is_not_repeated_until_the_files_change(folder: Path, home: Settings, daemon: Daemon) -> None:
    daemon.now = NOW + dt.timedelta(days=30)
    (folder / "orders-28.csv").write_text("id,when,what,number\n" + "u1,never,tent,1\n" * 9)
    changed = daemon.now - dt.timedelta(seconds=20)
    os.utime(folder / "orders-28.csv", (changed.timestamp(), changed.timestamp()))
    assert "was changed 20 seconds ago and may still be being written" in str(daemon.sensor("source_files")[1])
    daemon.now += dt.timedelta(minutes=1)
    (scan,), _ = daemon.sensor("source_files")
    assert not daemon.execute(scan)
    reason = str(daemon.sensor("source_files")[1])
    assert "the scan of these files, failed; its page says why" in reason
    orders(folder, 28, 28, NOW)
    (again,), _ = daemon.sensor("source_files")
    assert again.run_key != scan.run_key


@pytest.mark.slow
def test_every_sensor_says_why_it_has_nothing_to_do_in_a_home_where_nothing_is(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    with open_instance(settings) as instance:
        daemon = Daemon(settings, instance, NOW)
        reasons = {name: daemon.sensor(name) for name in SENSORS}
        reasons |= {name: daemon.schedule(name, MONDAY) for name in SCHEDULES}
        assert daemon.conditions() == {}
    assert {name: requests for name, (requests, _) in reasons.items() if requests} == {}
    assert {name: reason for name, (_, reason) in reasons.items()} == {
        "source_files": "The home has no source yet: `found demo --source FILE` gives it one.",
        "audiences_follow": "No audience is saved, or all of them are frozen.",
        "deliveries_follow": "Every refresh is where it should be, or no audience names a destination.",
        "retrain_on_drift": "No model serves yet: the schedule, or a person, trains the first one.",
        "retrain_weekly": reasons["retrain_weekly"][1],
        "refresh_audiences_on_time": "No audience is saved, or all of them are frozen.",
        "expire_daily": "Everything is kept as long as the home: FOUND_RETENTION names no days.",
    }
    assert "reads raw_events of" in str(reasons["retrain_weekly"][1])


def test_what_is_too_old_goes_once_a_day_and_a_schedule_that_skips_says_why(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny", retention="audit=365")
    settings.keep()
    audit.record(settings, "find")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=300)
    with open_instance(settings) as instance:
        daemon = Daemon(settings, instance, NOW)
        assert daemon.schedule("expire_daily", later) == ([], "Nothing is older than FOUND_RETENTION lets it be.")
        (request,), _ = daemon.schedule("expire_daily", later + dt.timedelta(days=66))
        assert request.run_key == f"expire {later + dt.timedelta(days=66):%Y-%m-%d}"
        assert daemon.execute(request, "expire"), "by today's clock it lets nothing go"
        newest = audit.entries(settings)[0]
        assert (newest["action"], newest["question"]) == ("expire", '{"rows": {}}')
        holds.add(settings, "case-12", None, ["audit_log"])
        reason = daemon.schedule("expire_daily", later + dt.timedelta(days=66))[1]
        assert str(reason).endswith("audit stays: the table audit_log is under the legal hold 'case-12'.")
        Settings.load(settings.home, retention="events=30", lookback_days=10).keep()
        daemon.reload()
        assert "Nothing has run in" in str(daemon.schedule("expire_daily", later)[1])


def test_no_partition_is_asked_for_whose_parents_do_not_exist(tmp_path: Path) -> None:
    """A model appears of a cutoff before which no day was made, and a day of features without the days around it."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    with open_instance(settings) as instance:
        daemon = Daemon(settings, instance, NOW)
        daemon.conditions()
        days = AssetGraph(settings).keys("user_tabular")
        instance.report_runless_asset_event(dg.AssetMaterialization("found_model", partition=days[40]))
        instance.report_runless_asset_event(dg.AssetMaterialization("user_tabular", partition=days[-1]))
        assert daemon.conditions() == {}
        assert daemon.conditions() == {}


@pytest.mark.parametrize("automation", [False, True])
def test_everything_can_be_switched_off_and_one_setting_switches_it_on(tmp_path: Path, automation: bool) -> None:
    repository = build_defs(Settings.load(tmp_path, automation=automation)).get_repository_def()
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    schedules = {schedule.name: schedule.default_status for schedule in repository.schedule_defs}
    assert sensors.keys() == {*SENSORS, "what_follows"}
    assert schedules.keys() == set(SCHEDULES)
    assert {status.value for status in [*sensors.values(), *schedules.values()]} == {"RUNNING" if automation else "STOPPED"}


def test_runs_are_watched_and_only_crashes_are_repeated(tmp_path: Path) -> None:
    with open_instance(Settings.load(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 86_400
        assert instance.run_retries_enabled
        assert (instance.run_retries_max_retries, instance.run_retries_retry_on_asset_or_op_failure) == (1, False)
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 60


@pytest.mark.parametrize(
    ("at", "periods"),
    [
        (dt.datetime(2024, 4, 2, 7), {"hour"}),  # a Tuesday
        (dt.datetime(2024, 4, 2, 6), {"hour", "day"}),
        (dt.datetime(2024, 4, 8, 6), {"hour", "day", "week"}),
        (dt.datetime(2024, 4, 1, 6), {"hour", "day", "week", "month"}),
        (dt.datetime(2024, 5, 1, 6), {"hour", "day", "month"}),
    ],
)
def test_an_audience_is_found_anew_at_its_hour_day_week_or_month(at: dt.datetime, periods: set[str]) -> None:
    assert audiences.due(at) == periods
