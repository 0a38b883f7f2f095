"""Editing what is kept by name: the ETag of what was read is sent back as `If-Match`, so that nobody overwrites what is newer.

Who makes something new sends `If-None-Match: *`; who sends neither is asked to (428).
"""

import re
from typing import Annotated, Any

from fastapi import Header

from found_platform.serving.problems import Problem, Rejected

IfMatch = Annotated[str | None, Header(description="The ETag that was read")]
IfNoneMatch = Annotated[str | None, Header(description="`*`, for something new")]
NEW = ""
"""The version of what is not there yet."""

TAGGED: dict[str, Any] = {"ETag": {"description": "The version, to be sent back as `If-Match`", "schema": {"type": "string"}}}


def etag(version: str | int) -> str:
    return f'"v{version}"'


def read_version(if_match: str | None) -> str | None:
    """The version that an If-Match names; None where there is no If-Match."""
    if if_match is None:
        return None
    hit = re.fullmatch(r'"v([0-9a-f]{1,64})"', if_match.strip())
    if hit is None:
        raise Rejected(Problem(412, f"If-Match is {if_match!r}: send the ETag that you read, such as {etag(3)}.", "conflict"))
    return hit[1]


def edited_version(if_match: str | None, if_none_match: str | None) -> str:
    """The version that is edited, or NEW. Raises Rejected (428) where neither header says it."""
    if if_none_match is not None and if_none_match.strip() == "*":
        return NEW
    version = read_version(if_match)
    if version is None:
        sentence = "Say what you edit: If-Match with the ETag that you read, or If-None-Match: * for something new."
        raise Rejected(Problem(428, sentence, "conflict"))
    return version


def number(version: str | None) -> int | None:
    """The version of what counts its versions. Raises Rejected for one that is no number."""
    if version is None:
        return None
    if version == NEW:
        return 0
    if not version.isdecimal() or len(version) > 9:
        raise Rejected(Problem(412, f"If-Match is {etag(version)}: send the ETag that you read, such as {etag(3)}.", "conflict"))
    return int(version)
