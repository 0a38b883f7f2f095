"""Searching what is published, with the index kept open between searches."""

import contextlib
import threading
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from found_platform.index import milvus, pointer
from found_platform.index.collection import Collection, IndexBusy
from found_platform.index.pointer import Publication
from found_platform.settings import Settings

MAX_LIMIT = 16_384
"""A Milvus server returns no more; larger audiences are scored exactly."""


class Searcher:
    """Searches the published indexes of a home, from any number of threads, and keeps the live one open until `close`.

    A Milvus Lite file is open in one process at a time, so other processes score exactly meanwhile. Publishing does not wait for a
    searcher, nor a searcher for publishing: when the pointer has moved, the next search opens the new file, and the old one is
    given back when the last search in it has ended.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._store = milvus.store(settings)
        self._lock = threading.Lock()
        self._held: str | None = None
        self._open: list[contextlib.ExitStack] = []
        weakref.finalize(self, _give_back, self._open)  # whoever forgets to close it, at the latest when the process ends

    def search(self, published: Publication, query: np.ndarray, top: int, expression: str = "") -> list[tuple[str, float]]:
        """The `top` users (user_key, score) by inner product with `query`, best first, within a Milvus expression.

        `query` (D,) asks the first D places of the stored vectors. Users without any history are never returned. Raises IndexBusy
        when another process holds the file, or the publication is gone.
        """
        with self._collection(published) as collection:
            return collection.search(np.pad(query, (0, collection.width - len(query)))[None], top, expression)[0]

    @contextlib.contextmanager
    def _collection(self, published: Publication) -> Iterator[Collection]:
        self._hold(published)
        try:
            with self._store.open(published.name) as collection:
                yield collection
        except IndexBusy:
            self.close()  # so that the next search opens it anew
            raise

    def _hold(self, published: Publication) -> None:
        """Keeps the publication open from now on, where it is the live one."""
        if published.name == self._held or published.name != pointer.live(self._settings).name:
            return
        with self._lock:
            if published.name == self._held:
                return
            with contextlib.ExitStack() as opening:
                opening.enter_context(self._store.open(published.name))
                _give_back(self._open)
                self._open.append(opening.pop_all())
                self._held = published.name

    def close(self) -> None:
        """Gives the index back. A later search opens it again."""
        with self._lock:
            _give_back(self._open)
            self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _give_back(opened: list[contextlib.ExitStack]) -> None:
    while opened:
        opened.pop().close()


def search(
    settings: Settings, published: Publication, query: np.ndarray, top: int, expression: str = ""
) -> list[tuple[str, float]]:
    """One search by a `Searcher` that is closed again."""
    with Searcher(settings) as searcher:
        return searcher.search(published, query, top, expression)
