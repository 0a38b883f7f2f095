"""Work in a bounded pool of threads. What is not done within a moment becomes a job that can be followed and cancelled.

A use case runs in a thread to its end: a job that is cancelled while it runs stops at the next step that it tells, and one that
tells none ends and is thrown away. What belongs here: running and keeping jobs. What does not: what they do.
"""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any

from found_platform.app.context import Context
from found_platform.app.document import as_document
from found_platform.app.progress import Event
from found_platform.serving import problems
from found_platform.serving.metrics import Metrics
from found_platform.serving.problems import Problem, Rejected

KEPT = 500
"""Finished jobs that are remembered; the oldest goes first."""

KEPT_SECONDS = 3600.0
"""For which a finished job is remembered at most: its answer may be long."""

MOST_WAITING = 100
"""Jobs that wait for a thread, above which a request is turned away."""

POLL_SECONDS = 0.2
"""Between two looks at a job that is followed."""

SILENCE_SECONDS = 15.0
"""After which a follower is told that the job goes on: proxies cut connections that say nothing."""

WORK_THREADS = 2
"""Of what changes a home: runs wait for each other's locks anyway."""

LIST_THREADS = 4
"""Of what reads a few rows: a list does not wait behind questions that score everybody."""


class Cancelled(Exception):
    """Somebody cancelled a job."""


@dataclass
class Job:
    """`state` is waiting, running, done, failed or cancelled. `events` are what was told, oldest first."""

    id: str
    owner: str
    action: str
    state: str = "waiting"
    events: list[dict[str, Any]] = field(default_factory=list)
    result: Any = None
    problem: Problem | None = None
    ended: float = 0.0  # when it was finished
    cancelling: bool = False
    future: "Future[Any] | None" = None
    raised: BaseException | None = None
    write: Callable[[Any], Any] = as_document

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def as_dict(self) -> dict[str, Any]:
        return {
            "job": self.id,
            "action": self.action,
            "state": self.state,
            "cancelling": self.cancelling and not self.finished,
            "events": self.events[-50:],
            "result": self.write(self.result) if self.state == "done" else None,
            "problem": self.problem.as_dict() if self.problem else None,
        }


class Jobs:
    """The jobs of one server: `threads` for questions, WORK_THREADS for what changes a home, LIST_THREADS for what only lists."""

    def __init__(self, threads: int, metrics: Metrics):
        self._pools = {
            "question": ThreadPoolExecutor(threads, "found-question"),
            "change": ThreadPoolExecutor(WORK_THREADS, "found-work"),
            "list": ThreadPoolExecutor(LIST_THREADS, "found-list"),
        }
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock, self._metrics = threading.Lock(), metrics

    def submit(
        self,
        action: str,
        context: Context,
        use_case: Callable[..., Any],
        *request: Any,
        kind: str = "question",
        write: Callable[[Any], Any] = as_document,
    ) -> Job:
        """Puts a use case into a pool. Raises Rejected where too many wait already."""
        job = Job(secrets.token_urlsafe(12), context.actor.name, action, write=write)
        with self._lock:
            if sum(other.state == "waiting" for other in self._jobs.values()) >= MOST_WAITING:
                raise Rejected(Problem(503, "Too many requests wait already: ask again in a few seconds.", "busy"))
            self._jobs[job.id] = job
            ended = {number: other.ended for number, other in self._jobs.items() if other.finished}
            finished = sorted(ended, key=lambda number: ended[number])  # one that took long is not the oldest
            old = [number for number in finished if ended[number] < time.time() - KEPT_SECONDS]
            for number in {*old, *finished[: max(len(finished) - KEPT, 0)]}:
                del self._jobs[number]
        job.future = self._pools[kind].submit(copy_context().run, self._run, job, context, use_case, request)
        return job

    def _run(self, job: Job, context: Context, use_case: Callable[..., Any], request: tuple[Any, ...]) -> Any:
        def tell(event: Event) -> None:
            if job.cancelling:
                raise Cancelled
            job.events.append({"event": type(event).__name__, **as_document(event)})

        try:
            if job.cancelling:
                raise Cancelled
            job.state = "running"
            with self._metrics.jobs.labels("running").track_inprogress():
                result = use_case(replace(context, tell=tell), *request)
            if job.cancelling:
                raise Cancelled
            job.ended = time.time()
            job.result, job.state = result, "done"
            return result
        except Cancelled:
            job.ended = time.time()
            job.state = "cancelled"
        except Exception as error:
            job.ended = time.time()
            job.raised, job.problem, job.state = error, problems.of(error), "failed"
        return None

    def get(self, number: str) -> Job | None:
        return self._jobs.get(number)

    def drop(self, job: Job) -> None:
        """Forgets a job whose answer was given at once."""
        with self._lock:
            self._jobs.pop(job.id, None)

    def cancel(self, job: Job) -> None:
        """Asks a job to end."""
        job.cancelling = True
        if job.future is not None and job.future.cancel():
            job.ended = time.time()
            job.state = "cancelled"

    @staticmethod
    async def wait(job: Job, seconds: float | None) -> bool:
        """Whether a job is finished within some seconds (None: however long it takes)."""
        assert job.future is not None
        await asyncio.wait({asyncio.wrap_future(job.future)}, timeout=seconds)
        return job.finished

    @staticmethod
    async def follow(job: Job, start: int = 0) -> AsyncIterator[tuple[int, dict[str, Any] | None]]:
        """The events of a job from number `start` on, as they come, and at last what became of it; None after a long silence."""
        place, told = start, time.monotonic()
        while True:
            finished = job.finished  # before the events are read: none comes after it
            while place < len(job.events):
                yield place, job.events[place]
                place, told = place + 1, time.monotonic()
            if finished:
                yield place, {"event": job.state, "problem": job.problem.as_dict() if job.problem else None}
                return
            if time.monotonic() - told > SILENCE_SECONDS:
                told = time.monotonic()
                yield place, None
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Lets nothing new begin; what runs is waited for."""
        for job in self._jobs.values():
            job.cancelling = True
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
