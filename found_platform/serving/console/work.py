"""Use cases asked for by a page: waited for, or, where they take long, shown as a job that the page looks at again and again."""

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.serving.doors import Visitor
from found_platform.serving.jobs import Job, Jobs
from found_platform.serving.problems import Problem, Rejected
from found_platform.serving.state import server_of

R = TypeVar("R")

PATIENCE = 60.0
"""Seconds that a page waits for an answer."""

WORK_SECONDS = 3.0
"""Seconds that a page waits for a change before it shows the job."""


async def ask(request: Request, visitor: Visitor, use_case: Callable[..., R], *arguments: Any, changes: bool = False) -> R:
    """The result of a question, which runs in the server's bounded pool. Raises what the use case raises."""
    server = server_of(request)
    job = server.jobs.submit(use_case.__name__, visitor.context, use_case, *arguments, kind="change" if changes else "question")
    try:
        if not await Jobs.wait(job, PATIENCE):
            raise Rejected(Problem(503, f"No answer within {PATIENCE:g} seconds: ask again, or ask for less.", "too-slow"))
        if job.raised is not None:
            raise job.raised
        return job.result
    finally:
        if job.finished:
            server.jobs.drop(job)
        else:
            server.jobs.cancel(job)


async def read(visitor: Visitor, use_case: Callable[..., R], *arguments: Any) -> R:
    """The result of what only reads small files: it does not wait behind questions that score everybody."""
    return await run_in_threadpool(use_case, visitor.context, *arguments)


async def change(
    request: Request, visitor: Visitor, action: str, use_case: Callable[..., Any], *arguments: Any, leads_to: str
) -> Response:
    """Does what a form asks and leads to a page; where it takes longer, to the page of the job. Raises what it raises."""
    server = server_of(request)
    job = server.jobs.submit(action, visitor.context, use_case, *arguments, kind="change", write=lambda _: {"page": leads_to})
    if not await Jobs.wait(job, WORK_SECONDS):
        return RedirectResponse(f"/jobs/{job.id}", 303)
    server.jobs.drop(job)
    if job.raised is not None:
        raise job.raised
    return RedirectResponse(leads_to, 303)


def page_after(job: Job) -> str:
    """The page that a finished job leads to."""
    return job.write(job.result)["page"]
