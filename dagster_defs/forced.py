"""What a run with `--force` still has to redo, kept in the home: a killed one goes on where it was, whoever runs it next.

What belongs here: the record. What does not: which partitions are stale without force (`run`).
"""

import json
from pathlib import Path

from found_platform.home import lock, write_whole
from found_platform.settings import Settings

FILE = "forced.json"


class Forced:
    """The record of one forced run, by its name, such as `demo 2026-03-01`. Without `force` it is the record of a killed one."""

    def __init__(self, settings: Settings, name: str, *, force: bool):
        self._home: Path = settings.home
        self._path: Path = settings.dagster_home / FILE
        self._name = name
        runs = self._runs()
        self._redone: dict[str, list[str]] | None = runs.get(name, {} if force else None)
        if force and name not in runs:
            self._write()

    def pending(self, asset: str, keys: list[str]) -> list[str]:
        """The keys of an asset that this run has yet to redo; none where nothing is forced."""
        if self._redone is None:
            return []
        redone = set(self._redone.get(asset, ()))
        return [key for key in keys if key not in redone]

    def redone(self, asset: str, keys: list[str]) -> None:
        """Keys of an asset that were made in this run."""
        if self._redone is not None:
            self._redone.setdefault(asset, []).extend(keys)
            self._write()

    def finish(self) -> None:
        """Everything was redone."""
        if self._redone is not None:
            self._redone = None
            self._write()

    def _runs(self) -> dict[str, dict[str, list[str]]]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def _write(self) -> None:
        with lock(self._home, FILE):  # forced runs of several cutoffs may be under way
            runs = self._runs()
            runs.pop(self._name, None)
            write_whole(self._path, json.dumps(runs | ({} if self._redone is None else {self._name: self._redone})))
