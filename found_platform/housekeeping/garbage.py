"""Garbage collection: kinds of what a home no longer needs, each found by its age and removed piece by piece.

What belongs here: what a kind is, and going through kinds. What does not: what may go of a store (`replaced`, `retired`, and
`dagster_defs.old_runs`). A piece is removed so that a process killed in the middle leaves it for the next call.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from found_platform import home
from found_platform.errors import JobFailed
from found_platform.settings import Settings

TURN = home.WHOLE
"""The lock of whoever goes through a whole home: one erasure, collection or backup at a time."""

DAY = 86_400.0

PATIENCE = 5.0
"""Seconds to wait for whoever writes into a database; it can be made small next time."""


class InUse(RuntimeError):
    """A piece that somebody uses at this moment: it stays till the next time."""


@dataclass(frozen=True)
class Garbage:
    """A piece that may go: its bytes, as they are now, and how it goes. `counts` is how many things it is for the person."""

    bytes: int
    remove: Callable[[], object]
    counts: int = 1


@dataclass(frozen=True)
class Kind:
    """One kind of garbage: its name, what goes of it in a few words (27 letters fit into a terminal of 80), where its bytes are
    counted, and the pieces at a moment (POSIX seconds)."""

    name: str
    about: str
    size: Callable[[Settings], int]
    find: Callable[[Settings, float], Iterator[Garbage]]


@dataclass(frozen=True)
class Collected:
    """What went of a kind, or would go: how many pieces, how many stay since they are in use, and the bytes before and after."""

    kind: str
    about: str
    pieces: int
    in_use: int
    before: int
    after: int


def collect(settings: Settings, kinds: Iterable[Kind], now: float, *, dry_run: bool) -> list[Collected]:
    """Removes every piece of these kinds; a dry run counts them. Raises JobFailed while an erasure or a backup is at work."""
    turn = home.lock(settings.home, TURN)
    try:
        turn.acquire(timeout=0)
    except Timeout:
        raise JobFailed(
            f"An erasure, a backup or another collection is at work in {settings.home}: run this again when it has ended."
        ) from None
    try:
        return [_collect(settings, kind, now, dry_run) for kind in kinds]
    finally:
        turn.release()


def _collect(settings: Settings, kind: Kind, now: float, dry_run: bool) -> Collected:
    before, pieces, in_use, size = kind.size(settings), 0, 0, 0
    for piece in kind.find(settings, now):
        try:
            if not dry_run:
                piece.remove()
        except InUse:
            in_use += piece.counts
            continue
        pieces += piece.counts
        size += piece.bytes
    after = max(0, before - size) if dry_run else kind.size(settings)
    return Collected(kind.name, kind.about, pieces, in_use, before, after)


PASSING = ("-wal", "-shm", "-journal")
"""Ends of names of files that SQLite has beside a database while it is open."""


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder; what goes meanwhile, and what passes, counts for nothing."""
    if path.is_file():
        return path.stat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += 0 if name.endswith(PASSING) else (Path(folder) / name).lstat().st_size
    return total


def newest(path: Path) -> float:
    """When something below a path, or itself, was changed last (POSIX seconds)."""
    times = [path.lstat().st_mtime]
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                times.append((Path(folder) / name).lstat().st_mtime)
    return max(times)


REMOVED = ".removed"


def half_removed(parent: Path) -> Iterator[Garbage]:
    """What a process that was killed while it removed a folder has left of it."""
    for path in parent.glob(f".*{REMOVED}"):
        yield Garbage(size_of(path), lambda path=path: shutil.rmtree(path, ignore_errors=True))


def remove_folder(path: Path) -> None:
    """Removes a folder so that nobody meets half of it under its name."""
    doomed = path.with_name(f".{path.name}{REMOVED}")
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def free_pages(database: Path) -> Iterator[Garbage]:
    """The pages of a SQLite database that hold nothing any more, if they are worth writing it anew: a twentieth of it."""
    if not database.exists():
        return
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=PATIENCE)) as con:
        (free,), (pages,), (page,) = (
            con.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count", "page_size")
        )
    if free * 20 > pages:
        yield Garbage(free * page, lambda: _compact(database), counts=0)


def _compact(database: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as con:
            con.execute("VACUUM")
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise InUse(str(error)) from None
