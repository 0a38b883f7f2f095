"""Legal holds: persons and tables of which nothing is erased and nothing expires while the hold stands.

`HOME/holds.json` has each hold by its name: why, since when, who said so, the tables, and a keyed hash of each person, which tells
nothing of them to who has not the home's secret. What belongs here: the holds, and who is under one. What does not: what they stop
(`found_platform.erasure`, `housekeeping.expiry`).
"""

import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from found_platform import home
from found_platform.errors import BadInput, NotFound
from found_platform.privacy import actor, audit, free_texts, keys
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings

FILE = "holds.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TABLES = (*(table.name for table in USER_TABLES), audit.TABLE)
"""The tables that can be held."""


@dataclass(frozen=True)
class Hold:
    """One hold. `marks` stand for its persons."""

    name: str
    reason: str
    since: str
    by: str
    tables: tuple[str, ...]
    marks: frozenset[str]

    @property
    def persons(self) -> int:
        return len(self.marks)


@dataclass(frozen=True)
class Placed:
    """A hold as it stands now: how many persons came to it, and how many of those the home has never seen."""

    hold: Hold
    added: int
    unknown: int


def all_of(settings: Settings) -> list[Hold]:
    """The holds that stand, by name."""
    path = settings.home / FILE
    document = json.loads(path.read_text()) if path.exists() else {}
    return [
        Hold(name, about["reason"], about["since"], about["by"], tuple(about["tables"]), frozenset(about["marks"]))
        for name, about in sorted(document.items())
    ]


def add(settings: Settings, name: str, users: keys.Users | None, tables: Sequence[str] = (), reason: str = "") -> Placed:
    """Puts persons, of a file or by ids, and whole tables under a hold; one that stands under the name gets them too.

    Raises BadInput for a name, a table or a file that cannot be used, and changes nothing then.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name of a hold: use up to 64 small letters, digits, dots, - and _, a letter or digit first."
        )
    if unknown := [table for table in tables if table not in TABLES]:
        raise BadInput(f"There is no table {unknown[0]!r} that can be held: choose of {', '.join(TABLES)}.")
    user_keys = keys.read_users(settings, users) if users is not None else set()
    if not user_keys and not tables:
        raise BadInput(f"The hold {name!r} would hold nothing: name persons of whom something is kept, or a table.")
    free_texts.check_reasons(settings, "The name of the hold, or the reason,", [name, reason], user_keys)
    secret = keys.home_secret(settings)
    marks = {_mark(secret, key) for key in user_keys}
    with home.lock(settings.home, "holds"):
        before = {hold.name: hold for hold in all_of(settings)}
        old = before.get(name, Hold(name, "", _now(), str(actor.current()), (), frozenset()))
        hold = Hold(name, reason or old.reason, old.since, old.by, tuple(sorted({*old.tables, *tables})), old.marks | marks)
        _write(settings, [*(each for each in before.values() if each.name != name), hold])
    return Placed(hold, len(hold.marks) - len(old.marks), len(user_keys) - keys.count_known(settings, list(user_keys)))


def remove(settings: Settings, name: str) -> Hold:
    """Ends a hold. Raises NotFound where there is none of the name."""
    with home.lock(settings.home, "holds"):
        before = all_of(settings)
        hold = next((each for each in before if each.name == name), None)
        if hold is None:
            raise NotFound(f"There is no hold {name!r}: there are {', '.join(each.name for each in before) or 'none'}.")
        _write(settings, [each for each in before if each.name != name])
    return hold


def take_over(settings: Settings, other: Path) -> int:
    """Adds the holds of another home with the same secret, as they are there; returns how many."""
    others = all_of(settings.model_copy(update={"home": other}))
    if not others:
        return 0
    with home.lock(settings.home, "holds"):
        _write(settings, [*(h for h in all_of(settings) if h.name not in {o.name for o in others}), *others])
    return len(others)


def of_persons(settings: Settings, user_keys: Iterable[str]) -> dict[str, str]:
    """Of some users those who are under a hold, with its name."""
    holds = [hold for hold in all_of(settings) if hold.marks]
    if not holds:
        return {}
    secret = keys.home_secret(settings)
    by_mark = {mark: hold.name for hold in holds for mark in hold.marks}
    return {key: by_mark[mark] for key in user_keys if (mark := _mark(secret, key)) in by_mark}


def of_tables(settings: Settings, tables: Collection[str] = TABLES) -> tuple[str, str] | None:
    """One of some tables that is under a hold, and the name of the hold; None where none is."""
    return next(((table, hold.name) for hold in all_of(settings) for table in hold.tables if table in tables), None)


def any_of_events(settings: Settings) -> str | None:
    """The name of a hold that keeps events, of some persons or of everybody; None where there is none."""
    return next((hold.name for hold in all_of(settings) if hold.marks or "raw_events" in hold.tables), None)


def _mark(secret: bytes, user_key: str) -> str:
    return hmac.new(secret, b"hold " + user_key.encode(), hashlib.sha256).hexdigest()


def _write(settings: Settings, holds: Iterable[Hold]) -> None:
    document = {
        hold.name: {
            "reason": hold.reason,
            "since": hold.since,
            "by": hold.by,
            "tables": list(hold.tables),
            "marks": sorted(hold.marks),
        }
        for hold in sorted(holds, key=lambda hold: hold.name)
    }
    home.write_whole(settings.home / FILE, json.dumps(document, indent=1))


def _now() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
