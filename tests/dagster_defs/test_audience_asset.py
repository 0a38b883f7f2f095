"""Saved audiences through the graph: a partition each, what a refresh leaves behind, and the schedule."""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from conftest import Outcome

from dagster_defs import runs, staleness
from dagster_defs.build import build_assets, build_defs
from dagster_defs.execution import open_instance
from dagster_defs.graph import AUDIENCES, AssetGraph
from found_platform.audiences import lookup, membership, specification
from found_platform.audiences.lookup import Question
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy import keys, suppression
from found_platform.settings import Settings

ASSET = dg.AssetKey("audience_members")
GOLD = Question(sentence="people who will soon buy gold")


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home that a test may change."""
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found")))


def save(settings: Settings, name: str, **fields: object) -> None:
    changes = {"question": GOLD, **({} if "level" in fields else {"top": 40}), **fields}
    specification.save(settings, specification.draft(settings, audience=name, **changes))


def metadata(settings: Settings, name: str) -> dict:
    """Of the newest materialisation of an audience."""
    with open_instance(settings) as instance:
        filtered = dg.AssetRecordsFilter(asset_key=ASSET, asset_partitions=[name])
        (record,) = instance.fetch_materializations(filtered, limit=1).records
        assert record.asset_materialization is not None
        return {k: v.value for k, v in record.asset_materialization.metadata.items()}


def steady(settings: Settings) -> tuple[bool, str, dg.AssetCheckSeverity]:
    """What the newest check of the size says."""
    with open_instance(settings) as instance:
        check = dg.AssetCheckKey(ASSET, "size_is_steady")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
        assert record.event is not None
        assert record.event.dagster_event is not None
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        return evaluation.passed, str(evaluation.metadata["why"].value), evaluation.severity


def partitions(settings: Settings) -> set[str]:
    with open_instance(settings) as instance:
        return set(instance.get_dynamic_partitions(AUDIENCES))


def stale(settings: Settings) -> list[str]:
    return next(s.stale for s in staleness.of_home(settings) if s.asset == "audience_members")


def test_a_saved_audience_is_a_partition_and_its_refreshes_say_what_they_did(
    copy: Settings, found: Callable[..., Outcome], tmp_path: Path
) -> None:
    assert next(s for s in staleness.of_home(copy) if s.asset == "audience_members").possible == 0
    saved = found("audience", "save", "gold", GOLD.sentence, "--top", 40, "--holdout", 0.2, "--home", copy.home)
    assert saved.status == 0, saved.err
    assert partitions(copy) == {"gold"}
    first, last = metadata(copy, "gold"), membership.last(copy, "gold")
    assert last is not None
    assert (first["size"], first["joins"], first["leaves"], first["refresh"]) == (40, 40, 0, 1)
    assert (first["model_version"], first["index"], first["threshold"]) == (last.model_version, last.index_version, last.threshold)
    assert "data:image/png;base64," in first["scores"]
    assert steady(copy)[0]
    assert stale(copy) == []

    runs.refresh(copy, "gold")
    second = metadata(copy, "gold")
    assert (second["size"], second["joins"], second["leaves"], second["refresh"]) == (40, 0, 0, 1)
    assert second["rows_hash"] == first["rows_hash"]

    gone = membership.members(copy, last)["user_key"].to_pylist()[:2]
    path = tmp_path / "gone.txt"
    path.write_text("user_id\n" + "\n".join(keys.user_ids(copy, gone).values()))
    suppression.add(copy, path)
    assert stale(copy) == ["gold"]
    status = found("status", "--home", copy.home).out
    assert f"found audience refresh --all --home {copy.home}" in status
    assert "found demo" not in status
    runs.refresh(copy, "gold")
    third = metadata(copy, "gold")
    assert (third["size"], third["joins"], third["leaves"], third["refresh"]) == (40, 2, 2, 2)
    assert third["rows_hash"] != first["rows_hash"]
    assert stale(copy) == []

    save(copy, "gold", top=20)
    assert stale(copy) == ["gold"]
    runs.refresh(copy, "gold")
    passed, why, severity = steady(copy)
    assert (passed, severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "from 40 to 20" in why
    assert stale(copy) == []


def test_a_refresh_that_fails_leaves_the_last_members_and_does_not_stop_the_others(
    copy: Settings, found: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("apples", "pears"):
        save(copy, name)
        runs.refresh(copy, name)
    before = membership.last(copy, "apples")
    ask = lookup.score
    save(copy, "apples", question=Question(sentence="gold", mode="aligned"))

    def breaks(settings: Settings, question: Question, *more: frozenset[str]) -> lookup.Scored:
        if question.sentence == "gold":
            raise RuntimeError("the disk is full")
        return ask(settings, question, *more)

    monkeypatch.setattr(lookup, "score", breaks)
    with pytest.raises(JobFailed, match="the disk is full"):
        runs.refresh(copy, "apples")
    assert membership.last(copy, "apples") == before
    outcome = found("audience", "refresh", "--all", "--home", copy.home)
    assert outcome.status == 1
    assert "1 of 2 audiences keep their last members: apples" in outcome.err
    assert "pears" in outcome.out
    monkeypatch.undo()
    runs.refresh(copy, "apples")
    after = membership.last(copy, "apples")
    assert after is not None
    assert (after.refresh, after.spec_version) == (2, 2)


def test_the_schedule_asks_for_every_audience_after_those_that_it_leaves_out(copy: Settings) -> None:
    save(copy, "a-wide-one")
    save(copy, "z-best")
    save(copy, "a-wide-one", without_audiences=("z-best",))
    defs = build_defs(copy)
    (schedule,) = (s for s in defs.schedules or () if s.name == "refresh_audiences_on_time")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    with open_instance(copy) as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=dt.datetime(2026, 5, 1, 6, tzinfo=dt.UTC),
            repository_def=defs.get_repository_def(),
        )
        requests = schedule.evaluate_tick(context).run_requests or []
        assert [r.partition_key for r in requests] == ["z-best", "a-wide-one"]
        assert instance.get_dynamic_partitions(AUDIENCES) == ["z-best", "a-wide-one"]
        job = defs.resolve_job_def("refresh_audiences")
        assert all(request.tags.get("found/in_order") for request in requests)
        for request in requests:
            assert job.execute_in_process(partition_key=request.partition_key, instance=instance, tags=request.tags).success
    wide, best = (membership.last(copy, name) for name in ("a-wide-one", "z-best"))
    assert wide is not None
    assert best is not None
    chosen = [set(membership.members(copy, r)["user_key"].to_pylist()) for r in (wide, best)]
    assert len(chosen[0]) == len(chosen[1]) == 40
    assert not chosen[0] & chosen[1]


def test_who_is_forgotten_has_no_partition_any_more_and_cannot_be_refreshed(copy: Settings) -> None:
    save(copy, "short-lived")
    runs.refresh(copy, "short-lived")
    runs.forget(copy, "short-lived")
    assert partitions(copy) == set()
    assert AssetGraph(copy).keys("audience_members") == []
    with pytest.raises(BadInput, match="no audience 'short-lived'"):
        runs.refresh(copy, "short-lived")
    assert partitions(copy) == set()


def test_the_graph_shows_what_members_are_made_from(copy: Settings) -> None:
    (asset,) = (a for a in build_assets(AssetGraph(copy)) if a.key == ASSET)
    assert {"user_index", "tuned_prompts", "user_embeddings"} <= {key.path[-1] for key in asset.dependency_keys}
    assert isinstance(asset.partitions_def, dg.DynamicPartitionsDefinition)
