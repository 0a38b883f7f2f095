"""Where the publications of a home lie: as Milvus Lite folders in the home, or on a server (`milvus_server`).

Embedded, a publication is a `.db` folder of its own, which one process at a time can open. Whoever reads one holds a shared lock
on the folder, and it is removed only by somebody who gets that lock alone.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from found_platform.index import imports
from found_platform.index.collection import Collection, IndexBusy, connect
from found_platform.index.milvus_server import Server
from found_platform.settings import Settings

COLLECTION = "users"


class Store(Protocol):
    """Where the publications of a home are, by name."""

    def build(self, name: str) -> contextlib.AbstractContextManager[Collection]:
        """A place for a new publication, empty and out of sight. Only one at a time: what an earlier one left behind is removed."""
        ...

    def point(self, name: str) -> None:
        """Makes a publication, just built or kept, the one that is asked."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the publication is there."""
        ...

    def open(self, name: str) -> contextlib.AbstractContextManager[Collection]:
        """The publication, for any number of threads. Raises IndexBusy."""
        ...

    def keep(self, names: set[str]) -> None:
        """Removes every other publication that nobody reads."""
        ...


def store(settings: Settings) -> Store:
    """Where the publications of this home are: on the server of `milvus_uri`, or in the home."""
    return server(settings) or Lite(settings.home / "index")


def server(settings: Settings) -> Server | None:
    """The server that this home publishes to, if it does."""
    if not settings.milvus_uri:
        return None
    return Server(settings.milvus_uri, settings.milvus_token, settings.home, imports.of(settings))


class Lite:
    """Publications as Milvus Lite folders."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._building = folder / "building"  # Milvus Lite wants a name that ends in .db, so what is unfinished has a folder

    @contextlib.contextmanager
    def build(self, name: str) -> Iterator[Collection]:
        shutil.rmtree(self._building, ignore_errors=True)
        self._building.mkdir(parents=True)
        with connect(str(self._building / name)) as connection:
            yield Collection(connection.client, COLLECTION)

    def point(self, name: str) -> None:
        if not self.exists(name):
            (self._building / name).rename(self._folder / name)

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Collection]:
        from pymilvus.client.types import Status
        from pymilvus.exceptions import MilvusException

        path = self._folder / name
        try:
            with _read(path), connect(str(path)) as connection:
                yield connection.collection(COLLECTION)
        except MilvusException as error:
            if error.code == Status.CONNECT_FAILED:
                raise IndexBusy("the index does not answer") from error
            raise

    def keep(self, names: set[str]) -> None:
        shutil.rmtree(self._building, ignore_errors=True)
        for path in self._folder.glob("*.db"):
            if path.name not in names:
                remove_unread(path)


@contextlib.contextmanager
def _read(path: Path) -> Iterator[None]:
    """Keeps a folder from being removed, by this process or another. Raises IndexBusy when it is gone."""
    gone = IndexBusy("the file of the index is gone")
    try:
        folder = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise gone from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody is removing it
            raise gone from None
        if not path.exists():  # removed just before; opening it would make an empty one
            raise gone
        yield
    finally:
        os.close(folder)


def remove_unread(path: Path) -> None:
    """Removes a folder unless somebody reads it."""
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(path)
    finally:
        os.close(folder)
