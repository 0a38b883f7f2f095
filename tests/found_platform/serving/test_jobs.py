"""Work that takes long: followed, cancelled, bounded."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from found_platform.app.context import Actor, Context
from found_platform.app.progress import Working
from found_platform.errors import JobFailed
from found_platform.serving import jobs as jobs_module
from found_platform.serving.jobs import Jobs
from found_platform.serving.metrics import Metrics
from found_platform.serving.problems import Rejected
from found_platform.serving.repeats import Repeats

CONTEXT = Context(Path("home"), Actor("ann", "test"))


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    pool = Jobs(1, Metrics())
    yield pool
    pool.close()


def test_a_job_tells_its_steps_as_they_come_and_its_result(jobs: Jobs) -> None:
    go_on = threading.Event()

    def work(context: Context, name: str) -> dict[str, str]:
        context.tell(Working("first"))
        go_on.wait(5)
        context.tell(Working("second"))
        return {"name": name}

    async def follow() -> list[str]:
        job = jobs.submit("work", CONTEXT, work, "x")
        assert not await Jobs.wait(job, 0.01)
        seen = []
        async for _, event in Jobs.follow(job):
            seen.append(event.get("on") or event["event"])
            go_on.set()
        assert job.as_dict()["result"] == {"name": "x"}
        return seen

    assert asyncio.run(follow()) == ["first", "second", "done"]


def test_a_job_that_is_cancelled_stops_at_its_next_step(jobs: Jobs) -> None:
    begun, go_on, finished = threading.Event(), threading.Event(), []

    def work(context: Context) -> None:
        begun.set()
        go_on.wait(5)
        context.tell(Working("next"))
        finished.append(1)

    running, waiting = jobs.submit("work", CONTEXT, work), jobs.submit("work", CONTEXT, work)
    begun.wait(5)
    jobs.cancel(waiting)
    jobs.cancel(running)
    go_on.set()
    assert asyncio.run(Jobs.wait(running, 5))
    assert (running.state, waiting.state, finished) == ("cancelled", "cancelled", [])


def test_a_job_that_fails_says_why_in_a_sentence(jobs: Jobs) -> None:
    def fail(context: Context) -> None:
        raise JobFailed("The disk is full: make room.")

    def break_down(context: Context) -> None:
        raise ZeroDivisionError

    failed, broken = jobs.submit("a", CONTEXT, fail), jobs.submit("b", CONTEXT, break_down)
    asyncio.run(Jobs.wait(failed, 5))
    asyncio.run(Jobs.wait(broken, 5))
    assert failed.as_dict()["problem"]["detail"] == "The disk is full: make room."
    assert broken.as_dict()["problem"]["status"] == 500
    assert "ZeroDivision" not in str(broken.as_dict())


def test_more_work_than_can_wait_is_turned_away(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_WAITING", 2)
    begun, go_on = threading.Event(), threading.Event()

    def work(context: Context) -> None:
        begun.set()
        go_on.wait(5)

    jobs.submit("work", CONTEXT, work)
    begun.wait(5)
    jobs.submit("work", CONTEXT, work)
    jobs.submit("work", CONTEXT, work)
    with pytest.raises(Rejected, match="wait already"):
        jobs.submit("work", CONTEXT, work)
    go_on.set()


def test_a_list_does_not_wait_behind_questions(jobs: Jobs) -> None:
    go_on = threading.Event()
    for _ in range(2):
        jobs.submit("find", CONTEXT, lambda _: go_on.wait(5))
    listed = jobs.submit("list", CONTEXT, lambda _: "rows", kind="list")
    assert asyncio.run(Jobs.wait(listed, 5))
    assert listed.result == "rows"
    go_on.set()


def test_a_job_is_forgotten_after_an_hour(jobs: Jobs) -> None:
    old = jobs.submit("find", CONTEXT, lambda _: "rows")
    assert asyncio.run(Jobs.wait(old, 5))
    old.ended -= jobs_module.KEPT_SECONDS + 1
    jobs.submit("find", CONTEXT, lambda _: "rows")
    assert jobs.get(old.id) is None


def test_the_answer_of_work_that_took_long_outlives_those_that_ended_before_it(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "KEPT", 2)
    go_on = threading.Event()
    long = jobs.submit("erase", CONTEXT, lambda _: go_on.wait(5) and "certificate", kind="change")
    for _ in range(4):
        quick = jobs.submit("find", CONTEXT, lambda _: "rows")
        assert asyncio.run(Jobs.wait(quick, 5))
    go_on.set()
    assert asyncio.run(Jobs.wait(long, 5))
    jobs.submit("find", CONTEXT, lambda _: "rows")
    finished_job = jobs.get(long.id)
    assert finished_job is not None
    assert finished_job.as_dict()["result"] == "certificate"


def test_a_follower_of_a_silent_job_hears_that_it_goes_on(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(jobs_module, "POLL_SECONDS", 0.01)
    go_on = threading.Event()
    job = jobs.submit("find", CONTEXT, lambda _: go_on.wait(5))

    async def follow() -> list[object]:
        heard = []
        async for _, event in Jobs.follow(job):
            heard.append(event and event["event"])
            go_on.set()
        return heard

    heard = asyncio.run(follow())
    assert (heard[0], heard[-1]) == (None, "done")


def test_a_key_of_what_failed_tries_again(jobs: Jobs) -> None:
    answers = iter([JobFailed("The receiver is away."), "sent"])

    def work(context: Context) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    repeats = Repeats()
    for state in ("failed", "done", "done"):
        job = repeats.get_or_start("ann", "key", "hash", lambda: jobs.submit("deliver", CONTEXT, work))
        asyncio.run(Jobs.wait(job, 5))
        assert job.state == state
