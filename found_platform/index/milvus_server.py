"""Publications on a Milvus server: collections whose names begin with the number of the home, so that many homes share a server.

What belongs here: what differs from Milvus Lite, and what an erasure and a collection of garbage ask of a server. An alias,
`found_NUMBER_live`, follows the pointer, for readers that know nothing of the home.
"""

import contextlib
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import tenancy
from found_platform.index.collection import BATCH, UNREACHABLE, Collection, IndexBusy, connect
from found_platform.index.imports import Imports

if TYPE_CHECKING:
    from pymilvus import MilvusClient

BEGUN = "%Y%m%dT%H%M%S%f"
"""How the name of a publication ends: when it was begun, UTC."""


class Server:
    """Publications as collections of a Milvus server."""

    def __init__(self, uri: str, token: str | None, home: Path, imports: Imports | None = None):
        self._uri, self._token, self._home, self._imports = uri, token or "", home, imports

    @property
    def place(self) -> str:
        """The server and its database: the address, which holds no password."""
        return self._uri.rstrip("/")

    @cached_property
    def prefix(self) -> str:
        """What the names of this home's collections begin with."""
        return f"found_{tenancy.number(self._home)}_"

    @property
    def alias(self) -> str:
        """The name that follows the pointer."""
        return f"{self.prefix}live"

    @contextlib.contextmanager
    def build(self, name: str) -> Iterator[Collection]:
        tenancy.note(self._home, tenancy.MILVUS, self.place)
        with connect(self._uri, self._token) as connection:
            yield Collection(connection.client, self._collection(name), self._imports)

    def point(self, name: str) -> None:
        with connect(self._uri, self._token) as connection:
            move = connection.client.alter_alias if self._pointed(connection.client) else connection.client.create_alias
            move(self._collection(name), self.alias)

    def exists(self, name: str) -> bool:
        with connect(self._uri, self._token) as connection:
            return bool(connection.client.has_collection(self._collection(name)))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Collection]:
        from pymilvus.exceptions import MilvusException

        try:
            with connect(self._uri, self._token) as connection:
                yield connection.collection(self._collection(name))
        except MilvusException as error:
            try:
                exists = self.exists(name)
            except MilvusException:
                raise IndexBusy(UNREACHABLE) from error
            if not exists:
                raise IndexBusy("the index is gone from the server") from error
            raise

    def keep(self, names: set[str]) -> None:
        with connect(self._uri, self._token) as connection:
            pointed = self._pointed(connection.client)  # dropping it would drop the alias without a word
            for collection in self.others(names):
                if collection != pointed:
                    connection.client.drop_collection(collection)

    def others(self, names: Iterable[str]) -> list[str]:
        """The collections of this home that hold other publications than these, finished or not.

        Raises IndexBusy where the server does not answer, or does not let us in.
        """
        from pymilvus.exceptions import MilvusException

        kept = {self._collection(name) for name in names}
        try:
            with connect(self._uri, self._token) as connection:
                every: Any = connection.client.list_collections()
        except MilvusException as error:
            raise IndexBusy(UNREACHABLE) from error
        return sorted(name for name in every if name.startswith(self.prefix) and name not in kept)

    def remove(self, collection: str) -> None:
        """Removes one of `others`."""
        with connect(self._uri, self._token) as connection:
            connection.client.drop_collection(collection)

    def holding(self, keys: Iterable[str]) -> tuple[list[str], int]:
        """The collections of this home with any of these users, and how many collections were asked.

        One that was never finished cannot be asked, and counts as one that holds them. Raises IndexBusy as `others`.
        """
        from pymilvus.exceptions import MilvusException

        every, hits = self.others(()), []
        with connect(self._uri, self._token) as connection:
            for name in every:
                try:
                    collection = connection.collection(name)
                    if any(map(collection.count, _of_users(keys))):
                        hits.append(name)
                except MilvusException:
                    if connection.client.has_collection(name):
                        hits.append(name)
        return hits, len(every)

    def _collection(self, name: str) -> str:
        """A publication's name as a server allows it: letters, digits and underscores."""
        return self.prefix + name.removesuffix(".db").replace("-", "_")

    def _pointed(self, client: "MilvusClient") -> str | None:
        from pymilvus.exceptions import MilvusException

        try:
            return client.describe_alias(self.alias)["collection_name"]
        except MilvusException:
            return None


def _of_users(keys: Iterable[str]) -> Iterator[str]:
    """Expressions that some users fit, of at most BATCH of them each."""
    ordered = iter(sorted(keys))
    while batch := list(itertools.islice(ordered, BATCH)):
        yield "user_key in [" + ", ".join(f'"{key}"' for key in batch) + "]"


def built_at(collection: str) -> float:
    """When a publication was begun (POSIX seconds), by the end of its name."""
    moment = dt.datetime.strptime(collection.rpartition("_")[2], BEGUN)
    return moment.replace(tzinfo=dt.UTC).timestamp()
