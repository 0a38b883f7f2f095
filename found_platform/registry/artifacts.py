"""The files of MLflow's runs and models: in the home, and on object storage where its lake lies there.

What belongs here: keeping, fetching and removing what lies at an address. What does not: which addresses there are (`tracking`).

On object storage they lie beside the tables, in the folder `_artifacts`. A model is read as a file, mapped into memory, so
`HOME/mlflow/artifacts` then has copies of what was made or used on this machine: fetched when they are asked for, whole or not at
all. What lies at an address is written once; an erasure alone writes it anew, there and in the home.
"""

import shutil
import uuid
from pathlib import Path

from found_platform import lake_place, objects
from found_platform.errors import JobFailed
from found_platform.home import make_all_private, make_private
from found_platform.home_format import ARTIFACTS
from found_platform.lake_place import Away
from found_platform.settings import Settings


def folder(settings: Settings) -> Path:
    """Where they lie in the home."""
    return settings.home / lake_place.ARTIFACTS_FOLDER


def store(settings: Settings) -> Away | None:
    """Where they lie on object storage; None where they are in the home alone."""
    lake = settings.lake
    return lake / lake_place.ARTIFACTS if isinstance(lake, Away) and lake_place.has_artifacts(settings.home) else None


def place(settings: Settings, address: str) -> Path:
    """The path in this home of what MLflow's database has at an address. Raises JobFailed for one outside of it."""
    root = folder(settings)
    path = (root / address.removeprefix(ARTIFACTS)).resolve()
    if not address.startswith(ARTIFACTS) or not path.is_relative_to(root.resolve()):
        raise JobFailed(f"MLflow's database of {settings.home} names {address!r}, which is no file of this home.")
    return path


def keep(settings: Settings, files: Path, address: str) -> None:
    """Puts a folder at an address, whole or not at all."""
    target, away = place(settings, address), store(settings)
    partial = _partial(target)
    try:
        shutil.copytree(files, partial)
        make_all_private(partial)  # copies have the modes of what they were copied from
        if away is not None:
            below = _below(settings, target)
            with objects.reached(away):
                for path in sorted(path for path in partial.rglob("*") if path.is_file()):
                    with path.open("rb") as source:
                        objects.put(away, f"{below}/{path.relative_to(partial)}", source)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fetched(settings: Settings, address: str) -> Path | None:
    """The folder at an address, on this machine from now on; None where it is nowhere."""
    target, away = place(settings, address), store(settings)
    if target.is_dir() or away is None:
        return target if target.is_dir() else None
    below = _below(settings, target)
    infos = objects.files(away, below)
    if not infos:
        return None
    partial = _partial(target)
    try:
        with objects.reached(away):
            for info in infos:
                path = partial / Path(info.path).relative_to(below)
                _make_private(path.parent)
                objects.fetch(objects.filesystem(away), info.path, path)
        if not target.is_dir():  # nobody was faster
            partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def are_there(settings: Settings, address: str) -> bool:
    """Whether something lies at an address. Fetches nothing."""
    target, away = place(settings, address), store(settings)
    return target.is_dir() or (away is not None and bool(objects.files(away, _below(settings, target))))


def are_away(settings: Settings, path: Path) -> bool:
    """Whether what a path of the home holds lies on object storage too, whole."""
    if (away := store(settings)) is None:
        return False
    below = _below(settings, path)
    stored = {info.path: info.size for info in objects.files(away, below)}
    own = {f"{below}/{file.relative_to(path)}": file.stat().st_size for file in path.rglob("*") if file.is_file()}
    return own.items() <= stored.items()


def size_away(settings: Settings, path: Path | None = None) -> int:
    """Bytes on object storage of what belongs at a path of the home, or of all."""
    if (away := store(settings)) is None:
        return 0
    return sum(info.size or 0 for info in objects.files(away, _below(settings, path) if path else ""))


def remove_away(settings: Settings, path: Path) -> None:
    """Removes from object storage what belongs at a path of the home."""
    if (away := store(settings)) is not None:
        objects.remove_all(away, _below(settings, path))


def destination(settings: Settings) -> str:
    """What MLflow's own server is started with to show them."""
    return str(store(settings) or folder(settings))


def _below(settings: Settings, path: Path) -> str:
    return path.relative_to(folder(settings).resolve()).as_posix()


def _partial(target: Path) -> Path:
    _make_private(target.parent)
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")


def _make_private(path: Path) -> None:
    """Makes a folder and those above it, where they are missing, for the owner of the home alone."""
    for each in reversed([path, *path.parents]):
        if not each.exists():
            make_private(each)
