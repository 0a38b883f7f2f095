"""What every request passes before anything reads it, and the headers that every answer carries.

A page of another site can make a browser send requests here: by a name that leads to this address (DNS rebinding), or by a form
with the cookie of a person who is signed in. Both are told by the request's own headers. What does not belong here: who may, which
is in `doors`.
"""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from found_platform.serving.options import Options
from found_platform.serving.problems import Problem, Rejected

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; img-src 'self' data:"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser sends forms without their origin
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class Protection:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, options: Options):
        self.app, self.options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if not static:
                    headers.setdefault("cache-control", "no-store")
                message["headers"] = headers.raw
            await send(message)

        problem = next(self._problems(scope), None)
        if problem is not None:
            await problem.as_response()(scope, receive, send_with_headers)
            return
        await self.app(scope, self._limited(scope, receive), send_with_headers)

    def _problems(self, scope: Scope) -> Iterator[Problem]:
        headers, options = Headers(scope=scope), self.options
        host = headers.get("host", "")
        name = _host_of(f"//{host}")
        if name not in options.hosts:
            hosts = ", ".join(sorted(options.hosts))
            yield Problem(421, f"This server is not called {name!r} but {hosts}: add the name with --name where it is one.", "host")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > options.most_bytes:
            yield _too_large(options)
        if scope["method"] in SAFE:
            return
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = site not in (None, "same-origin", "none")
        if origin is not None and (_host_of(origin) != name or urlsplit(origin).netloc != host):
            foreign = True
        if "cookie" in headers and "authorization" not in headers and site is None and origin is None:
            foreign = True  # a browser says where a form comes from
        if foreign:
            yield Problem(
                403, "This request comes from another site, and nothing was done: open the console itself and ask there.", "origin"
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as long as it arrives in time and is not too long."""
        received, options = 0, self.options
        deadline: float | None = None

        async def limited() -> Message:
            nonlocal received, deadline
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + options.body_seconds
            if scope.get("found.body_read"):
                return await receive()  # what comes now is the end of the connection
            left = deadline - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                sentence = f"The body did not arrive within {options.body_seconds:g} seconds: send it again."
                raise Rejected(Problem(408, sentence, "too-slow")) from None
            received += len(message.get("body", b""))
            if received > options.most_bytes:
                raise Rejected(_too_large(options))
            if not message.get("more_body", False):
                scope["found.body_read"] = True
            return message

        return limited


def _host_of(address: str) -> str:
    """The host that an address names; nothing where it is no address, as with half a bracket."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _too_large(options: Options) -> Problem:
    return Problem(
        413, f"The body is too long: at most {options.most_bytes:,} bytes are read. Send users in several lists.", "too-large"
    )
