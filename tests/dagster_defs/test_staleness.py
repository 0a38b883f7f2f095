"""An asset that would read what is not there says what to materialise first."""

import datetime as dt
from pathlib import Path

import pytest
from conftest import at, write_source

from dagster_defs import runs, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AUDIENCE, NONE, AssetGraph
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config, staging


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """A home that is tied to a source and in which nothing has run."""
    settings = Settings.load(tmp_path / "home", profile="tiny", secret="aa" * 16)
    events = [{"user_id": f"u{i}", "event_time": at(f"2024-01-{1 + i:02d}"), "text": f"text {i}"} for i in range(9)]
    staging.open_home(settings, staging.discover(settings, config.load(write_source(tmp_path, events))))
    return settings


def test_every_asset_alone_in_an_empty_home_says_what_it_waits_for(empty: Settings) -> None:
    graph = AssetGraph(empty)
    with open_instance(empty) as instance:
        for asset, row in graph.table.items():
            if asset == "quarantine":  # reads no asset
                continue
            keys = {NONE: [], AUDIENCE: ["gold"]}.get(row.partitions, graph.keys(asset)[-1:])
            with pytest.raises(BadInput) as refused:
                staleness.check_upstreams(graph, instance, asset, keys)
            message = str(refused.value)
            upstream = next(u for u in row.reads if u not in row.optional)
            assert message.startswith(f"{asset}{f' of {keys[0]}' if keys else ''} reads {upstream}"), message
            assert "run `found " in message
            assert f"--home {empty.home}" in message


@pytest.mark.parametrize(
    ("asset", "sentence"),
    [
        (
            "found_model",
            "found_model of 2024-01-09 reads user_text_pairs of 2024-01-09, which has not been made yet: run `found demo",
        ),
        ("user_text_pairs", "user_text_pairs of 2024-01-09 reads training_set of 2024-01-09, which has not been made yet"),
        (
            "behavior_text",
            "behavior_text of 2024-01-09 reads raw_events of 2024-01-09, which has not been made yet: run `found backfill",
        ),
    ],
)
def test_a_run_that_misses_its_upstream_ends_in_that_sentence(empty: Settings, asset: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        runs.materialize(empty, asset, "2024-01-09")
    assert str(refused.value).startswith(sentence)
    assert "Error" not in str(refused.value)


def test_files_that_are_gone_are_missing_too(settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(staleness.TRAINED, "user_text_pairs", "a folder that nobody wrote")
    with open_instance(settings) as instance, pytest.raises(BadInput, match="reads user_text_pairs of"):
        staleness.check_upstreams(AssetGraph(settings), instance, "found_model", [str(cutoff)])
