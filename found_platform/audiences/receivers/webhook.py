"""A webhook: members as signed JSON, in parts."""

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from found_platform.audiences.receivers import NotTaken, Place, Shipment, check_options
from found_platform.errors import BadInput

PART = 10_000
"""Users in one request."""
SECONDS = 30.0
"""For each answer."""


def check(place: Place) -> None:
    """An address on this machine, or one with https; without a name and password in it."""
    check_options(place)
    parts = urlsplit(place.address)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or parts.username or parts.password:
        raise BadInput(f"{place.address!r} is no address of a webhook: write https://host/path, without a name or password in it.")
    if parts.scheme == "http" and not local:
        raise BadInput(f"{parts.hostname} is not on this machine: use https, since members are sent there by their ids.")


def send(place: Place, shipment: Shipment) -> str:
    """One request for each part; who left is in the last one."""
    opener = urllib.request.build_opener(_NoRedirect)
    starts = list(range(0, max(shipment.rows.num_rows, 1), PART))
    for number, start in enumerate(starts, 1):
        users = shipment.rows.slice(start, PART).to_pylist()
        left = shipment.removed if number == len(starts) else []
        body = json.dumps({**shipment.about(), "part": number, "parts": len(starts), "users": users, "removed": left}).encode()
        headers = {"Content-Type": "application/json", "Found-Delivery": f"{shipment.delivery}-{number}"}
        headers["Found-Signature"] = signature(place.secret, int(time.time()), body)
        try:
            request = urllib.request.Request(place.address, body, headers, method="POST")
            with opener.open(request, timeout=SECONDS) as answer:
                answer.read(1)
        except (OSError, ValueError) as problem:
            raise NotTaken(_why(problem)) from None
    return ""


def signature(secret: str, moment: int, body: bytes) -> str:
    """The header `Found-Signature`: a time and the HMAC-SHA256 of `TIME.BODY` under the destination's secret, in hex."""
    digest = hmac.new(bytes.fromhex(secret), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Members go to the address that an admin named, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _why(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        return f"it answered {problem.code}"
    reason = getattr(problem, "reason", problem)
    return str(getattr(reason, "strerror", None) or reason)
