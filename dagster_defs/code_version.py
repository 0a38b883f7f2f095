"""Static reachability: which first-party code, package data and settings an asset's body can reach, and a hash of the code.

What belongs here: asking that of the source tree once, and keeping the answer. How names are followed is `source_tree`'s, what a
fingerprint does with it is `fingerprints`'.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dagster_defs.source_tree import DATA, PACKAGES, Reach, Tree
from found_platform import garbage, workers
from found_platform.cache import single_flight
from found_platform.home import write_whole
from found_platform.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def reach(settings: Settings, asset: str) -> Reach:
    """What an asset reaches. Computed once for each state of the source tree, and kept beside the home's Dagster instance."""
    return _reaches(settings.dagster_home / "reach.json", _state())[asset]


@functools.cache
def _state() -> str:
    """A hash of names, sizes and times of the source files when this process first asked: it goes on with the code it has read."""
    stats = [(str(p), s.st_size, s.st_mtime_ns) for p in _sources() for s in [p.stat()]]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()


def _sources() -> list[Path]:
    return sorted(
        Path(folder) / name
        for package in (*PACKAGES, "dagster_defs")
        for folder, _, names in os.walk(ROOT / package)
        for name in names
        if name.endswith((".py", *DATA))
    )


@single_flight(4)
def _reaches(kept: Path, state: str) -> dict[str, Reach]:
    if kept.exists():
        content = json.loads(kept.read_text())
        if content["state"] == state:
            return {
                asset: Reach(r["code"], frozenset(r["definitions"]), frozenset(r["settings"]))
                for asset, r in content["assets"].items()
            }
    reaches = _computed(state)
    if kept.parent.exists():  # nothing is written before a home is there
        rows = {
            a: {"code": r.code, "definitions": sorted(r.definitions), "settings": sorted(r.settings)} for a, r in reaches.items()
        }
        write_whole(kept, json.dumps({"state": state, "assets": rows}))
    return reaches


_begun: dict[str, Callable[[], dict[str, Reach]]] = {}
"""What is being computed beside this process, by state of the source tree."""


def begin(settings: Settings) -> None:
    """Has the source tree read beside this process, where it can be and nobody has kept what comes out."""
    cache_file, state = settings.dagster_home / "reach.json", _state()
    if workers.forks() and not (cache_file.exists() and json.loads(cache_file.read_text())["state"] == state):
        _begun.setdefault(state, workers.ahead(compute, ROOT))


@single_flight(4)
def _computed(state: str) -> dict[str, Reach]:
    """Once for all threads: of two that parse at the same time, Python 3.11 fails one (`AST constructor recursion depth ...`)."""
    return _begun.pop(state, partial(compute, ROOT))()


def compute(root: Path) -> dict[str, Reach]:
    """What every asset under `root` reaches, without any cache."""
    with garbage.growing():  # syntax trees: half of the time went into looks for garbage among them
        tree = Tree(root)
        return {asset: tree.reach(path) for asset, path in tree.bodies().items()}
