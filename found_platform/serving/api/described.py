"""The document of the API says what each operation answers: fields, types and an example, read from the results of the use cases.

A route names what it gives (`gives`); the schemas are made when the document is asked for, since the classes of results load the
platform. What belongs here: what is put around a result, and the document. What does not: shapes of results (`app.shapes`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from found_platform.app.shapes import Shapes, Written

ANSWER = "x-answer"
"""Where a route keeps what it gives until the document is made."""

THE_ANSWER = "The answer"
JOB_STATES = ["waiting", "running", "done", "failed", "cancelled"]
NULLABLE_TEXT = {"type": ["string", "null"]}
VERSIONS = {
    "as_of": {**NULLABLE_TEXT, "description": "The day of what answered; null where nothing is published."},
    "model_version": {**NULLABLE_TEXT, "description": "The version of the model that answered."},
    "index_version": {**NULLABLE_TEXT, "description": "The index that answered."},
    "exact": {"type": "boolean", "description": "False where the vector index answered in place of all scores."},
}

ACCEPTED = {
    "type": "object",
    "required": ["job", "state", "status", "events"],
    "properties": {
        "job": {"type": "string"},
        "state": {"enum": JOB_STATES},
        "status": {"type": "string", "description": "Where the job is looked at and cancelled; `Location` too."},
        "events": {"type": "string", "description": "Where it is followed."},
    },
    "additionalProperties": False,
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:found:", "examples": ["urn:found:not-found"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {
            "type": "string",
            "description": "One sentence: what was wrong and what to do next.",
            "examples": ["There is no destination 'crm'; there are none yet: `found destination add` makes one."],
        },
        "retry_after": {"type": "number", "description": "Seconds to wait, where too many requests came."},
    },
    "additionalProperties": False,
}
JOB = {
    "type": "object",
    "required": ["job", "action", "state", "cancelling", "events", "result", "problem"],
    "properties": {
        "job": {"type": "string"},
        "action": {"type": "string", "examples": ["refresh"]},
        "state": {"enum": JOB_STATES},
        "cancelling": {"type": "boolean", "description": "Whether it was cancelled and still runs."},
        "events": {
            "type": "array",
            "items": {"type": "object", "required": ["event"], "properties": {"event": {"type": "string"}}},
        },
        "result": {"type": ["object", "null"], "description": "What the request would have been answered, once the job is done."},
        "problem": {"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
    },
    "additionalProperties": False,
}
PROTOCOL: dict[str, dict[str, Any]] = {"Accepted": ACCEPTED, "Problem": PROBLEM, "Job": JOB}
"""What is answered of every operation, whatever it gives."""


@dataclass(frozen=True)
class Given:
    """What an operation answers: what a use case returns or a class is, under a `key` where there is one, and `plus` more."""

    what: Any
    key: str | None = None
    plus: dict[str, Any] = field(default_factory=dict)


GIVEN: list[Given] = []
"""What the routes give: the document is plain data, so a route keeps the place here."""


def gives(
    what: Any, *, status: int = 200, key: str | None = None, plus: dict[str, Any] | None = None, later: bool = True
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route.

    Args:
        what: a use case, whose result is answered, or a type.
        later: whether it may be answered with a job.
    """
    GIVEN.append(Given(what, key, plus or {}))
    answer = {"description": THE_ANSWER, ANSWER: len(GIVEN) - 1}
    return {status: answer, **(LATER if later else {})}


def refers_to(name: str, description: str, media_type: str = "application/json") -> dict[str, Any]:
    """A response of one of `PROTOCOL`."""
    return {"description": description, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def as_schema(schema: dict[str, Any], *, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers at once what no use case makes."""
    return {status: {"description": THE_ANSWER, "content": {"application/json": {"schema": schema}}}}


LATER: dict[int | str, dict[str, Any]] = {
    202: refers_to("Accepted", "It takes longer: a job to follow at the address in `Location`")
}


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the document of an app, once."""

    @cache
    def made() -> dict[str, Any]:
        content = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
        )
        shapes, examples = Shapes(), _examples()
        for path, operations in content["paths"].items():
            for method, operation in operations.items():
                _describe(operation, shapes, examples.get(f"{method.upper()} {path}"))
        schemas = content.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):  # this server answers problems
            schemas.pop(unused, None)
        schemas |= {**shapes.components, **PROTOCOL}
        return content

    return made


def _describe(operation: dict[str, Any], shapes: Shapes, example: Any) -> None:
    for response in operation["responses"].values():
        place = response.pop(ANSWER, None)
        if place is not None:
            media: dict[str, Any] = {"schema": _schema(GIVEN[place], shapes)}
            response["content"] = {"application/json": media}
        media = response.get("content", {}).get("application/json")
        if example is not None and media is not None and response["description"] == THE_ANSWER:
            media["example"] = example


def _schema(given: Given, shapes: Shapes) -> dict[str, Any]:
    """The object that is answered: a result with the versions, a list under `items`."""
    kind = (
        given.what if isinstance(given.what, type | Written) or hasattr(given.what, "__origin__") else shapes.returned(given.what)
    )
    plus = {name: each if isinstance(each, dict) else shapes.of(each) for name, each in given.plus.items()}
    if given.key is not None or hasattr(kind, "__origin__"):
        name = given.key or "items"
        body = {"type": "object", "properties": {name: shapes.of(kind)}, "required": [name], "additionalProperties": False}
    else:
        body = shapes.members(kind)
    body["properties"] = {**VERSIONS, **body["properties"], **plus}
    body["required"] = sorted({*body["required"], *VERSIONS, *plus})
    return body


def _examples() -> dict[str, Any]:
    """By operation, what it answered of a small home; lists are cut."""
    return json.loads(files("found_platform.serving.api").joinpath("examples.json").read_text())
