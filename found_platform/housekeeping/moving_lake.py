"""The lake of a home and the files of MLflow move from its folder to object storage: all of it, or none.

What belongs here: the order of a move. What does not: where a lake lies (`lake_place`), how a store is reached (`objects`).

Every file is copied and read back while nobody writes a table; writing `HOME/lake.json` is what moves the lake, and then the files
of before go, since an erasure would find persons in them; models are fetched again where they are asked for. Until then the home
says that the place may hold users (`tenancy`): whoever kills a move leaves nothing that an erasure would not ask for. The next move
removes what that one left.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as fs
from filelock import Timeout

from found_platform import home, lake, lake_place, objects, tenancy
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping.garbage import REMOVED, remove_folder
from found_platform.lake_place import Away
from found_platform.privacy import vault
from found_platform.settings import Settings


@dataclass(frozen=True)
class MovedLake:
    """Where the lake lies now, and what was copied: 0 files where it had been moved already."""

    place: str
    files: int
    bytes: int


def move(settings: Settings) -> MovedLake:
    """Moves the lake of a home to where `FOUND_LAKE_URI` says; once, however often it is asked.

    Raises BadInput where that is not set, or the store loses commits, JobFailed where it cannot be used or somebody works in the
    home.
    """
    if settings.lake_uri is None and lake_place.marked(settings.home) is None:
        raise BadInput(f"Say where to: {lake_place.SETTING}=s3://BUCKET/FOLDER found move-lake …")
    with _alone(settings):
        at = lake_place.marked(settings.home)
        files = size = 0
        parts = {settings.home / lake_place.ARTIFACTS_FOLDER: lake_place.ARTIFACTS}
        if at is None:
            assert settings.lake_uri is not None
            at = lake_place.address(settings.home, settings.lake_uri)
            parts = {settings.home / lake_place.FOLDER: "", **parts}
        if not lake_place.has_artifacts(settings.home):
            files, size = _moved(settings, Away(at, settings.home), parts)
            lake_place.mark(settings.home, at)
            remove_folder(settings.home / lake_place.ARTIFACTS_FOLDER)
        remove_folder(settings.home / lake_place.FOLDER)
    return MovedLake(at, files, size)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """No erasure, no backup, no run and nobody who writes a table changes the lake within."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(home.lock(settings.home, home.WHOLE, 0))
        except Timeout:
            raise JobFailed(f"An erasure, a backup or another move is at work in {settings.home}: try again after it.") from None
        runs = [path.stem for path in (settings.home / "locks").glob("run-*.lock")]
        held.enter_context(home.hold(settings.home, runs, "found move-lake", seconds=settings.wait_seconds))
        folder = settings.home / lake_place.FOLDER
        for name in lake.tables(folder) if lake_place.marked(settings.home) is None else ():
            held.enter_context(lake.turn(folder, name))
        yield


def _moved(settings: Settings, away: Away, parts: dict[Path, str]) -> tuple[int, int]:
    """Copies every file of some folders, each below its name; returns how many, and their bytes.

    What a move that failed has copied is removed.
    """
    lake_moves = lake_place.marked(settings.home) is None
    if (settings.home / lake_place.FOLDER / vault.TABLE).exists():
        vault.count(settings, [])  # of an early version: it goes into its own file, and not away
    objects.trust(away)
    tenancy.note(settings.home, tenancy.LAKE, str(away))
    count = size = 0
    try:
        for folder, name in parts.items():
            place = away / name if name else away
            objects.remove_all(place)
            infos = _files(folder)
            for info in infos:
                with objects.reached(away):
                    _copy(place, folder, info.path)
            if [info.path for info in _files(folder)] != [info.path for info in infos]:
                raise JobFailed(
                    f"Somebody wrote into {folder} meanwhile: stop servers and daemons of the home, then run this again."
                )
            count, size = count + len(infos), size + sum(info.size or 0 for info in infos)
    except BaseException:
        with contextlib.suppress(OSError, JobFailed):
            objects.remove_all(away if lake_moves else away / lake_place.ARTIFACTS)
            if lake_moves:
                tenancy.forget(settings.home, tenancy.LAKE, str(away))
        raise
    return count, size


def _files(folder: Path) -> list[fs.FileInfo]:
    """The files of a folder without what killed processes were writing or removing."""
    infos = objects.files(folder) if folder.exists() else []
    return [info for info in infos if not any(part.endswith((".partial", REMOVED)) for part in Path(info.path).parts)]


def _copy(away: Away, folder: Path, path: str) -> None:
    """Copies one file and reads it back."""
    read = hashlib.sha256()
    with (folder / path).open("rb") as source:
        written = objects.put(away, path, source)
    with objects.filesystem(away).open_input_stream(path) as source:
        while block := source.read(objects.CHUNK):
            read.update(block)
    if read.digest() != written:
        raise JobFailed(f"{path} came back from the store as other bytes than were written: use another store.")
