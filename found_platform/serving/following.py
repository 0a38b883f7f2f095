"""Dagster follows the days of a home: its code location is loaded again when the home's source changes.

What belongs here: noticing the change, and asking Dagster's webserver to load again; the daemon follows the webserver. What does
not: which days there are (`dagster_defs.graph`). Partitions are days that the home has, so definitions that were loaded before a
day came know nothing of it: nobody could materialise it in the UI, and no sensor could ask for it.
"""

import json
import logging
import threading
import urllib.error
import urllib.request
from pathlib import Path

LOCATION = "found"
"""As the workspace names it."""

LOOK_SECONDS = 5.0
PATIENCE = 60.0
"""Seconds that loading may take."""

RELOAD = "mutation ($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) { __typename } }"

log = logging.getLogger(__name__)


def watch(home: Path, address: str, stopping: threading.Event) -> None:
    """Has the code location loaded again whenever the source file of the home has changed, until told to stop.

    Args:
        address: of Dagster's webserver, such as http://127.0.0.1:3000.
    """
    loaded = _source(home)
    while not stopping.wait(LOOK_SECONDS):
        now = _source(home)
        if now != loaded and reload(address):
            loaded = now


def reload(address: str) -> bool:
    """Asks the webserver to load the code location again. Whether it did; a server that is still starting does not."""
    body = json.dumps({"query": RELOAD, "variables": {"location": LOCATION}}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            outcome = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        log.debug("the code location was not loaded again", exc_info=True)
        return False
    return (outcome.get("data") or {}).get("reloadRepositoryLocation", {}).get("__typename") == "WorkspaceLocationEntry"


def _source(home: Path) -> bytes:
    path = home / "source.yaml"
    return path.read_bytes() if path.exists() else b""
