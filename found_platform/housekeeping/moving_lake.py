"""The lake of a home moves from its folder to object storage: all of it, or none.

What belongs here: the order of a move. What does not: where a lake lies (`lake_place`), how a store is reached (`objects`).

Every file is copied and read back while nobody writes a table; writing `HOME/lake.json` is what moves the lake, and then the files
of before go, since an erasure would find persons in them. Until then the home says that the place may hold users (`tenancy`):
whoever kills a move leaves nothing that an erasure would not ask for. The next move removes what that one left.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from found_platform import home, lake, lake_place, objects, tenancy
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping.garbage import remove_folder
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
        if at is None:
            assert settings.lake_uri is not None
            at = lake_place.address(settings.home, settings.lake_uri)
            if lake_place.in_files(settings.home):
                files, size = _moved(settings, Away(at, settings.home))
            lake_place.mark(settings.home, at)
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


def _moved(settings: Settings, away: Away) -> tuple[int, int]:
    """Copies every file; returns how many, and their bytes. What a move that failed has copied is removed."""
    folder = settings.home / lake_place.FOLDER
    if (folder / vault.TABLE).exists():
        vault.count(settings, [])  # of an early version: it goes into its own file, and not away
    objects.trust(away)
    tenancy.note(settings.home, tenancy.LAKE, str(away))
    try:
        objects.remove_all(away)
        infos = objects.files(folder)
        for info in infos:
            with objects.reached(away):
                _copy(away, folder, info.path)
        if [info.path for info in objects.files(folder)] != [info.path for info in infos]:
            raise JobFailed(f"Somebody wrote into {folder} meanwhile: stop servers and daemons of the home, then run this again.")
    except BaseException:
        with contextlib.suppress(OSError, JobFailed):
            objects.remove_all(away)
            tenancy.forget(settings.home, tenancy.LAKE, str(away))
        raise
    return len(infos), sum(info.size or 0 for info in infos)


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
