"""Starting a server: the socket, the first link to sign in, and uvicorn until it is stopped."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from found_platform.app import access
from found_platform.app.context import Actor, Context, account
from found_platform.errors import BadInput
from found_platform.serving.application import create_app
from found_platform.serving.options import Options

MOST_CONNECTIONS = 500
KEEP_ALIVE_SECONDS = 10
STOP_SECONDS = 10
"""For requests that run when the server is stopped."""


@dataclass(frozen=True)
class Started:
    """Where a server is, and the link that signs its owner in once."""

    address: str
    link: str


def run(options: Options, started: Callable[[Started], None]) -> None:
    """Serves until it is stopped. Raises BadInput for a home where nothing has run, an address that others reach, a taken port."""
    check(options)
    sock = _bound(options)
    link = access.new_link(_context(options))
    config = uvicorn.Config(
        create_app(options),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    started(Started(options.address, f"{options.address}/sign-in?link={link}"))
    uvicorn.Server(config).run(sockets=[sock])


def check(options: Options) -> None:
    """Raises BadInput for a home where nothing has run, for an address that others reach without being let in, and for an identity
    provider that is set in part."""
    lets_in = access.provider(_context(options)) is not None or access.has_tokens(_context(options))
    options.check(lets_in)


def _context(options: Options) -> Context:
    return Context(options.home, Actor(account(), "cli"))


def _bound(options: Options) -> socket.socket:
    """The socket, taken before anything is loaded."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, options.port))
        sock.listen(MOST_CONNECTIONS)
    except OSError as error:
        sock.close()
        why = error.strerror or str(error)
        raise BadInput(
            f"Port {options.port} on {options.host} cannot be used ({why}): stop what has it, or choose another --port."
        ) from None
    return sock
