"""What was replaced and may go: files of earlier versions of tables, publications that serve nobody, checkpoints of finished
training, pages of old drift reports, what killed processes were writing.

Nothing here is asked again by a command: every reader opens the newest version of a table, what is live, or what was live before.
"""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.fs as fs
from filelock import Timeout

from found_platform import home, lake, objects, reports
from found_platform.errors import JobFailed
from found_platform.housekeeping.garbage import DAY, Garbage, InUse, Kind, newest, size_of
from found_platform.index import IndexBusy, imports, milvus, pointer, snapshot
from found_platform.index.milvus_server import built_at
from found_platform.lake_place import FOLDER
from found_platform.registry import artifacts
from found_platform.settings import Settings

HOUR = 3600.0


def _versions(settings: Settings, now: float) -> Iterator[Garbage]:
    """Files that no row of the newest version is read from, and log entries that a checkpoint stands for.

    A reader that opened a table before goes on: what it reads was replaced less than `keep_versions_days` ago.
    """
    for name in lake.tables(settings.lake):
        # delta-rs counts from the clock
        hours = int(max(0.0, settings.keep_versions_days * DAY - (now - time.time())) / HOUR)
        about = lake.opened(settings.lake, name)
        old = about.vacuum(retention_hours=hours, enforce_retention_duration=False, full=True)
        files = objects.filesystem(settings.lake / name).get_file_info(old) if old else []
        sizes = [info.size or 0 for info in files if info.type == fs.FileType.File]
        if sizes:
            yield Garbage(sum(sizes), _vacuum(settings, name, hours), counts=len(sizes))


def _vacuum(settings: Settings, table: str, hours: int) -> Callable[[], None]:
    def vacuum() -> None:
        with lake.turn(settings.lake, table):
            about = lake.open_table(settings.lake, table)
            about.vacuum(retention_hours=hours, enforce_retention_duration=False, dry_run=False, full=True)
            about = lake.open_table(settings.lake, table)
            about.create_checkpoint()
            about.cleanup_metadata()

    return vacuum


def _publications(settings: Settings, now: float) -> Iterator[Garbage]:
    """Folders of publications that are neither live nor what a rollback goes to, and those that were never finished."""
    if not pointer.exists(settings):
        return
    folder = settings.home / "index"
    current = pointer.read(settings)
    kept = {p.name for p in (current.live, current.previous) if p}
    states = {snapshot.folder(settings, name).name for name in kept}
    leftovers = [path for path in folder.glob("*.db") if path.name not in kept]
    leftovers += [path for path in folder.glob("states/*") if path.name not in states]
    leftovers += [path for path in (folder / "building",) if path.exists()]
    before = now - settings.keep_versions_days * DAY
    for path in leftovers:
        if newest(path) < before:
            yield Garbage(size_of(path), lambda path=path: _remove_publication(settings, path))
    for collection in _collections(settings, kept):  # they take no bytes of the home
        if built_at(collection) < before:
            yield Garbage(0, lambda collection=collection: _remove_collection(settings, collection))
    with contextlib.suppress(JobFailed):  # nobody can say what lies there
        if (files := imports.of(settings)) is not None and (leftovers := files.left()):
            yield Garbage(sum(size for _, size in leftovers), lambda: _remove_imports(settings, files), len(leftovers))


def _collections(settings: Settings, kept: set[str]) -> list[str]:
    """Collections of other publications on a server; none while it does not answer, which the doctor says."""
    with contextlib.suppress(IndexBusy):
        return server.others(kept) if (server := milvus.server(settings)) else []
    return []


def _remove_publication(settings: Settings, path: Path) -> None:
    with _served(settings, str(path)) as kept:
        if path.name in kept:  # it was taken back meanwhile
            raise InUse(str(path))
        milvus.remove_unread(path)
    if path.exists():
        raise InUse(str(path))


def _remove_imports(settings: Settings, files: imports.Imports) -> None:
    """What a killed publication left for a server to import, however new: it holds keys and vectors, and nobody reads it."""
    with _served(settings, files.place):
        files.clear()


def _remove_collection(settings: Settings, collection: str) -> None:
    server = milvus.server(settings)
    assert server is not None
    with _served(settings, collection) as kept:
        if collection not in server.others(kept):
            raise InUse(collection)
        server.remove(collection)


@contextlib.contextmanager
def _served(settings: Settings, piece: str) -> Iterator[set[str]]:
    """The publications that serve or that a rollback goes to, while nobody publishes or moves the pointer."""
    try:
        with home.lock(settings.home, "publishing", timeout=0), pointer.turn(settings):
            current = pointer.read(settings)
            yield {p.name for p in (current.live, current.previous) if p}
    except Timeout:  # somebody publishes
        raise InUse(piece) from None


def _checkpoints(settings: Settings, now: float) -> Iterator[Garbage]:
    """Of a stage that has its outcome: what a killed training would have gone on from."""
    for path in settings.home.glob("training/*/*/checkpoint.safetensors"):
        about = path.stat()
        if (path.parent / "outcome.json").exists() and about.st_mtime < now - settings.keep_versions_days * DAY:
            yield Garbage(about.st_size, lambda path=path: path.unlink(missing_ok=True))


def _pages(settings: Settings, now: float) -> Iterator[Garbage]:
    """Evidently's page of a day, some megabytes each, and its reports in the workspace; the figures and the verdict stay, and so do
    the newest page and the newest report of each project."""
    pages = sorted(settings.home.glob("monitoring/feature_drift/*/report.html"))
    for path in itertools.chain(pages[:-1], *(files[:-1] for files in reports.files(settings.home))):
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            if about.st_mtime < now - settings.keep_runs_days * DAY:
                yield Garbage(about.st_size, lambda path=path: path.unlink(missing_ok=True))


def _unfinished_files(settings: Settings) -> list[Path]:
    """What was to get a name of its own when it is whole; tables and publications have kinds of their own."""
    return [path for path in settings.home.rglob("*.partial") if path.relative_to(settings.home).parts[0] not in ("lake", "index")]


def _unfinished(settings: Settings, now: float) -> Iterator[Garbage]:
    """Files and folders that a killed process was writing."""
    for path in _unfinished_files(settings):
        with contextlib.suppress(FileNotFoundError):
            if newest(path) < now - DAY:
                yield Garbage(size_of(path), lambda path=path: _remove(path))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


UNFINISHED = Kind(
    "unfinished",
    "what killed processes left",
    lambda s: sum(size_of(path) for path in _unfinished_files(s) if path.exists()),
    _unfinished,
)
VERSIONS = Kind(
    "versions",
    "of tables, since replaced",
    lambda s: size_of(s.home / FOLDER) + objects.size(s.lake) - artifacts.size_away(s),
    _versions,
)
INDEXES = Kind("indexes", "that serve nobody", lambda s: size_of(s.home / "index"), _publications)
CHECKPOINTS = Kind("checkpoints", "of finished training", lambda s: size_of(s.home / "training"), _checkpoints)
PAGES = Kind("pages", "old reports of Evidently", lambda s: size_of(s.home / "monitoring"), _pages)
