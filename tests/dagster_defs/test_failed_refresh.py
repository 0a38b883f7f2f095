"""What a person is told of a refresh that failed or was killed, and which runs are taken for dead ones."""

from pathlib import Path

import dagster as dg
import pytest

from dagster_defs import failed_refresh, jobs
from dagster_defs.execution import IN_PROCESS, SESSION, SHOWN_BEFORE, STARTED_ANEW, cancel_dead_runs, open_instance
from found_platform import home
from found_platform.settings import Settings

STARTED = dg.DagsterRunStatus.STARTED


def kept(settings: Settings, status: dg.DagsterRunStatus, **tags: str) -> str:
    """A run of the refresh of `gold` in the records."""
    with open_instance(settings) as instance:
        run = dg.DagsterRun(
            job_name=failed_refresh.JOB,
            run_id=dg.DagsterRun(job_name="x").run_id,
            status=status,
            tags={"dagster/partition": "gold"} | tags,
        )
        instance.add_run(run)
        return run.run_id


def status(settings: Settings, run_id: str) -> dg.DagsterRunStatus:
    with open_instance(settings) as instance:
        cancel_dead_runs(settings, instance)
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_nothing_is_said_before_a_first_run_and_after_one_that_succeeded(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert failed_refresh.why(settings, "gold") is None
    kept(settings, dg.DagsterRunStatus.FAILURE)
    kept(settings, dg.DagsterRunStatus.SUCCESS)
    assert failed_refresh.why(settings, "gold") is None


def test_a_refresh_that_failed_is_said_for_its_audience_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    kept(settings, dg.DagsterRunStatus.FAILURE)
    sentence = failed_refresh.why(settings, "gold")
    assert sentence is not None
    assert "The newest refresh failed" in sentence
    assert "refresh it again" in sentence
    assert failed_refresh.why(settings, "silver") is None


def test_a_refresh_whose_process_is_gone_was_stopped_and_one_that_goes_on_is_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    kept(settings, STARTED, **{IN_PROCESS: "true", SESSION: "one"})
    with home.lock(tmp_path, "session-one"):
        assert failed_refresh.why(settings, "gold") is None
    assert "was stopped" in (failed_refresh.why(settings, "gold") or "")
    kept(settings, STARTED)
    assert failed_refresh.why(settings, "gold") is None, "the daemon executes it"


@pytest.mark.parametrize("name", [lambda tag: tag, SHOWN_BEFORE.get])
def test_a_run_that_dagster_starts_anew_is_not_taken_for_the_dead_one_whose_tags_it_has(tmp_path: Path, name) -> None:
    settings = Settings(home=tmp_path)
    tags = {name(IN_PROCESS): "true", name(SESSION): "gone"}
    dead = kept(settings, STARTED, **tags)
    anew = kept(settings, STARTED, **tags, **{STARTED_ANEW: dead})
    assert status(settings, dead) == dg.DagsterRunStatus.CANCELED
    assert status(settings, anew) == STARTED
    assert failed_refresh.why(settings, "gold") is None


def test_tags_that_tell_a_person_nothing_are_not_on_the_pages_of_dagster() -> None:
    from dagster._core.storage.tags import TagType, get_tag_type

    assert {get_tag_type(tag) for tag in (IN_PROCESS, SESSION)} == {TagType.HIDDEN}


def test_dagster_and_its_own_file_say_the_same_of_the_newest_run(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    kept(settings, dg.DagsterRunStatus.FAILURE)
    kept(settings, STARTED, **{IN_PROCESS: "true", SESSION: "one"})
    assert failed_refresh._from_dagster(settings, "gold") == failed_refresh._from_file(settings, "gold") is not None
    assert (failed_refresh.SESSION, failed_refresh.STARTED_ANEW, failed_refresh.JOB) == (SESSION, STARTED_ANEW, jobs.REFRESH)
    assert failed_refresh._from_dagster(settings, "silver") is None
