"""Where raw ids were written for people: the paths of exports, so that an erasure reaches those that are still here.

`HOME/exports.jsonl` has a line for each export: its path, when, and whether it is all about one person. What belongs here: that
list. What does not: writing an export (`audiences.export`), cleaning one (`erasure`).
"""

import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path

from found_platform import home
from found_platform.settings import Settings

FILE = "exports.jsonl"


@dataclass(frozen=True)
class Noted:
    """A file that was exported and still lies where it was put. `of_one` says that all of it is about one person."""

    path: Path
    of_one: bool


def note(settings: Settings, path: Path, *, of_one: bool = False) -> None:
    """Adds an export to the list, before it is written: no export is without a line."""
    line = {"path": str(path.absolute()), "at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", "of_one": of_one}
    with home.lock(settings.home, "exports"):
        descriptor = os.open(settings.home / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, home.PRIVATE_FILE)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def outside(settings: Settings) -> list[Noted]:
    """The exports outside the home that are still there, by path. Links are none of ours."""
    path = settings.home / FILE
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    by_path = {Path(line["path"]): bool(line["of_one"]) for line in lines}
    return [
        Noted(export, of_one)
        for export, of_one in sorted(by_path.items())
        if export.is_file() and not export.is_symlink() and not export.resolve().is_relative_to(settings.home)
    ]
