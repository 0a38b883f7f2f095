"""A whole home that begins with a handful of users, and grows: everything runs, and what nobody can judge does not serve."""

import json
from pathlib import Path

import dagster as dg
import pytest
import yaml
from conftest import Outcome, call_found

from dagster_defs import fingerprints
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import lake, registry
from found_platform.settings import Settings

USERS = 8
THINGS = ("dog food", "camping stove", "coffee beans", "gold ring")


def orders(folder: Path, first: int, last: int) -> None:
    """A file of an order a day, by one user after the other, for the days of March."""
    lines = [f"u{day % USERS},2024-03-{day:02d} 10:00:00,{THINGS[day % 4]},{day}" for day in range(first, last + 1)]
    (folder / f"orders-{first:02d}.csv").write_text("\n".join(["id,when,what,number", *lines]) + "\n")


def people(folder: Path, **attributes: str) -> None:
    lines = [",".join(["id", *attributes]), *(",".join([f"u{i}", *attributes.values()]) for i in range(USERS))]
    (folder / "people.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("growing")
    orders(folder, 1, 25)
    people(folder, city="Ulm")
    columns = {"user_id": "id", "event_time": "when", "text": "what", "event_id": "number"}
    content = {
        "name": "handful",
        "channels": {"pay_bill": {"path": "orders-*.csv", "columns": columns}},
        "profile": {"path": "people.csv", "key": "id"},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(content))
    return folder


def demo(folder: Path, *more: object) -> Outcome:
    return call_found(
        "demo", "--source", folder / "shop.yaml", "--profile", "tiny", "--home", folder / "home", "--format", "json", *more
    )


@pytest.fixture(scope="module")
def first(folder: Path) -> Outcome:
    return demo(folder)


@pytest.mark.slow
def test_a_handful_of_users_is_served_by_the_frozen_text_model_and_it_is_said(folder: Path, first: Outcome) -> None:
    assert first.status == 0, first.err
    document = json.loads(first.out)
    assert any("none is trained, and the frozen-text model with replay serves" in note for note in document["notes"])
    assert "held-out user acted both before 2024-03-12" in document["frozen_text_serves"]
    assert document["audience"]["count"] > 0
    settings = Settings.load(folder / "home")
    (version,) = registry.versions(settings)
    assert (version.tags["kind"], version.tags["gate"]) == ("frozen_text", "not judged")
    assert registry.champion(settings).version == version.version
    listed = call_found("model", "list", "--home", folder / "home")
    assert "was not judged: only" in " ".join(listed.out.split())
    assert not (folder / "home" / "training" / document["cutoff"] / "align" / "outcome.json").exists()


@pytest.mark.slow
def test_a_source_without_labels_has_no_benchmark_rows_and_says_why(folder: Path, first: Outcome) -> None:
    """The asset is there and empty, and is not made again; the command asks for labels."""
    assert json.loads(first.out)["made"]["benchmark_results"] == 1
    settings = Settings.load(folder / "home")
    assert lake.read(settings.lake, "benchmark_results").num_rows == 0
    with open_instance(settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("benchmark_results"))
        assert event is not None
        assert event.asset_materialization is not None
        assert str(event.asset_materialization.metadata["why_no_rows"].value).startswith("no labels were given")
        assert fingerprints.newest(AssetGraph(settings), instance, "benchmark_results")
    outcome = call_found("benchmark", "run", "--home", settings.home)
    assert (outcome.status, "'handful' brings no labels: pass --labels and --scenarios" in outcome.err) == (2, True)


@pytest.mark.slow
def test_the_home_takes_up_a_day_and_a_column_and_keeps_what_it_knows(folder: Path, first: Outcome) -> None:
    assert first.status == 0, first.err
    again = demo(folder)
    assert (again.status, sum(json.loads(again.out)["made"].values())) == (0, 0), again.err
    (folder / "out.csv").write_text("user_id\nu1\n")
    assert call_found("suppress", "add", folder / "out.csv", "--home", folder / "home").status == 0
    secret = (folder / "home" / "secret").read_text()
    orders(folder, 26, 26)
    people(folder, city="Ulm", segment="gold")
    grown = demo(folder)
    assert grown.status == 0, grown.err
    document = json.loads(grown.out)
    assert document["notes"][0].startswith("new in the profile: segment")
    assert (document["made"]["raw_events"], document["made"]["behavior_text"], document["made"]["user_tabular"]) == (1, 1, 26)
    assert document["cutoff"] == "2024-03-20"
    command = ("audience", "find", "people who will buy coffee", "--home", folder / "home", "--format", "json")
    gold = call_found(*command, "--where", "segment = 'gold' AND city = 'Ulm'")
    assert gold.status == 0, gold.err
    users = {u["user_id"] for u in json.loads(gold.out)["users"]}
    assert users
    assert "u1" not in users
    shown = call_found("user", "show", "u2", "--online", "--home", folder / "home", "--format", "json")
    assert json.loads(shown.out)["profile"] == {"city": "Ulm", "segment": "gold"}
    (folder / "orders-01.csv").rename(folder / "rotated.csv")
    shrunk = demo(folder)
    assert shrunk.status == 2
    assert "25 days with 25 events have none now (2024-03-01 to 2024-03-25)" in shrunk.err
    assert call_found(*command).status == 0
    kept = demo(folder, "--removed", "keep")
    assert kept.status == 0, kept.err
    assert json.loads(kept.out)["made"]["raw_events"] == 0
    assert (folder / "home" / "secret").read_text() == secret
