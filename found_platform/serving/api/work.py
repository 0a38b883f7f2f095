"""Jobs: what took longer than a moment, followed and cancelled. Whose job it is sees it, and an admin."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from found_platform.app.access import Scope
from found_platform.errors import NotFound
from found_platform.serving.api.described import refers_to
from found_platform.serving.doors import Visitor, needs
from found_platform.serving.jobs import Job, Jobs
from found_platform.serving.state import server_of

router = APIRouter(prefix="/jobs", tags=["jobs"])
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "An event for each step", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]


def _job(request: Request, visitor: Visitor, number: str) -> Job:
    job = server_of(request).jobs.get(number)
    if job is None or not (job.owner == visitor.grant.name or visitor.may(Scope.ADMIN)):
        raise NotFound(f"There is no job {number!r} of yours: it ended long ago, or the server was started anew since.")
    return job


@router.get("/{number}", summary="How far a job is, and its result", responses={200: refers_to("Job", "The job, as it is now")})
async def show(request: Request, visitor: Reader, number: str) -> Response:
    job = _job(request, visitor, number)
    return JSONResponse(await run_in_threadpool(job.as_dict))


@router.delete("/{number}", summary="Cancel a job", status_code=202, responses={202: refers_to("Job", "The job, as it is now")})
async def cancel(request: Request, visitor: Reader, number: str) -> Response:
    """One that runs stops at its next step; what it did before stays, and the same request goes on from there."""
    job = _job(request, visitor, number)
    server_of(request).jobs.cancel(job)
    return JSONResponse(await run_in_threadpool(job.as_dict), 202)


@router.get(
    "/{number}/events", summary="A job as it goes on (server-sent events)", response_class=StreamingResponse, responses=EVENTS
)
async def events(
    request: Request, visitor: Reader, number: str, last_event_id: Annotated[str | None, Header(max_length=20)] = None
) -> Response:
    """The last event is `done`, `failed` (with the problem) or `cancelled`; the result is at the job's own address."""
    job = _job(request, visitor, number)
    start = int(last_event_id) + 1 if last_event_id and last_event_id.isdecimal() else 0

    async def stream() -> AsyncIterator[str]:
        async for place, event in Jobs.follow(job, start):
            yield ": it goes on\n\n" if event is None else f"id: {place}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")
