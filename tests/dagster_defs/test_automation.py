"""The graph drives itself: from files to features, drift, a model, an index and audiences, and each part says why it waits."""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from small_automation import Daemon

from dagster_defs import runs
from dagster_defs.execution import open_instance
from found_platform import index, registry
from found_platform.audiences import membership, specification
from found_platform.audiences.lookup import Question
from found_platform.settings import Settings
from found_platform.sources import config, staging

USERS = 8
THINGS = ("dog food", "camping stove", "coffee beans", "gold ring")
NOW = dt.datetime(2024, 3, 27, 5, tzinfo=dt.UTC)
MONDAY = dt.datetime(2024, 4, 1, 3, tzinfo=dt.UTC)
SENSORS = ("source_files", "audiences_follow", "retrain_on_drift")


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


def test_from_a_file_to_an_audience_nobody_clicks(folder: Path, home: Settings, daemon: Daemon) -> None:
    daemon.settle(SENSORS)
    assert daemon.runs[0] == "ingest", "the scan"
    assert set(daemon.runs) == {"ingest", "ingest 2024-03-25", "watch_drift 2024-03-25"}
    assert not [s.asset for s in runs.states(home) if s.kind == "daily" and s.asset != "feature_drift" and len(s.made) != 25]

    requests, reason = daemon.schedule("retrain_weekly", MONDAY)
    assert reason is None
    (request,) = requests
    assert request.partition_key == "2024-03-26"
    daemon.conditions()
    daemon.runs.clear()
    assert daemon.execute(request, "train_cutoff")
    daemon.settle(SENSORS)
    assert daemon.runs == ["train_cutoff 2024-03-26", "publish 2024-03-26"], "a verdict and an index follow, in one run"
    first = index.live(home)
    assert registry.champion(home).version == first.model_version
    (run,) = daemon.instance.get_runs(dg.RunsFilter(job_name="publish"))
    tags = {name: run.tags.get(f"found/{name}") for name in ("source", "cutoff", "model")}
    assert tags == {"source": "handful", "cutoff": "2024-03-26", "model": first.model_version}

    specification.save(home, specification.draft(home, audience="gold", question=Question("gold ring"), top=2))
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert daemon.runs == ["refresh_audiences gold"]

    orders(folder, 26, 26, NOW)
    daemon.now = NOW + dt.timedelta(days=1)
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert daemon.runs[:2] == ["ingest", "ingest 2024-03-26"]
    assert daemon.runs[-1] == "watch_drift 2024-03-26"
    assert index.live(home) == first, "a day does not make a model"
    (request,), _ = daemon.schedule("retrain_weekly", MONDAY + dt.timedelta(days=7))
    assert daemon.execute(request, "train_cutoff")
    daemon.runs.clear()
    daemon.settle(SENSORS)
    assert daemon.runs == ["publish 2024-03-27", "refresh_audiences gold"]
    refreshed = membership.last(home, "gold")
    assert refreshed is not None
    assert refreshed.index_version == index.live(home).name.removesuffix(".db") != first.name.removesuffix(".db")
    for name in SENSORS:
        assert daemon.sensor(name)[0] == []
