"""What is published: the pointer file of a home, its history, and what a person took back.

`HOME/index/current.json`, replaced atomically, names the live publication and the previous one. `HOME/index/history.jsonl` has a
line for every time it moved.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from found_platform import home, shared_locks
from found_platform.errors import BadInput, JobFailed
from found_platform.index.recall import RECALL, RecallCheck
from found_platform.settings import Settings

PUBLISHED, ROLLED_BACK, REBUILT = "published", "rolled back", "rebuilt without erased users"


@dataclass(frozen=True)
class Publication:
    """One published index. `as_of` is the cutoff of its states, `rows` its users with a history, `recall` that without a filter."""

    name: str
    model_version: str
    as_of: str
    rows: int
    recall: float
    published_at: str
    recall_checks: tuple[RecallCheck, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As the pointer file and the record of a run keep it, with the recall checks under `audit`."""
        document = asdict(self)
        return {**{k: v for k, v in document.items() if k != "recall_checks"}, "audit": document["recall_checks"]}

    def trusted(self, share: float) -> bool:
        """Whether the index finds enough of the exact answer under filters that keep this share of the users, by the recall checks.

        Between two checked shares both must do; one that was never checked is not trusted.
        """
        below = [a for a in self.recall_checks if a.share <= share]
        above = [a for a in self.recall_checks if a.share >= share]
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


def turn(settings: Settings) -> home.HomeLock:
    """Whose turn it is to move the pointer and to remove publications."""
    return home.lock(settings.home, "index")


def exists(settings: Settings) -> bool:
    """Whether anything was ever published."""
    return _file(settings).exists()


def read(settings: Settings) -> Pointer:
    """What is live and what was before. Raises BadInput when nothing is published, JobFailed where its file is damaged."""
    path = _file(settings)
    if not path.exists():
        raise BadInput(f"Nothing is published in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    try:
        document = json.loads(path.read_text())
        return Pointer(publication(document["live"]), publication(document["previous"]) if document["previous"] else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        again = f"found publish --cutoff D{home.option(settings.home)}"
        raise JobFailed(f"{path} is damaged: restore it, or remove it and build an index again with `{again}`.") from None


def publication(document: dict[str, Any]) -> Publication:
    """A publication from its JSON."""
    fields = {k: v for k, v in document.items() if k != "audit"}
    return Publication(**fields, recall_checks=tuple(RecallCheck(**c) for c in document.get("audit", ())))


def live(settings: Settings) -> Publication:
    """What is published. Raises BadInput when nothing is."""
    return read(settings).live


def move(settings: Settings, event: str, to: Publication, previous: Publication | None) -> None:
    """Points at a publication and writes it into the history. For whoever has the turn."""
    path = _file(settings)
    old = live(settings) if path.exists() else None
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"live": to.as_dict(), "previous": previous and previous.as_dict()}, indent=1))
    shared_locks.check()
    partial.replace(path)
    line = {"at": now(), "event": event, "from": old and _label(old), "to": _label(to)}
    with _history(settings).open("a") as history:
        history.write(json.dumps(line) + "\n")


def now() -> str:
    """This moment, UTC, to the second."""
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _label(of: Publication) -> dict[str, str]:
    return {"name": of.name, "model_version": of.model_version, "as_of": of.as_of}


def withdrawn(settings: Settings, model_version: str, as_of: str) -> bool:
    """Whether the last that was done with this version and day was a person taking it back."""
    path = _history(settings)
    taken_back = False
    for line in path.read_text().splitlines() if path.exists() else ():
        move = json.loads(line)
        if _is(move["to"], model_version, as_of):
            taken_back = False
        elif move["event"] == ROLLED_BACK and _is(move["from"], model_version, as_of):
            taken_back = True
    return taken_back


def _is(label: dict[str, str], model_version: str, as_of: str) -> bool:
    return (label["model_version"], label["as_of"]) == (model_version, as_of)
