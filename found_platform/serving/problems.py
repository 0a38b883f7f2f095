"""What was wrong, for programs and for people: one sentence, the same that the command line prints. No trace and no class name."""

import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from found_platform.errors import BadInput, Conflict, JobFailed, NotFound, Unfinished

log = logging.getLogger("found.serving")

MEDIA_TYPE = "application/problem+json"

NO_OBJECT = "The body is no JSON object: send one as the documentation at /api/v1/docs has it."


@dataclass(frozen=True)
class Problem:
    """A refusal or a failure as RFC 9457 writes it."""

    status: int
    detail: str
    kind: str = "problem"
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def as_dict(self) -> dict[str, Any]:
        head = {"type": f"urn:found:{self.kind}", "title": self.title, "status": self.status, "detail": self.detail}
        return {**head, **dict(self.extra)}

    def as_response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(self.as_dict(), self.status, headers=headers, media_type=MEDIA_TYPE)


class Refused(Exception):
    """A request that is not allowed. The audit has a row of it."""

    def __init__(self, problem: Problem, actor: str):
        super().__init__(problem.detail)
        self.problem, self.actor = problem, actor


class Rejected(HTTPException):
    """A request that cannot be served as it was sent: its headers, its size."""

    def __init__(self, problem: Problem):
        super().__init__(problem.status, problem.detail)
        self.problem = problem


def of(error: BaseException) -> Problem:
    """The problem that an error is."""
    if isinstance(error, Refused | Rejected):
        return error.problem
    if isinstance(error, NotFound):
        return Problem(404, str(error), "not-found")
    if isinstance(error, Conflict):
        return Problem(412, str(error), "conflict")
    if isinstance(error, BadInput):
        return Problem(422, str(error), "bad-input")
    if isinstance(error, Unfinished):
        return Problem(409, str(error), "unfinished")
    if isinstance(error, JobFailed):
        return Problem(503, str(error), "job-failed")
    if isinstance(error, RequestValidationError):
        return Problem(422, _first(error), "bad-input")
    if isinstance(error, HTTPException):
        sentence = {400: NO_OBJECT, 404: "There is nothing at this address.", 405: "This address does not take this method."}
        return Problem(error.status_code, sentence.get(error.status_code, str(error.detail)), "http")
    number = secrets.token_hex(4)
    log.error("error %s", number, exc_info=error)
    return Problem(500, f"This server failed; its log says why, under {number}. Ask again, or tell whoever runs it.", "failure")


def _first(error: RequestValidationError) -> str:
    """The first thing that is wrong with a request, with its place."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
    message = str(first["msg"]).removeprefix("Value error, ").removesuffix(".")
    if first["type"] == "json_invalid" or (not place and first["type"] in ("model_attributes_type", "model_type")):
        return NO_OBJECT
    if first["type"] == "missing" and not place:
        return "The body is missing: send a JSON object as the documentation at /api/v1/docs has it."
    reason = {"extra_forbidden": "there is no such field", "missing": "it is missing"}.get(
        first["type"], message[:1].lower() + message[1:]
    )
    return f"{place or 'The request'}: {reason}."
