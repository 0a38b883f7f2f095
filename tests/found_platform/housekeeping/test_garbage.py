"""Collection: what is old and asked for by nothing goes, the size falls, and every read answers as before."""

import datetime as dt
import os
import shutil
import time
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from conftest import call_found
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

from dagster_defs import old_runs, runs, staleness
from dagster_defs.execution import open_instance
from found_platform import home, index, lake, registry
from found_platform.app import housekeeping, lookups, models
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.errors import JobFailed
from found_platform.housekeeping import garbage, replaced, retired
from found_platform.housekeeping.garbage import DAY, Collected
from found_platform.index import pointer
from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

LATER = 100 * DAY
"""Everything that there is now is older than every setting then."""

OLD_INDEX = "v1-2020-01-01-20200101T000000000000.db"


@pytest.fixture(scope="module")
def used(overtaken: Settings, cutoff: dt.date, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that has been worked in: a second model, a training set made again, ticks, and what killed processes left."""
    copy = Settings.load(Path(shutil.copytree(overtaken.home, tmp_path_factory.mktemp("used") / "found")))
    runs.materialize(copy, "training_set", str(cutoff))
    tower = pa.table({"encoder_revision": ["tower-old-mean"] * 3, "text_id": [1, 2, 3], "vector": [bytes(64)] * 3})
    lake.append(
        copy.lake,
        text_vectors.TABLE,
        tower.cast(text_vectors.SCHEMA),
        schema=text_vectors.SCHEMA,
        partition_by=("encoder_revision",),
    )
    curves = tmp_path_factory.mktemp("curves")
    (curves / "curves.json").write_bytes(bytes(5000))
    with tracking.run(copy, registry.MODEL, "align") as (_, run):
        artifacts.keep(copy, curves, str(run.info.artifact_uri))
    (copy.home / "index" / OLD_INDEX).mkdir()
    (copy.home / "index" / OLD_INDEX / "data").write_bytes(bytes(5000))
    with open_instance(copy) as instance:
        for days in (20, 9, 8):
            at, why = time.time() - days * DAY, "no new file " * 20_000
            tick = TickData("origin", "daily", InstigatorType.SCHEDULE, TickStatus.SKIPPED, at, selector_id="s", skip_reason=why)
            instance.create_tick(tick)
    return copy


@pytest.fixture
def worn(used: Settings, tmp_path: Path) -> Settings:
    return Settings.load(Path(shutil.copytree(used.home, tmp_path / "found")))


def collected(settings: Settings, *, dry_run: bool = False, later: float = LATER) -> dict[str, Collected]:
    kinds = garbage.collect(settings, housekeeping._kinds(), time.time() + later, dry_run=dry_run)
    return {kind.kind: kind for kind in kinds}


def answers(settings: Settings) -> tuple[object, ...]:
    """What look-ups, the status and the list of models say."""
    context = Context(settings.home, Actor("ann", "test"))
    question = Question("people who will soon buy gold", mode="aligned")
    audience = lookups.find(context, lookups.Find(question, Size(top=20))).audience
    listed = models.list_versions(context)
    return [(u.user_id, u.score) for u in audience.users], staleness.of_home(settings), listed


def test_what_is_old_goes_the_size_falls_and_every_read_answers_as_before(worn: Settings) -> None:
    before, size = answers(worn), garbage.size_of(worn.home)
    planned, first = collected(worn, dry_run=True), collected(worn)
    assert garbage.size_of(worn.home) < size
    for name in ("runs", "ticks", "vectors", "versions", "indexes", "checkpoints", "models"):
        assert first[name].pieces > 0, name
        assert first[name].after < first[name].before, name
        assert planned[name].pieces == first[name].pieces or name == "versions", name  # vectors that go are versions of the lake
    assert answers(worn) == before
    assert not any(kind.pieces for name, kind in collected(worn).items() if name not in ("versions", "runs")), (
        "nothing is left to go"
    )


def test_what_killed_processes_were_writing_goes_after_a_day_and_what_is_being_written_stays(tmp_path: Path) -> None:
    home = Settings.load(tmp_path)
    old, new, table = (tmp_path / name for name in (".ledger.json.partial", ".settings.yaml.partial", "lake/t/.x.partial"))
    table.parent.mkdir(parents=True)
    for path in (old, new, table):
        path.write_text("{")
    (tmp_path / "data.partial").mkdir()
    (tmp_path / "data.partial" / "rows").write_text("1")
    for path in (old, tmp_path / "data.partial" / "rows", tmp_path / "data.partial"):
        os.utime(path, (0, 0))
    (gone,) = garbage.collect(home, (replaced.UNFINISHED,), time.time(), dry_run=False)
    assert gone.pieces == 2
    assert set(tmp_path.rglob("*.partial")) == {new, table}


def test_a_dry_run_changes_nothing_and_says_what_would_go(worn: Settings) -> None:
    def files() -> dict[Path, int]:
        every = (path for path in worn.home.rglob("*") if path.is_file())
        return {path: path.stat().st_size for path in every if not path.name.endswith((*garbage.PASSING, ".lock"))}

    before = files()
    planned = collected(worn, dry_run=True)
    assert planned["indexes"].pieces == 1
    assert planned["indexes"].before - planned["indexes"].after == 5000
    assert files() == before


def test_nothing_goes_before_its_time(worn: Settings) -> None:
    assert {name for name, kind in collected(worn, dry_run=True, later=0).items() if kind.pieces} == {"ticks"}
    with open_instance(worn) as instance:
        assert len(instance.get_ticks("origin", "s")) == 3
        collected(worn, later=0)
        assert len(instance.get_ticks("origin", "s")) == 1, "the newest says when it was last alive"


def test_the_version_before_can_serve_again_after_a_collection(worn: Settings) -> None:
    bad, good = registry.champion_and_previous(worn)
    collected(worn)
    moved = models.roll_back_model(Context(worn.home, Actor("ann", "test")))
    assert (moved.before.champion, moved.after.champion) == (bad, good)
    assert index.live(worn).model_version == good
    assert answers(worn)


def test_a_run_that_is_the_newest_of_a_partition_stays_without_its_steps(worn: Settings) -> None:
    with open_instance(worn) as instance:
        needed = old_runs._newest_of_a_partition(instance)
        assert needed < {run.run_id for run in instance.get_runs()}
    collected(worn)
    with open_instance(worn) as instance:
        assert {run.run_id for run in instance.get_runs()} == needed
        assert not any((worn.dagster_home / "history" / "runs" / f"{run}.db").exists() for run in needed)
        assert instance.get_latest_materialization_event(dg.AssetKey("user_index"))


def test_a_killed_collection_is_ended_by_the_next_one(worn: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SqliteRunStorage, "delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            collected(worn)
    assert collected(worn)["runs"].pieces > 0
    assert answers(worn)


def test_what_somebody_works_on_stays_till_the_next_time(worn: Settings) -> None:
    with home.lock(worn.home, "publishing"):
        busy = collected(worn)["indexes"]
    assert (busy.pieces, busy.in_use) == (0, 1)
    assert collected(worn)["indexes"].pieces == 1
    with (
        home.lock(worn.home, garbage.TURN),
        pytest.raises(JobFailed, match="An erasure, a backup or another collection is at work"),
    ):
        collected(worn)


def test_training_files_go_with_the_last_version_in_service_of_their_cutoff(worn: Settings, cutoff: dt.date) -> None:
    other = worn.home / "training" / "2020-01-01"
    shutil.copytree(worn.home / "training" / str(cutoff), other)
    assert collected(worn)["training"].pieces == 1
    assert not other.exists()
    assert (worn.home / "training" / str(cutoff) / "data").exists()


def test_vectors_of_a_tower_in_service_stay(worn: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retired, "_towers_in_service", lambda _: {"tower-old-mean"})
    assert collected(worn)["vectors"].pieces == 0


def test_runs_of_registered_versions_stay_in_mlflow(worn: Settings) -> None:
    collected(worn)
    client = tracking.client(worn)
    left = {run.info.run_id for run in tracking.every_run(client)}
    assert left == tracking.registered(client).runs
    assert registry.load(worn, pointer.live(worn).model_version)


def test_the_command_says_bytes_by_kind_and_of_the_home(worn: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = call_found("gc", "--dry-run", "--home", worn.home)
    lines = [line for line in outcome.out.splitlines() if line.strip()]
    kinds = [line.split()[0] for line in lines[2:-1]]
    assert kinds == [kind.name for kind in housekeeping._kinds()], "a line each in a terminal of 80 columns"
    assert (outcome.status, "ticks" in outcome.out, "The home would shrink from" in outcome.out) == (0, True, True), outcome.err
    after = call_found("gc", "--home", worn.home)
    assert (after.status, "The home had" in after.out) == (0, True), after.err
