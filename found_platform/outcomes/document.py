"""Outcomes as YAML or JSON: what a person edits and gives back. What cannot be used is named with its place and the next step."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from found_platform import documents
from found_platform.errors import BadInput
from found_platform.outcomes.outcome import Outcome

MOST_BYTES = 100_000


def load(path: Path) -> Outcome:
    """The outcome in a file. Raises BadInput where there is none, or it cannot be used."""
    if not path.exists():
        raise BadInput(f"The outcome file {path} does not exist: `found rewrite SENTENCE --format yaml` writes one.")
    content = documents.load(path, "outcome file", most_bytes=MOST_BYTES)
    return parse(content, str(path))


def read(text: str) -> Outcome:
    """The outcome that a person wrote in YAML or JSON. Raises BadInput where it cannot be used."""
    if len(text) > MOST_BYTES:
        raise BadInput(f"The outcome has more than {MOST_BYTES:,} characters: leave out what does not belong to it.")
    return parse(documents.parse(text, "the outcome"))


def parse(content: Any, source: str = "the outcome") -> Outcome:
    """An outcome from plain data. Raises BadInput that names the key and what it may be."""
    if not isinstance(content, dict):
        raise BadInput(f"{source} holds no outcome: write `will:` and what people will do, as in docs/outcomes.md.")
    will = content.get("will")
    if isinstance(will, dict):  # one statement need not be a list
        content = {**content, "will": [will]}
    try:
        return Outcome.model_validate(content)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise BadInput(
            f"{source}: {f'{key}: ' if key else ''}{reason(error)}. docs/outcomes.md has what an outcome may say."
        ) from None


WANTED = {"tuple_type": "write a list, as in [gold]", "model_type": "write keys and values", "string_too_short": "it is empty"}
"""By kind of slip, what to write; the library speaks of Python's types."""


def reason(refusal: ValidationError) -> str:
    """Why an outcome cannot be, without the key."""
    error: Any = refusal.errors(include_url=False)[0]
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] == "missing":
        return "it is missing"
    message = error["msg"].removeprefix("Value error, ").removesuffix(".")
    if error["type"] == "value_error":
        return message
    message = WANTED.get(error["type"], message[:1].lower() + message[1:]).replace("tuple", "list")
    return f"{documents.brief(error['input'])} cannot be used ({message})"


def as_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain data, without what is as it would be anyway."""
    content = json.loads(outcome.model_dump_json(exclude_defaults=True))
    content["will"] = [statement or {"do": {}} for statement in content["will"]]
    return content


def as_yaml(outcome: Outcome) -> str:
    """An outcome as `load` reads it."""
    return yaml.safe_dump(as_data(outcome), sort_keys=False, allow_unicode=True)
