"""Exports outside the home that are still where they were put: written anew without persons, or removed where they are about one.

What belongs here: files that the home itself has written for people and noted (`privacy.exports`). What does not: copies of them,
and what was delivered, which nobody can follow.
"""

import contextlib
import hashlib
import json
from pathlib import Path

from found_platform.audiences.export import beside
from found_platform.erasure import files
from found_platform.erasure.persons import Persons
from found_platform.home import write_whole
from found_platform.privacy import exports
from found_platform.settings import Settings


def clean(settings: Settings, persons: Persons) -> int:
    """Takes persons out of every export that is still there; returns how many rows or files went. What cannot be written stays, and
    the search names it."""
    count = 0
    for export in exports.outside(settings):
        with contextlib.suppress(OSError):
            if export.of_one:
                gone = files.clean(export.path, export.path.name, persons)
                export.path.unlink() if gone else None
                count += bool(gone)
            elif gone := files.clean(export.path, export.path.name, persons):
                _note_beside(export.path)
                count += gone
    return count


def _note_beside(path: Path) -> None:
    """The file that says where an export comes from says its new hash, and that users were erased from it."""
    about = beside(path)
    if not about.exists():
        return
    document = json.loads(about.read_text(encoding="utf-8"))
    changed = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "users_were_erased": True}
    write_whole(about, json.dumps({**document, **changed}, indent=1, ensure_ascii=False))
