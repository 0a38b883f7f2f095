"""A home as a folder: its locks, and files that only its owner may read.

What belongs here: how anything is locked, made private and written whole. What does not: what is in it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def lock(home: Path, name: str, timeout: float = -1) -> FileLock:
    """The lock of what `name` stands for in a home. It is the system's: it ends with the process that holds it.

    Args:
        timeout: seconds to wait; -1 waits for ever. Raises filelock.Timeout after it.
    """
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock", timeout=timeout)


def make_private(folder: Path) -> Path:
    """Makes a folder, where it is missing, that nobody but its owner can enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    with contextlib.suppress(PermissionError):  # somebody else's folder, which they let us write to
        folder.chmod(PRIVATE_FOLDER)
    return folder


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file that is there as a whole or as it was before, and that its owner alone may read."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextlib.contextmanager
def in_turn(home: Path, *names: str) -> Iterator[None]:
    """Holds several locks of a home. They are always taken in the same order, so that two holders never wait for each other."""
    with contextlib.ExitStack() as held:
        for name in sorted(set(names)):
            held.enter_context(lock(home, name))
        yield
