"""What a run with `--force` still has to redo, kept in the home: a killed one goes on where it was, whoever runs it next.

What belongs here: the record. What does not: which partitions are stale without force (`run`).
"""

import hashlib
import json
from pathlib import Path

from found_platform.home import make_private, write_whole
from found_platform.settings import Settings

FOLDER = "forced"


class Forced:
    """The record of one forced run, by its name, such as `demo 2026-03-01`. Without `force` it is the record of a killed one."""

    def __init__(self, settings: Settings, name: str, *, force: bool):
        folder = make_private(settings.dagster_home / FOLDER)
        self._path: Path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
        self.active = force or self._path.exists()
        self._redone: dict[str, list[str]] = json.loads(self._path.read_text()) if self._path.exists() else {}
        if self.active:
            self._write()

    def pending(self, asset: str, keys: list[str]) -> list[str]:
        """The keys of an asset that this run has yet to redo; none where nothing is forced."""
        redone = set(self._redone.get(asset, ()))
        return [key for key in keys if key not in redone] if self.active else []

    def redone(self, asset: str, keys: list[str]) -> None:
        """Keys of an asset that were made in this run."""
        if self.active:
            self._redone.setdefault(asset, []).extend(keys)
            self._write()

    def finish(self) -> None:
        """Everything was redone."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._redone))
