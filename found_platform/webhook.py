"""A webhook: which addresses are taken, how what is sent is signed, and sending it there and nowhere else.

What belongs here: what deliveries and alerts share. What does not: what they send.
"""

import hashlib
import hmac
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from found_platform import credentials
from found_platform.errors import BadInput

LOCAL = ("127.0.0.1", "localhost", "::1")
SECONDS = 30.0
"""For an answer."""


def check_address(address: str, reason: str) -> None:
    """Raises BadInput for what is no address of a webhook, or leaves this machine unencrypted; `reason` says why that matters."""
    parts = urlsplit(address)
    if not parts.hostname or parts.scheme not in ("http", "https") or parts.username or parts.password:
        shown = "This" if credentials.kind(address) else repr(address)  # what cannot be read may hold one, too
        raise BadInput(f"{shown} is no address of a webhook: write https://host/path, without a name or password in it.")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise BadInput(f"{parts.hostname} is not on this machine: use https, since {reason}.")


def signature(secret: str, moment: int, body: bytes) -> str:
    """The header `Found-Signature`: a time and the HMAC-SHA256 of `TIME.BODY` under the receiver's secret (hex), in hex."""
    digest = hmac.new(bytes.fromhex(secret), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def post(address: str, secret: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Sends signed JSON. Raises OSError or ValueError where it was not taken; `why` says it in words."""
    sent = {"Content-Type": "application/json", **headers, "Found-Signature": signature(secret, int(time.time()), body)}
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(urllib.request.Request(address, body, sent, method="POST"), timeout=SECONDS) as answer:
        answer.read(1)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """It goes to the address that an admin named, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def why(problem: Exception) -> str:
    """Why something was not taken."""
    if isinstance(problem, urllib.error.HTTPError):
        return f"it answered {problem.code}"
    reason = getattr(problem, "reason", problem)
    return str(getattr(reason, "strerror", None) or reason)
