"""Running the graph: only what is missing or stale, the same rows again, and on from where it was killed."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Outcome, at, call_found, write_source

from dagster_defs import fingerprints, runs, staleness
from dagster_defs.execution import executor, open_instance
from dagster_defs.graph import AUDIENCE, AssetGraph
from found_platform import lake, registry
from found_platform.audiences import lookup
from found_platform.settings import Settings

ALL = [
    asset
    for asset, row in AssetGraph(Settings()).table.items()
    if row.partitions != AUDIENCE and asset not in runs.NOT_IN_A_FULL_RUN
]


def hashes(settings: Settings) -> dict[str, dict[str, str]]:
    graph = AssetGraph(settings)
    with open_instance(settings) as instance:
        return {asset: fingerprints.row_hashes(graph, instance, asset) for asset in graph.table}


def demo_again(settings: Settings, *more: object) -> dict:
    outcome = call_found("demo", "--home", settings.home, "--format", "json", *more)
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)


def test_the_first_run_made_every_asset_that_it_is_to_make_and_said_how_long_each_took(demo: Outcome) -> None:
    document = json.loads(demo.out)
    assert list(document["seconds"]) == ALL
    assert document["made"]["raw_events"] == 60
    assert document["made"]["found_model"] == 1
    assert document["audience"]["count"] == 10
    for asset in ALL:
        assert asset in demo.err


def test_a_second_run_does_nothing(settings: Settings, demo: Outcome) -> None:
    document = demo_again(settings)
    assert not any(document["made"].values())
    assert document["audience"] == json.loads(demo.out)["audience"]


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home that a test may change."""
    shutil.copytree(settings.home, tmp_path / "found")
    return Settings.load(tmp_path / "found")


@pytest.mark.slow
@pytest.mark.long
def test_forcing_a_second_run_gives_equal_row_hashes(copy: Settings) -> None:
    before = hashes(copy)
    document = demo_again(copy, "--force")
    assert all(document["made"].values())
    assert hashes(copy) == before


def test_a_stale_partition_is_redone_with_what_follows_from_it(copy: Settings, cutoff: dt.date) -> None:
    """A lookback of another length changes every snapshot, but not the raw events or the texts."""
    changed = copy.model_copy(update={"lookback_days": 30})
    graph = AssetGraph(changed)
    with open_instance(changed) as instance:
        stale = {a: staleness.stale(graph, instance, a, runs.keys_of(graph, a, cutoff)) for a in graph.table}
    assert len(stale["behavior_sequence"]) == len(stale["user_tabular"]) == 60
    assert not stale["quarantine"]


@pytest.mark.slow
def test_a_late_event_makes_its_day_and_what_reads_it_stale_and_nothing_else(tmp_path: Path) -> None:
    from found_platform.sources import config, staging

    events = [
        {"user_id": f"u{i}", "event_time": at(f"2024-01-{d:02d}"), "text": f"thing {i % 7} {d % 3}"}
        for d in range(1, 29)
        for i in range(10)
    ]
    settings = Settings.load(tmp_path / "home", profile="tiny", lookback_days=5)
    staging.open_home(settings, staging.discover(settings, config.load(write_source(tmp_path, events))))
    cutoff = dt.date(2024, 1, 22)
    for step in runs.run(settings, cutoff):
        if isinstance(step, runs.Step) and step.asset == "user_tabular":
            break
    write_source(tmp_path, [*events, {"user_id": "u3", "event_time": at("2024-01-20"), "text": "thing 1 1"}])
    graph = AssetGraph(settings)
    with executor(settings) as runner:

        def stale(asset: str) -> list[str]:
            return staleness.stale(graph, runner.instance, asset, runs.keys_of(graph, asset, cutoff))

        assert stale("quarantine") == [""]
        runner.materialize("quarantine", [""])
        assert stale("raw_events") == ["2024-01-20"]
        assert stale("raw_profile") == []
        runner.materialize("raw_events", ["2024-01-20"])
        assert stale("behavior_text") == ["2024-01-20"]
        assert stale("behavior_sequence") == [f"2024-01-{d}" for d in range(20, 25)]  # the lookback is five days
        assert stale("user_tabular") == [f"2024-01-{d}" for d in range(20, 29)]  # first seen asks all days before


def test_what_is_gone_or_of_another_cutoff_is_made_again(copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = AssetGraph(copy)
    with open_instance(copy) as instance:

        def stale(asset: str) -> bool:
            return bool(staleness.stale(graph, instance, asset, runs.keys_of(graph, asset, cutoff)))

        assert not any(map(stale, ALL))
        (copy.home / "feast" / "online.db").unlink()
        pointer = copy.home / "index" / "current.json"
        pointer.write_text(pointer.read_text().replace(str(cutoff), "2026-01-20"))
        shutil.rmtree(copy.lake / "search_text")
        monkeypatch.setattr("found_platform.registry.CHAMPION", "nobody")
        assert [a for a in ALL if stale(a)] == ["search_text", "online_features", "promotion", "user_index"]
        shutil.rmtree(copy.staging)
        assert stale("quarantine")


def test_a_failed_check_is_not_forgotten_by_the_next_run(copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform.errors import JobFailed
    from found_platform.features import checks

    monkeypatch.setattr(checks, "one_row_for_every_user", lambda *_: (False, "rows are missing"))
    day = str(cutoff - dt.timedelta(days=3))
    with pytest.raises(JobFailed, match="one_row_for_every_user failed: rows are missing"):
        runs.materialize(copy, "user_tabular", day)
    graph = AssetGraph(copy)
    with open_instance(copy) as instance:
        assert staleness.stale(graph, instance, "user_tabular", graph.keys("user_tabular")) == [day]


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_run_goes_on_to_the_rows_and_look_ups_of_an_undisturbed_one(
    settings: Settings, demo: Outcome, tmp_path: Path
) -> None:
    home = tmp_path / "found"
    home.mkdir()
    shutil.copy(settings.home / "secret", home / "secret")  # keys must agree for rows to be equal
    command = [
        sys.executable,
        "-m",
        "found_platform.cli",
        "demo",
        "--profile",
        "tiny",
        "--users",
        "300",
        "--days",
        "60",
        "--home",
        str(home),
    ]
    for victim in ("behavior_sequence", "text_vectors"):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "100"}
        )
        deadline = time.monotonic() + 600
        while not lake.exists(home / "lake", victim):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = Settings.load(home)
    document = demo_again(again)
    assert document["made"]["raw_events"] == 0
    assert hashes(again) == hashes(settings)
    demand = "outdoor and camping equipment"
    assert (
        lookup.find(again, lookup.Question(demand, mode="aligned"), lookup.Size(top=30)).users
        == lookup.find(settings, lookup.Question(demand, mode="aligned"), lookup.Size(top=30)).users
    )


def test_a_run_that_fails_leaves_the_last_good_state_and_says_which_asset(
    copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    from found_platform.training_runs import fit

    before = lookup.find(copy, lookup.Question("gold", mode="aligned"), lookup.Size(top=5))

    def explode(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(fit, "frozen_text", explode)
    outcome = call_found("demo", "--home", copy.home, "--force")
    assert outcome.status == 1
    assert outcome.err.strip().splitlines()[-1].startswith("found: found_model failed: ")
    assert "the disk is full" in outcome.err
    assert "Traceback" not in outcome.err
    assert lookup.find(copy, lookup.Question("gold", mode="aligned"), lookup.Size(top=5)) == before


def test_a_gate_that_does_not_pass_stops_before_the_index(copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform import index
    from found_platform.errors import BadInput, JobFailed
    from found_platform.registry import Verdict, gate

    before = index.live(copy)
    monkeypatch.setattr(gate, "judge", lambda *_: Verdict(False, "worse than chance", {"future_auc": 0.4}))
    with pytest.raises(JobFailed, match="gate_passes failed: worse than chance"):
        runs.materialize(copy, "promotion", str(cutoff))
    with pytest.raises(BadInput, match="stored gate verdict does not pass"):
        runs.materialize(copy, "user_index", str(cutoff))
    assert index.live(copy) == before


def test_where_the_gate_refuses_the_trained_model_the_frozen_text_model_serves(
    copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    from found_platform import index
    from found_platform.registry import gate
    from models.found import Found

    embed = gate.embed_sentences

    def confused(model, phrases: list[str]):
        vectors = embed(model, phrases)
        return -vectors if isinstance(model, Found) else vectors

    monkeypatch.setattr(gate, "embed_sentences", confused)
    for asset in ("found_model", "user_embeddings", "promotion", "user_index"):
        runs.materialize(copy, asset, str(cutoff))
    serving = registry.champion(copy)
    assert serving.tags["kind"] == "frozen_text"
    assert index.live(copy).model_version == serving.version
    assert lookup.find(copy, lookup.Question("gold"), lookup.Size(top=5)).model_version == serving.version
    refused = next(v for v in registry.versions(copy) if v.tags["kind"] == "found")
    assert refused.tags["gate"] == "failed"
    outcome = call_found("demo", "--home", copy.home)
    assert outcome.status == 0, outcome.err
    assert f"The frozen-text model serves: of version {refused.version} the gate says: a held-out user's own future" in outcome.out
    assert "so alignment did not help" in outcome.out
