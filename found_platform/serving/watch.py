"""Alerts while a server runs: where the settings name a channel, it looks for what is wrong twice a minute.

A daemon that has died cannot say so; the server beside it can. `found alerts --watch` does the same without a server.
"""

import logging
import threading

from found_platform.app import operations
from found_platform.app.context import Actor, Context, account
from found_platform.errors import BadInput, JobFailed
from found_platform.serving.state import Server

EVERY = 30.0
"""Seconds between two looks."""

log = logging.getLogger("found.alerts")


def until(server: Server, stopping: threading.Event) -> None:
    """Looks again and again until the server stops; nothing where no channel is set. A look that fails is logged."""
    try:
        if not operations.channels(_context(server)):
            return
    except BadInput as error:
        log.warning("Alerts are off: %s", error)
        return
    while not stopping.is_set():
        look(server)
        stopping.wait(EVERY)


def look(server: Server) -> None:
    """One look."""
    try:
        for sent in operations.alert(_context(server)):
            if sent.error:
                log.warning("An alert was not sent by %s (%s): %s", sent.channel, sent.error, sent.finding.problem)
    except (BadInput, JobFailed) as error:
        log.warning("Alerts were not sent: %s", error)
    except Exception:  # the next look may do; a watch that ends tells nobody
        log.warning("Looking for what is worth an alert failed", exc_info=True)


def _context(server: Server) -> Context:
    return Context(server.options.home, Actor(account(), "server"))
