"""Folders for what memory cannot hold: one a use, inside one a process, removed when the process is gone.

What belongs here: making them, and removing those that killed processes left. Only a folder that this module made is ever removed:
it has an owner file with this machine's name, and nobody holds that file's lock, which is the system's and ends with its process.
"""

import atexit
import contextlib
import fcntl
import os
import platform
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from found_platform import home

PREFIX = "found-spill-"
OWNER = "owner"

_turn = threading.Lock()


@dataclass(frozen=True)
class _Root:
    """The folder of this process below one folder for temporary files; `owner` holds its lock."""

    path: Path
    process: int
    owner: BinaryIO


_roots: dict[Path, _Root] = {}


def folder(temp: Path | None = None) -> Path:
    """A folder for one connection: two that spill into the same one overwrite each other's files, and crash.

    DuckDB makes it when it needs it and removes it when it closes.

    Args:
        temp: the folder in which to make it; the system's for temporary files by default.
    """
    temp = temp or Path(tempfile.gettempdir())
    with _turn:
        for place, root in list(_roots.items()):
            if not root.path.exists() or root.process != os.getpid():  # removed by somebody else, or of the process that forked
                root.owner.close()
                del _roots[place]
        if temp not in _roots:
            temp.mkdir(parents=True, exist_ok=True)
            _remove_left_behind(temp)
            _roots[temp] = _make(temp)
        return _roots[temp].path / uuid.uuid4().hex[:8]


@contextlib.contextmanager
def scratch(temp: Path | None = None) -> Iterator[Path]:
    """A folder of its own for files that are mapped, or read again: it is removed at the end, and what is mapped stays readable."""
    path = folder(temp)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def read_again(temp: Path, rows: pa.RecordBatchReader, size: int) -> Iterator[pa.RecordBatchReader]:
    """All rows are written to a file, and come back from it, `size` at a time: for who may not make them while they are read."""
    import pyarrow.parquet as pq

    with scratch(temp) as path:
        with pq.ParquetWriter(path / "rows.parquet", rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
        with pq.ParquetFile(path / "rows.parquet", pre_buffer=False) as file:  # buffered, it would hold the whole file
            yield pa.RecordBatchReader.from_batches(rows.schema, file.iter_batches(size))


def _make(temp: Path) -> _Root:
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temp))
    owner = os.fdopen(os.open(path / f"{OWNER}.partial", os.O_WRONLY | os.O_CREAT, home.PRIVATE_FILE), "wb")
    with contextlib.suppress(OSError):  # a file system without locks: nobody removes what is left there
        fcntl.flock(owner, fcntl.LOCK_EX)
    owner.write(platform.node().encode())
    owner.flush()
    (path / f"{OWNER}.partial").rename(path / OWNER)  # whoever sees the name sees the lock
    return _Root(path, os.getpid(), owner)


def _remove_left_behind(temp: Path) -> None:
    for left in temp.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (left / OWNER).open("rb") as owner:
            if owner.read() == platform.node().encode():
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error where its process is alive
                shutil.rmtree(left, ignore_errors=True)


@atexit.register
def _remove_own() -> None:
    for root in _roots.values():
        if root.process == os.getpid():
            shutil.rmtree(root.path, ignore_errors=True)
