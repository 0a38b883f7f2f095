"""Files of runs and models on object storage: beside the lake, with copies in the home of what is used there."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import at, call_found, lake_of, write_source

from found_platform import erasure, lake_place, objects, registry
from found_platform.errors import JobFailed
from found_platform.housekeeping import backup, condition, replaced, restore, retired
from found_platform.housekeeping.garbage import DAY, collect
from found_platform.lake_place import Away
from found_platform.privacy import keys
from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings

pytestmark = pytest.mark.slow

SECRET = "ab" * 16


def logged(settings: Settings, number: int, card: str = "# A card") -> str:
    """A version whose weights are a number."""
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig

    model = FrozenText(FrozenTextConfig("random-bert", "r", 4), torch.full((4,), float(number)))
    return registry.log(settings, model, parameters={"n": 1}, metrics={"m": 1.0}, tags={"cutoff": "2024-01-01"}, card=card)


def weights(settings: Settings) -> list[float]:
    """Of every version, the newest first."""
    return [float(registry.load(settings, v.version).model.center[0]) for v in registry.versions(settings)]  # pyright: ignore[reportAttributeAccessIssue]


def _has_copy(settings: Settings, version: str) -> bool:
    return artifacts.place(settings, tracking.client(settings).get_model_version_download_uri(registry.MODEL, version)).is_dir()


def stored(settings: Settings) -> list[str]:
    store = artifacts.store(settings)
    assert store is not None
    return [info.path for info in objects.files(store)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with all of it in its folder: days, two versions, the older of them the champion."""
    events = [{"user_id": f"user-{i}", "event_time": at(f"2024-01-0{day}"), "text": "tea"} for i in range(4) for day in (1, 2, 3)]
    source = write_source(tmp_path_factory.mktemp("source"), events)
    settings = lake_of(tmp_path_factory.mktemp("home") / "home", source, lookback_days=2, secret=SECRET)
    settings.keep()
    for number in (1, 2):
        logged(settings, number)
    tracking.client(settings).set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    return settings


@pytest.fixture
def here(original: Settings, tmp_path: Path) -> Settings:
    return Settings.load(Path(shutil.copytree(original.home, tmp_path / "home")), secret=SECRET)


@pytest.fixture
def moved(here: Settings, lakes: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same after `found move-lake`."""
    monkeypatch.setenv(lake_place.SETTING, lakes[1])
    outcome = call_found("move-lake", "--home", here.home)
    assert outcome.status == 0, outcome.err
    monkeypatch.delenv(lake_place.SETTING)
    return Settings.load(here.home, secret=SECRET)


def test_they_move_with_the_lake_and_are_fetched_where_they_are_asked_for(moved: Settings, original: Settings) -> None:
    assert not artifacts.folder(moved).exists()
    own = {str(p.relative_to(artifacts.folder(original))) for p in artifacts.folder(original).rglob("*") if p.is_file()}
    assert set(stored(moved)) == own
    assert list(condition.registered(moved)) == []
    assert not artifacts.folder(moved).exists(), "who looks fetches nothing"
    assert weights(moved) == [2.0, 1.0]
    copies = [path for path in artifacts.folder(moved).rglob("*") if path.is_file()]
    assert copies
    assert {path.stat().st_mode & 0o077 for path in artifacts.folder(moved).rglob("*")} == {0}


def test_a_new_version_lies_there_and_another_machine_has_it(moved: Settings) -> None:
    assert logged(moved, 3) == "3"
    shutil.rmtree(artifacts.folder(moved))
    assert weights(moved) == [3.0, 2.0, 1.0]


def test_a_new_home_with_the_setting_has_them_there(lakes: tuple[Any, str], tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny", lake_uri=lakes[1])
    logged(settings, 5)
    assert any(path.endswith("MLmodel") for path in stored(settings))


@pytest.mark.long
def test_a_home_whose_lake_moved_before_them_keeps_them_until_it_is_asked_to_move_them(
    here: Settings, lakes: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(lake_place.SETTING, lakes[1])
    before = Path(shutil.copytree(artifacts.folder(here), here.home.parent / "before"))
    assert call_found("move-lake", "--home", here.home).status == 0
    marker = here.home / lake_place.MARKER
    marker.write_text(json.dumps({"uri": json.loads(marker.read_text())["uri"]}))  # as an earlier version wrote it
    older = Settings.load(here.home)
    objects.remove_all(Away(f"{older.lake}/{lake_place.ARTIFACTS}", older.home))
    shutil.copytree(before, artifacts.folder(older))
    assert artifacts.store(older) is None
    assert weights(older) == [2.0, 1.0]
    outcome = call_found("move-lake", "--home", here.home)
    assert "each read back" in outcome.out
    assert not artifacts.folder(older).exists()
    assert weights(older) == [2.0, 1.0]
    assert "already" in call_found("move-lake", "--home", here.home).out


def test_what_is_gone_there_is_said(moved: Settings) -> None:
    store = artifacts.store(moved)
    assert store is not None
    objects.remove_all(store)
    with pytest.raises(JobFailed, match=r"files of version 1 of 'found' are missing in .* and at s3://lakes/.*/_artifacts"):
        registry.load(moved, "1")
    assert [finding.check for finding in condition.aliases(moved)] == ["aliases"] * 2, "no files, and no verdict"
    assert [finding.check for finding in condition.registered(moved)] == ["models"]


def test_a_store_that_does_not_answer_leaves_no_version(moved: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError("the connection was reset")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", broken)
        with pytest.raises(JobFailed, match=r"cannot be used: the connection was reset"):
            logged(moved, 3)
    assert [version.version for version in registry.versions(moved)] == ["2", "1"]
    assert not list(artifacts.folder(moved).rglob("*.partial"))


@pytest.mark.long
def test_a_backup_has_them_as_files_and_comes_back_as_a_home_that_has_them(
    moved: Settings, original: Settings, tmp_path: Path
) -> None:
    registry.load(moved, "1")  # a copy of one lies in the home
    backup.write(moved, tmp_path / "copy.tar")
    restore.restore(tmp_path / "copy.tar", tmp_path / "again")
    back = Settings.load(tmp_path / "again", secret=SECRET)
    names = [sorted(str(p.relative_to(s.home)) for p in artifacts.folder(s).rglob("*") if p.is_file()) for s in (back, original)]
    assert names[0] == names[1]
    assert artifacts.store(back) is None
    assert weights(back) == [2.0, 1.0]


@pytest.mark.long
def test_garbage_goes_there_and_copies_of_what_is_out_of_service_here(moved: Settings, tmp_path: Path) -> None:
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "curves.json").write_text("[]")
    with tracking.run(moved, registry.MODEL, "align") as (_, run):
        artifacts.keep(moved, tmp_path / "curves", str(run.info.artifact_uri))
    before, size = stored(moved), replaced.VERSIONS.size(moved)
    assert weights(moved) == [2.0, 1.0]
    kinds = {c.kind: c for c in collect(moved, (retired.RUNS, retired.COPIES), time.time() + 100 * DAY, dry_run=False)}
    assert [path for path in before if path not in stored(moved)] == [path for path in before if "curves.json" in path]
    assert kinds["copies"].pieces == 1
    assert [v for v in ("1", "2") if _has_copy(moved, v)] == ["1"], "the champion's"
    assert replaced.VERSIONS.size(moved) == size
    assert weights(moved) == [2.0, 1.0]


@pytest.mark.long
def test_whom_a_file_names_is_erased_from_it_there(moved: Settings) -> None:
    key = keys.user_key(keys.home_secret(moved), "user-1")
    logged(moved, 3, card=f"# Seen in user-1 and {key}")
    certificate = erasure.erase(moved, ("user-1",))
    assert certificate.steps["artifacts"] == {"files of MLflow on object storage": 2}
    store = artifacts.store(moved)
    assert store is not None
    for info in objects.files(store):
        with objects.filesystem(store).open_input_stream(info.path) as source:
            data = source.read()
            assert key.encode() not in data
            assert b"user-1" not in data
    assert weights(moved) == [3.0, 2.0, 1.0]


SERVER = """
import os, sys
os.environ |= {"_MLFLOW_SERVER_FILE_STORE": sys.argv[1], "_MLFLOW_SERVER_ARTIFACT_DESTINATION": sys.argv[2],
               "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/", "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true"}
from mlflow.server import app
browser = app.test_client()
print(browser.get("/get-artifact", query_string={"run_uuid": sys.argv[3], "path": "model_card.md"}).get_data(as_text=True))
"""


@pytest.mark.long
def test_mlflows_own_pages_show_them(moved: Settings) -> None:
    """As `found serve --all` starts its server."""
    version = tracking.client(moved).get_model_version(registry.MODEL, "1")
    arguments = (f"sqlite:///{moved.home}/mlflow/mlflow.db", artifacts.destination(moved), str(version.run_id))
    assert arguments[1].startswith("s3://lakes/")
    served = subprocess.run([sys.executable, "-c", SERVER, *arguments], capture_output=True, text=True, timeout=300)
    assert "# A card" in served.stdout, served.stderr
