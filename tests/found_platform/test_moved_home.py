"""A home that was copied and moved does all that a home does, and neither reads nor writes where it was made."""

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from conftest import Outcome, call_found

from found_platform import lake, registry
from found_platform.privacy import keys
from found_platform.registry import artifacts, tracking
from found_platform.settings import Profile, Settings
from found_platform.training_runs import stages

DEMAND = "people who will soon buy gold"


@pytest.fixture(scope="module")
def moved(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A copy of the demo's home, moved once more; the home itself is out of reach meanwhile."""
    folder, away = tmp_path_factory.mktemp("moved"), settings.home.with_name("out of reach")
    shutil.copytree(settings.home, folder / "copied").rename(folder / "moved to a place with a space")
    settings.home.rename(away)
    try:
        yield Settings.load(folder / "moved to a place with a space")
        assert not settings.home.exists()  # nothing made it anew
    finally:
        shutil.rmtree(settings.home, ignore_errors=True)
        away.rename(settings.home)


def outcome_of(settings: Settings, *command: object) -> Outcome:
    outcome = call_found(*command, "--home", settings.home)
    assert outcome.status == 0, outcome.err
    return outcome


@pytest.mark.parametrize("mode", ["auto", "aligned", "late", "replay"])
def test_it_finds_in_every_mode(moved: Settings, mode: str) -> None:
    audience = json.loads(outcome_of(moved, "audience", "find", DEMAND, "--mode", mode, "--top", 5, "--format", "json").out)
    assert audience["count"] == 5
    user = audience["users"][0]["user_id"]
    assert user in outcome_of(moved, "user", "show", user).out


def test_it_shows_its_models(moved: Settings) -> None:
    versions = json.loads(outcome_of(moved, "model", "list", "--format", "json").out)
    for version in versions["versions"] if isinstance(versions, dict) else versions:
        outcome_of(moved, "model", "show", version["version"])


def test_it_tunes_a_prompt_and_keeps_an_audience_of_it_fresh(moved: Settings, tmp_path: Path) -> None:
    user_keys = lake.read(moved.lake, "raw_profile", columns=["user_key"])["user_key"].to_pylist()[:40]
    ids = list(keys.user_ids(moved, user_keys).values())
    pc.write_csv(pa.table({"user_id": ids}), tmp_path / "seeds.csv")
    outcome_of(moved, "audience", "tune", "gold", "--demand", DEMAND, "--seeds", tmp_path / "seeds.csv")
    outcome_of(moved, "audience", "save", "soon", "--prompt", "gold", "--top", 20)
    outcome_of(moved, "audience", "refresh", "soon")
    assert "20" in outcome_of(moved, "audience", "show", "soon").out


def test_it_publishes_and_a_run_of_the_graph_finds_it_up_to_date(moved: Settings, cutoff: dt.date) -> None:
    outcome_of(moved, "publish", "--cutoff", cutoff)
    counts = json.loads(outcome_of(moved, "demo", "--format", "json").out)["made"]
    assert [asset for asset, count in counts.items() if count] in ([], ["tuned_prompts"])


def test_it_trains_and_registers_in_itself(moved: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Profile.load("tiny").model_dump()
    tiny["tabular"]["options"] |= {"steps": 2, "evaluate_every": 1}
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, name: cls(**tiny)))
    stage = stages.run(moved, cutoff, "tabular")
    assert stage is not None
    assert stage.folder.is_relative_to(moved.home)
    loaded = registry.champion(moved)
    for weights in loaded.model.parameters():
        weights.data.add_(0.01)
    version = registry.log(moved, loaded.model, parameters={}, metrics={}, tags={"cutoff": str(cutoff)}, card="# Another")
    assert registry.load(moved, version).tags["cutoff"] == str(cutoff)
    assert registry.served(moved, version).is_relative_to(moved.home)


def test_no_file_that_is_read_again_names_the_folder_of_its_home(moved: Settings, settings: Settings) -> None:
    """Logs of what happened may: Dagster's events, what created a Delta table, and what a stage of training printed."""
    names = [str(home.home).encode() for home in (moved, settings)]
    logs = ("dagster/history/", "dagster/storage/", "dagster/.logs_queue/")
    for path in (p for p in moved.home.rglob("*") if p.is_file()):
        place = str(path.relative_to(moved.home))
        if place.startswith(logs) or "_delta_log/" in place or path.name == stages.OUTPUT:
            continue
        assert not any(name in path.read_bytes() for name in names), place


def test_mlflow_has_no_address_outside_of_a_home(moved: Settings, settings: Settings, tmp_path: Path) -> None:
    mlflow = tracking.client(moved)
    runs = mlflow.search_runs([e.experiment_id for e in mlflow.search_experiments() if e.name != "Default"])
    assert len(runs) > 3
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:/") for run in runs)
    with pytest.raises(Exception, match="no file of this home"):
        artifacts.place(moved, "mlflow-artifacts:/../../secret")
