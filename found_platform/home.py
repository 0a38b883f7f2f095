"""A home as a folder: which one commands take, its locks, and files that only its owner may read.

What belongs here: how anything is locked, made private and written whole. What does not: what is in it.
"""

import contextlib
import os
import platform
import shlex
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from found_platform import command_line, shared_locks
from found_platform.errors import JobFailed

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
PRIVATE_UMASK = 0o077
"""For a process that writes into homes, libraries included, and what it writes for a person elsewhere. Set where a process starts,
since it is the process's; a home's folder is private whoever writes into it."""

DATABASE_SECONDS = 30.0
"""That a writer of an SQLite file waits for another."""
POLL_SECONDS = 0.2
"""Between two looks at a lock that somebody else holds: a system lock does not wake who waits with a time limit."""

WHOLE = "erasure"
"""The lock of who goes through a whole home: an erasure, a collection of garbage, a backup."""


def default() -> Path:
    """The home of whoever names none: `FOUND_HOME`, else `.found` in the working directory."""
    return Path(os.environ.get("FOUND_HOME") or ".found")


def option(home: Path) -> str:
    """The option that names a home in a command to run next, with a blank before it; nothing where commands take it anyway."""
    return "" if home.resolve() == default().resolve() else f" --home {shlex.quote(str(home))}"


class HomeLock(FileLock):
    """A system lock on a file of a home; where its records are in PostgreSQL it is held there too, against other machines."""

    home: Path
    _shared: tuple[shared_locks.Session, int] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is held in PostgreSQL too."""
        return self._shared is not None

    def _acquire(self) -> None:
        super()._acquire()
        if not self.is_locked:
            return
        try:
            if (of_home := shared_locks.session(self.home)) is None:
                return
            session, key = of_home[0], shared_locks.key(of_home[1], Path(self.lock_file).name)
            if session.take(key):
                self._shared = session, key
            else:
                super()._release()
        except BaseException:
            super()._release()
            raise

    def _release(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared[0].give_back(shared[1])
        super()._release()


def lock(home: Path, name: str, timeout: float = -1) -> HomeLock:
    """The lock of what `name` stands for in a home. It ends with the process that holds it.

    Args:
        timeout: seconds to wait; -1 waits for ever. Raises filelock.Timeout after it.
    """
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    held = HomeLock(folder / f"{name}.lock", timeout=timeout, mode=PRIVATE_FILE)
    held.home = home
    return held


def make_private(folder: Path) -> Path:
    """Makes a folder, where it is missing, that nobody but its owner can enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    with contextlib.suppress(PermissionError):  # somebody else's folder, which they let us write to
        folder.chmod(PRIVATE_FOLDER)
    return folder


def is_private(folder: Path) -> bool:
    """Whether nobody but its owner can enter a folder."""
    return not folder.stat().st_mode & PRIVATE_UMASK


def make_all_private(folder: Path) -> None:
    """Leaves a folder and all in it to their owner alone."""
    for place, _, files in os.walk(folder):
        Path(place).chmod(PRIVATE_FOLDER)
        for name in files:
            path = Path(place) / name
            if not path.is_symlink():
                path.chmod(PRIVATE_FILE)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file that is there as a whole or as it was before, and that its owner alone may read."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        shared_locks.check()
    except JobFailed:
        partial.unlink()
        raise
    partial.replace(path)


def write_once(home: Path, path: Path, content: str) -> None:
    """Writes a private file of a home whole, where there is none; of two processes, one writes and the other finds it written."""
    if not path.exists():
        with lock(home, path.name):
            if not path.exists():
                write_whole(path, content)


@contextlib.contextmanager
def hold(
    home: Path, names: Iterable[str], purpose: str, *, seconds: float, waiting: Callable[[str], None] = lambda _: None
) -> Iterator[bool]:
    """Holds several locks of a home, taken in one order, so that two holders never wait for each other.

    Yields whether anybody else had to be waited for.

    Args:
        purpose: what the holder does, for the sentence that others read while they wait.
        seconds: to wait at most, in all.
        waiting: told for what and for whom in a line of a terminal, each time before it waits.

    Raises JobFailed where the wait is over and somebody still holds one.
    """
    end = time.monotonic() + seconds
    with contextlib.ExitStack() as held:
        waited = False
        for name in sorted(set(names)):
            file_lock = lock(home, name)
            try:
                file_lock.acquire(timeout=0)
            except Timeout:
                waited = True
                waiting(command_line.line(f"waiting for {name}, held by {_holder(home, name)}"))
                try:
                    file_lock.acquire(timeout=max(end - time.monotonic(), 0), poll_interval=POLL_SECONDS)
                except Timeout:
                    raise JobFailed(
                        f"After {duration(seconds)} {name} in {home} is still held by {_holder(home, name)}: wait until that has "
                        "ended, then run this again; FOUND_WAIT_MINUTES is how long a command waits."
                    ) from None
            held.callback(file_lock.release)
            note = _note(home, name)
            at = f" on {platform.node()}" if file_lock.is_shared else ""
            write_whole(note, f"pid {os.getpid()}{at} ({purpose})")
            held.callback(note.unlink, missing_ok=True)
        yield waited


def duration(seconds: float) -> str:
    """A time that somebody waited, in words."""
    return f"{seconds / 60:g} minutes" if seconds > 60 else f"{seconds:g} seconds"


@contextlib.contextmanager
def database(path: Path, statements: Iterable[str]) -> Iterator[sqlite3.Connection]:
    """A connection to an SQLite file of a home, for one transaction; the statements make its tables where there are none yet."""
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE))
    with contextlib.closing(sqlite3.connect(path, timeout=DATABASE_SECONDS)) as con, con:
        for statement in statements:
            con.execute(statement)
        yield con


def is_made(home: Path, name: str) -> bool:
    """Whether anybody has ever held a lock."""
    return (home / "locks" / f"{name}.lock").exists()


def make_lock(home: Path, name: str) -> None:
    """Makes a lock that nobody holds yet."""
    (home / "locks").mkdir(parents=True, exist_ok=True)
    (home / "locks" / f"{name}.lock").touch(PRIVATE_FILE)


def is_free(home: Path, name: str) -> bool:
    """Whether nobody holds a lock at this moment."""
    file_lock = lock(home, name)
    try:
        file_lock.acquire(timeout=0)
    except Timeout:
        return False
    file_lock.release()
    return True


def _note(home: Path, name: str) -> Path:
    return home / "locks" / f"{name}.holder"


def _holder(home: Path, name: str) -> str:
    """Who holds a lock, as they wrote it down."""
    try:
        return _note(home, name).read_text()
    except FileNotFoundError:  # in the moment before it is written
        return "another process"
