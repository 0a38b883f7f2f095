"""Cutoffs are partitions that somebody has asked for: by a command, a schedule or in the UI; those of earlier versions too."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from small_automation import Daemon

from dagster_defs import cutoffs
from dagster_defs.build import build_defs
from dagster_defs.execution import open_instance
from dagster_defs.graph import CUTOFFS, HISTORY, AssetGraph
from found_platform.errors import BadInput
from found_platform.settings import Settings

NOW = dt.datetime(2026, 3, 27, 5, tzinfo=dt.UTC)


def test_the_demo_leaves_one_cutoff_that_is_made_and_none_that_is_missing(settings: Settings, cutoff: dt.date) -> None:
    key = str(cutoff)
    with open_instance(settings) as instance:
        assert key in instance.get_dynamic_partitions(CUTOFFS)
        for asset in ("training_set", "found_model", "user_index"):
            materialized = instance.get_materialized_partitions(dg.AssetKey(asset))
            assert set(instance.get_dynamic_partitions(CUTOFFS)) == set(materialized), asset
        event = instance.get_latest_materialization_event(dg.AssetKey("training_set"))
    assert event is not None
    assert event.asset_materialization is not None
    first, last = str(event.asset_materialization.metadata["days_read"].value).split(" to ")
    assert first < last == str(cutoff - dt.timedelta(days=1)), "no day at or after the cutoff is read"


def test_the_cutoffs_of_a_home_of_an_earlier_version_become_partitions_when_it_is_opened(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    days = AssetGraph(settings).keys("training_set")
    with open_instance(settings) as instance:
        assert instance.get_dynamic_partitions(CUTOFFS) == []
        for asset, key in (
            ("training_set", days[30]),
            ("found_model", days[30]),
            ("training_set", days[20]),
            ("raw_events", days[9]),
        ):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))
    for _ in range(2):
        with open_instance(settings) as instance:
            assert sorted(instance.get_dynamic_partitions(CUTOFFS)) == [days[20], days[30]]
            statuses = instance.get_status_by_partition(
                dg.AssetKey("training_set"),
                instance.get_dynamic_partitions(CUTOFFS),
                dg.DynamicPartitionsDefinition(name=CUTOFFS),
            )
            assert statuses is not None
            assert {status.value for status in statuses.values() if status} == {"MATERIALIZED"}


def test_a_cutoff_that_is_added_to_a_home_of_an_earlier_version_brings_the_others_along(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    graph = AssetGraph(settings)
    days = graph.keys("training_set")
    with open_instance(settings) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("training_set", partition=days[20]))
        cutoffs.add(graph, instance, [days[40]])  # as a schedule does, in a process that opened the home before
        cutoffs.add(graph, instance, [days[40]])
        assert sorted(instance.get_dynamic_partitions(CUTOFFS)) == [days[20], days[40]]


@pytest.mark.parametrize("key", ["gold", "2026-1-5", "1999-01-01", "../training"])
def test_a_key_that_is_no_cutoff_of_the_home_is_refused_in_words(tmp_path: Path, key: str) -> None:
    """A person may write any key into the page of an asset."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    graph = AssetGraph(settings)
    days = graph.keys("training_set")
    sentence = f"{key} cannot be a cutoff of this home: .* from {days[0]} to {days[-1]}, written YYYY-MM-DD"
    with open_instance(settings) as instance:
        with pytest.raises(BadInput, match=sentence):
            cutoffs.add(graph, instance, [key])
        instance.add_dynamic_partitions(CUTOFFS, [key])
        result = (
            build_defs(settings)
            .resolve_job_def("train_cutoff")
            .execute_in_process(
                partition_key=key, asset_selection=[dg.AssetKey("training_set")], instance=instance, raise_on_error=False
            )
        )
        (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert f"{key} cannot be a cutoff of this home" in str(failure.user_failure_data.description)


def test_the_job_of_a_training_takes_a_cutoff_that_was_added(tmp_path: Path) -> None:
    repository = build_defs(Settings.load(tmp_path / "home", profile="tiny")).get_repository_def()
    for name in ("train_cutoff", "publish", "run_benchmark"):
        assert repository.get_job(name).partitions_def == dg.DynamicPartitionsDefinition(name=CUTOFFS)


def test_the_history_is_made_by_itself_once_days_are_there_and_again_after_a_new_one(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    days = AssetGraph(settings).keys("raw_events")
    with open_instance(settings) as instance:

        def day(asset: str, key: str) -> None:
            metadata = {"rows_hash": key, "dagster/partition_row_count": 3}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, metadata=metadata))

        daemon = Daemon(settings, instance, NOW)
        assert daemon.conditions() == {}, "there is no day"
        day("user_tabular", days[0])
        assert daemon.conditions() == {}, "there are no events"
        day("raw_events", days[0])
        assert HISTORY in daemon.conditions()
        assert daemon.execute(dg.RunRequest(job_name="ingest", asset_selection=[dg.AssetKey(HISTORY)]))
        assert daemon.conditions() == {}
        day("behavior_text", days[0])
        assert HISTORY in daemon.conditions()
        assert daemon.execute(dg.RunRequest(job_name="ingest", asset_selection=[dg.AssetKey(HISTORY)]))
        assert daemon.conditions() == {}


def test_a_cutoff_is_published_once_and_not_again_for_a_later_day(tmp_path: Path) -> None:
    """The model, the texts and the days before are there; later days come and go."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    days = AssetGraph(settings).keys("raw_events")
    cutoff = days[40]
    with open_instance(settings) as instance:

        def report(asset: str, key: str | None = None) -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, metadata={"rows_hash": "x"}))

        sound = dg.AssetCheckEvaluation(dg.AssetKey("found_model"), "weights_are_sound", passed=True, metadata={})
        instance.report_runless_asset_event(sound)
        cutoffs.add(AssetGraph(settings), instance, [cutoff])
        daemon = Daemon(settings, instance, NOW)
        daemon.conditions()
        for asset in ("text_vectors", "training_set", "user_text_pairs", "found_model"):
            report(asset, cutoff)
        assert "user_embeddings" not in daemon.conditions(), "there is no history of days"
        report("raw_events", days[39])
        report(HISTORY)
        requested = daemon.conditions()
        assert requested["user_embeddings"] == {cutoff}
        report("user_embeddings", cutoff)
        for _ in range(2):
            report("raw_events", days[41])
            report(HISTORY)
            assert not {"user_embeddings", "found_model", "training_set"} & daemon.conditions().keys()
