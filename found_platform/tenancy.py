"""A home as a tenant of servers that others use too: the number that tells what is its own, and where it has left users.

What belongs here: `HOME/servers.json`. What does not: what lies on a server (`index.milvus`, `feature_store.online_redis`), and
PostgreSQL, which moves a home as a whole (`database`).

A home that is copied by hand has the number of the original, and would remove what that published: without the file it gets one of
its own. A backup leaves it out.
"""

import datetime as dt
import json
import secrets
from pathlib import Path
from typing import Any

from found_platform.errors import BadInput
from found_platform.home import lock, write_whole

FILE = "servers.json"
MILVUS, REDIS, LAKE, IMPORTS = "milvus", "redis", "lake", "imports"

SETTINGS = {MILVUS: "FOUND_MILVUS_URI", REDIS: "FOUND_REDIS_URL", LAKE: "FOUND_LAKE_URI", IMPORTS: "FOUND_MILVUS_IMPORT_URI"}
NAMES = {MILVUS: "Milvus server", REDIS: "Redis database", LAKE: "object store", IMPORTS: "folder of imports"}

FOR_EVER = "9999-12-31T00:00:00+00:00"
"""Until when something is kept that a server does not remove by itself."""


def number(home: Path) -> str:
    """Eight digits that begin the names of what a home keeps on a server; made once."""
    if "number" not in _read(home):
        with lock(home, FILE):
            document = _read(home)
            if "number" not in document:
                write_whole(home / FILE, json.dumps({**document, "number": secrets.token_hex(4)}))
    return str(_read(home)["number"])


def existing_number(home: Path) -> str | None:
    """The number, where there is one already."""
    return _read(home).get("number")


def note(home: Path, kind: str, place: str, until: str = FOR_EVER) -> None:
    """Notes that users of this home lie in a place, without user and password, until a moment (ISO) at the latest."""
    number(home)
    if _read(home).get(kind, {}).get(place, "") >= until:
        return
    with lock(home, FILE):
        document = _read(home)
        places = {**document.get(kind, {}), place: until}
        write_whole(home / FILE, json.dumps({**document, kind: places}))


def check_all_reached(home: Path, reached: dict[str, str | None]) -> None:
    """For who goes through everything of a home: raises BadInput where users of it lie on a server that is not set.

    Args:
        reached: by kind of server, the place that is set.
    """
    now = dt.datetime.now(dt.UTC).isoformat()
    for kind, setting in SETTINGS.items():
        for place, until in _read(home).get(kind, {}).items():
            if place == reached.get(kind) or until < now:
                continue
            ends = "" if until == FOR_EVER else f", until they expire on {until[:10]}"
            raise BadInput(
                f"Users of {home} also lie on the {NAMES[kind]} {place}{ends}: set {setting} to it. Where that server is gone, or "
                f"what is named found_{number(home)} there was removed, take the place out of {home / FILE}."
            )


def forget(home: Path, kind: str, place: str) -> None:
    """Takes back that users of this home lie in a place, for who has removed them."""
    with lock(home, FILE):
        document = _read(home)
        if document.get(kind, {}).pop(place, None) is not None:
            write_whole(home / FILE, json.dumps(document))


def _read(home: Path) -> dict[str, Any]:
    path = home / FILE
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text())
        if isinstance(document, dict):
            return document
    except ValueError:
        pass
    raise BadInput(
        f'{path} is damaged: write {{"number": "…"}} with the eight digits in the names of what the home has on servers.'
    )
