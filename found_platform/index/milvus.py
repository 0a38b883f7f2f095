"""Milvus, embedded or on a server: the one place that knows how a publication is stored, opened, and removed.

Embedded, a publication is a `.db` folder of its own, which one process at a time can open. Whoever reads one holds a shared lock
on the folder, and it is removed only by somebody who gets that lock alone. On a server (`milvus_uri`) it is a collection, and the
alias `found_live` follows the pointer, for readers that know nothing of the home. A home has a database of the server to itself
(`http://host:19530/database`).
"""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from found_platform.privacy.user_keys import UserKeys
from found_platform.settings import Settings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

COLLECTION, ALIAS = "users", "found_live"
BATCH = 1000


class IndexBusy(RuntimeError):
    """The index cannot be asked now; the message says why. Users can always be scored exactly instead."""


@dataclass(frozen=True)
class Collection:
    """A collection of users that is open."""

    client: "MilvusClient"
    name: str

    def fill(self, keys: UserKeys, vectors: np.ndarray, table: pa.Table, kept: np.ndarray, index_type: str) -> None:
        """Makes the collection of the users who are `kept` (U,) bool.

        Keys (U,), vectors (U, D) and filter columns (a table of U rows) may be mapped: a block of them is held at a time.
        """
        from pymilvus import DataType

        kinds = {
            pa.string(): DataType.VARCHAR,
            pa.int64(): DataType.INT64,
            pa.float64(): DataType.DOUBLE,
            pa.bool_(): DataType.BOOL,
        }
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("user_key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        for column in table.schema:
            options: dict[str, Any] = {"max_length": 65_535} if column.type == pa.string() else {}
            schema.add_field(column.name, kinds[column.type], nullable=True, **options)
        index = self.client.prepare_index_params()
        build = {"params": _build(index_type, int(np.count_nonzero(kept)))}  # so nested, Milvus Lite heeds them too
        index.add_index("vector", index_type=index_type, metric_type="IP", params=build)
        self.client.create_collection(self.name, schema=schema)
        for start in tqdm(range(0, len(keys), BATCH), desc="loading index", unit="batch", disable=None, leave=False):
            rows = start + np.flatnonzero(kept[start : start + BATCH])
            columns = table.slice(start, BATCH).filter(pa.array(kept[start : start + BATCH])).to_pylist()
            users = zip(keys.take(rows), vectors[rows], columns, strict=True)
            if batch := [{"user_key": key, "vector": vector, **values} for key, vector, values in users]:
                self.client.insert(self.name, batch)
        self.client.flush(self.name)
        self.client.create_index(
            self.name, index
        )  # made before, it is built behind the back of the recall check, which then compares exactly
        self.client.load_collection(self.name)

    def count(self, expression: str = "") -> int:
        """Users in the collection, within a Milvus expression."""
        return int(self.client.query(self.name, filter=expression, output_fields=["count(*)"])[0]["count(*)"])

    @cached_property
    def width(self) -> int:
        """Dimensions of the stored vectors."""
        about: Any = self.client.describe_collection(self.name)
        return next(f["params"]["dim"] for f in about["fields"] if f["name"] == "vector")

    def search(self, queries: np.ndarray, top: int, expression: str) -> list[list[tuple[str, float]]]:
        """For each query (Q, D) the keys and scores of the `top` users, best first, within a Milvus expression.

        Raises IndexBusy where the expression names a column that was not there when the collection was made.
        """
        from pymilvus.exceptions import MilvusException

        try:
            answers = self.client.search(self.name, data=queries.tolist(), limit=top, filter=expression, output_fields=["user_key"])
        except MilvusException as error:
            about: Any = self.client.describe_collection(self.name)
            named = set(re.findall(r"\b([A-Za-z_]\w*) (?:is|in|not|[<>=!])", expression)) - {"is", "not"}
            if not (unknown := named - {f["name"] for f in about["fields"]}):
                raise
            raise IndexBusy(f"the index was published before it knew {', '.join(sorted(unknown))}") from error
        return [[(str(hit["user_key"]), float(hit["distance"])) for hit in hits] for hits in answers]


def _build(index_type: str, users: int) -> dict[str, int]:
    """Build parameters by index type; FLAT, the default, compares with everybody and has none."""
    cells = max(1, min(128, users // 39))  # a cell of fewer has no centre worth the name
    return {"IVF_FLAT": {"nlist": cells}, "HNSW": {"M": 16, "efConstruction": 200}}.get(index_type, {})


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
    if settings.milvus_uri:
        return Server(settings.milvus_uri, settings.milvus_token)
    return Lite(settings.home / "index")


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


class Server:
    """Publications as collections of a Milvus server."""

    def __init__(self, uri: str, token: str | None):
        self._uri, self._token = uri, token or ""

    @contextlib.contextmanager
    def build(self, name: str) -> Iterator[Collection]:
        with connect(self._uri, self._token) as connection:
            yield Collection(connection.client, _collection(name))

    def point(self, name: str) -> None:
        with connect(self._uri, self._token) as connection:
            move = connection.client.alter_alias if self._alias(connection.client) else connection.client.create_alias
            move(_collection(name), ALIAS)

    def exists(self, name: str) -> bool:
        with connect(self._uri, self._token) as connection:
            return bool(connection.client.has_collection(_collection(name)))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Collection]:
        from pymilvus.exceptions import MilvusException

        try:
            with connect(self._uri, self._token) as connection:
                yield connection.collection(_collection(name))
        except MilvusException as error:
            try:
                exists = self.exists(name)
            except MilvusException:
                raise IndexBusy("the vector server cannot be reached") from error
            if not exists:
                raise IndexBusy("the index is gone from the server") from error
            raise

    def keep(self, names: set[str]) -> None:
        kept = {_collection(name) for name in names}
        with connect(self._uri, self._token) as connection:
            kept.add(self._alias(connection.client) or "")  # dropping it would drop the alias without a word
            collections: Any = connection.client.list_collections()
            for collection in collections:
                if collection.startswith(_collection("v")) and collection not in kept:
                    connection.client.drop_collection(collection)

    def _alias(self, client: "MilvusClient") -> str | None:
        from pymilvus.exceptions import MilvusException

        try:
            return client.describe_alias(ALIAS)["collection_name"]
        except MilvusException:
            return None


def _collection(name: str) -> str:
    """A publication's name as a server allows it: letters, digits and underscores."""
    return "found_" + name.removesuffix(".db").replace("-", "_")


@dataclass
class Connection:
    """A client that all threads of this process share."""

    client: "MilvusClient"
    users: int = 0
    _collections: dict[str, Collection] = field(default_factory=dict)

    def collection(self, name: str) -> Collection:
        """A collection, ready to search."""
        if name not in self._collections:
            self.client.load_collection(name)
            self._collections[name] = Collection(self.client, name)
        return self._collections[name]


_connections: dict[str, Connection] = {}
_opening = threading.Lock()


@contextlib.contextmanager
def connect(uri: str, token: str = "") -> Iterator[Connection]:
    """A server or a `.db` path, open while anybody in this process uses it; the last one gives its lock back. Raises IndexBusy."""
    with _opening:
        connection = _connections.get(uri) or _connections.setdefault(uri, Connection(_client(uri, token)))
        connection.users += 1
    try:
        yield connection
    finally:
        with _opening:
            connection.users -= 1
            if not connection.users:
                del _connections[uri]
                connection.client.close()
                _release(uri)


def _client(uri: str, token: str) -> "MilvusClient":
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    for name in ("pymilvus", "milvus_lite", "grpc"):  # they log what is an answer here
        logging.getLogger(name).setLevel(logging.CRITICAL)
    embedded = uri.endswith(".db")
    # pings keep a network connection alive; an embedded server is this very process, and hangs up on a client that pings too often
    options: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": 2**31 - 1}} if embedded else {}
    try:
        return MilvusClient(uri, token=token, **options)
    except MilvusException as error:
        raise IndexBusy("another process holds the index" if embedded else "the vector server cannot be reached") from error


def _release(uri: str) -> None:
    """Gives the lock of a `.db` back, which closing the client alone does not."""
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(uri)


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
