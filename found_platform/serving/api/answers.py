"""How every answer of the API is written: with what is published, at once or as a job, and the same for a repeated request."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from found_platform.app import offers
from found_platform.app.context import Context
from found_platform.app.document import as_document
from found_platform.errors import BadInput
from found_platform.serving.api.described import refers_to
from found_platform.serving.doors import Visitor
from found_platform.serving.jobs import Job, Jobs
from found_platform.serving.problems import MEDIA_TYPE, Problem, Rejected
from found_platform.serving.state import server_of


def _problem(description: str) -> dict[str, Any]:
    return refers_to("Problem", description, MEDIA_TYPE)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _problem("A request that cannot be read"),
    401: _problem("Nobody is known"),
    403: _problem("The role lacks the scope, or the request comes from another site"),
    404: _problem("What is named is not there"),
    405: _problem("The address does not take the method"),
    408: _problem("The body did not arrive in time"),
    409: _problem("Somebody cancelled the job, or it could not be finished for what was written meanwhile"),
    412: _problem("Somebody else changed it"),
    413: _problem("The body is too long"),
    421: _problem("The server has another name"),
    422: _problem("What cannot be asked"),
    428: _problem("The request has to say what it edits"),
    429: _problem("Too many requests"),
    503: _problem("The work failed, or too much waits"),
}


def with_versions(context: Context, document: Any) -> dict[str, Any]:
    """A document with what every answer carries: as of when, by which versions, exact or approximate."""
    body = document if isinstance(document, dict) else {"items": document}
    if {"as_of", "model_version", "index_version", "exact"} <= body.keys():
        return body
    live = offers.serving(context)
    return {**body, **{key: body.get(key, value) for key, value in live.items()}, "exact": body.get("exact", True)}


async def answer(
    request: Request,
    visitor: Visitor,
    action: str,
    use_case: Callable[..., Any],
    *arguments: Any,
    changes: bool = False,
    lists: bool = False,
    status: int = 200,
    headers: Callable[[Any], dict[str, str]] = lambda _: {},
    write: Callable[[Any], Any] = as_document,
) -> Response:
    """The result of a use case, or, where it takes longer than a moment, 202 and the job that it is.

    Args:
        changes, lists: whether it changes the home, or reads a few rows alone; else it is a question about users.
    """
    server, context = server_of(request), visitor.context
    kind = "change" if changes else "list" if lists else "question"

    def written(result: Any) -> dict[str, Any]:
        return with_versions(context, write(result))

    def start() -> Job:
        return server.jobs.submit(action, context, use_case, *arguments, kind=kind, write=written)

    key = request.headers.get("idempotency-key")
    if key is not None:
        if not 0 < len(key) <= 200:
            raise BadInput("An Idempotency-Key has 1 to 200 characters.")
        body = await request.body()
        request_hash = hashlib.sha256(f"{request.method} {request.url.path} ".encode() + body).hexdigest()
        job = server.repeats.get_or_start(context.actor.name, key, request_hash, start)
    else:
        job = start()
    if not await Jobs.wait(job, server.options.answer_seconds):
        place = f"/api/v1/jobs/{job.id}"
        links = {"job": job.id, "state": job.state, "status": place, "events": f"{place}/events"}
        return JSONResponse(links, 202, {"location": place, "retry-after": "2"})
    if key is None:
        server.jobs.drop(job)
    if job.raised is not None:
        raise job.raised
    if job.state == "cancelled":
        raise Rejected(Problem(409, "Somebody cancelled this job: ask again.", "cancelled"))
    content = written(job.result)
    return JSONResponse(content, status, headers(job.result))


def cursor(**place: Any) -> str:
    """Where the next page starts, as a word for the address."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(text: str | None, *names: str) -> dict[str, int]:
    """What a cursor says. Raises BadInput for one that is none."""
    if text is None:
        return {}
    try:
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, UnicodeError):
        place = None
    if (
        not isinstance(place, dict)
        or set(place) != set(names)
        or not all(type(v) is int and 0 <= v < 2**53 for v in place.values())
    ):
        raise BadInput("The cursor is none that this API gave: start again without it.")
    return place
