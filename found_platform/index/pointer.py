"""What is published: the pointer file of a home, its history, and what a person took back.

`HOME/index/current.json`, replaced atomically, names the live publication and the previous one. `HOME/index/history.jsonl` has a
line for every time it moved.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from found_platform import home
from found_platform.errors import BadInput
from found_platform.index.audit import RECALL, Audited
from found_platform.settings import Settings

PUBLISHED, ROLLED_BACK = "published", "rolled back"


@dataclass(frozen=True)
class Publication:
    """One published index. `as_of` is the cutoff of its states, `rows` its users with a history, `recall` that without a filter."""

    name: str
    model_version: str
    as_of: str
    rows: int
    recall: float
    published_at: str
    audit: tuple[Audited, ...] = ()

    def trusted(self, share: float) -> bool:
        """Whether the index finds enough of the exact answer under filters that keep this share of the users, as audited.

        Between two audited shares both must do; one that was never audited is not trusted.
        """
        below = [a for a in self.audit if a.share <= share]
        above = [a for a in self.audit if a.share >= share]
        near = [max(below, key=lambda a: a.share)] if below else []
        near += [min(above, key=lambda a: a.share)] if above else []
        return bool(near) and all(a.recall >= RECALL for a in near)


@dataclass(frozen=True)
class Pointer:
    """Where look-ups go, and where a rollback goes."""

    live: Publication
    previous: Publication | None


def _file(settings: Settings) -> Path:
    return settings.home / "index" / "current.json"


def _history(settings: Settings) -> Path:
    return settings.home / "index" / "history.jsonl"


def turn(settings: Settings) -> FileLock:
    """Whose turn it is to move the pointer and to remove publications."""
    locks = settings.home / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / "index.lock")


def exists(settings: Settings) -> bool:
    """Whether anything was ever published."""
    return _file(settings).exists()


def read(settings: Settings) -> Pointer:
    """What is live and what was before. Raises BadInput when nothing is published."""
    path = _file(settings)
    if not path.exists():
        raise BadInput(f"Nothing is published in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    said = json.loads(path.read_text())
    return Pointer(publication(said["live"]), publication(said["previous"]) if said["previous"] else None)


def publication(said: dict[str, Any]) -> Publication:
    """A publication from its JSON."""
    return Publication(**{**said, "audit": tuple(Audited(**a) for a in said.get("audit", ()))})


def live(settings: Settings) -> Publication:
    """What is published. Raises BadInput when nothing is."""
    return read(settings).live


def move(settings: Settings, event: str, to: Publication, previous: Publication | None) -> None:
    """Points at a publication and writes it into the history. For whoever has the turn."""
    path = _file(settings)
    old = live(settings) if path.exists() else None
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"live": asdict(to), "previous": previous and asdict(previous)}, indent=1))
    partial.replace(path)
    line = {"at": now(), "event": event, "from": old and _label(old), "to": _label(to)}
    with _history(settings).open("a") as history:
        history.write(json.dumps(line) + "\n")


def now() -> str:
    """This moment, UTC, to the second."""
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _label(made: Publication) -> dict[str, str]:
    return {"name": made.name, "model_version": made.model_version, "as_of": made.as_of}


def withdrawn(settings: Settings, model_version: str, as_of: str) -> bool:
    """Whether the last that was done with this version and day was a person taking it back."""
    path = _history(settings)
    taken = False
    for line in path.read_text().splitlines() if path.exists() else ():
        move = json.loads(line)
        if _is(move["to"], model_version, as_of):
            taken = False
        elif move["event"] == ROLLED_BACK and _is(move["from"], model_version, as_of):
            taken = True
    return taken


def _is(label: dict[str, str], model_version: str, as_of: str) -> bool:
    return (label["model_version"], label["as_of"]) == (model_version, as_of)
