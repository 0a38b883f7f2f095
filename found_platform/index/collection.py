"""A collection of users in Milvus, embedded or on a server, and the connections that all threads of a process share.

What belongs here: everything that is asked of an open collection. What does not: where publications lie (`milvus`).
"""

import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from found_platform.index import missing
from found_platform.index.imports import Imports
from found_platform.index.rows import Rows
from found_platform.privacy.user_keys import UserKeys

if TYPE_CHECKING:
    from pymilvus import MilvusClient

BATCH = 1000
"""Users that are sent, or asked for, at once."""

UNREACHABLE = "the vector server cannot be reached"


class IndexBusy(RuntimeError):
    """The index cannot be asked now; the message says why. Users can always be scored exactly instead."""


@dataclass(frozen=True)
class Collection:
    """A collection of users that is open."""

    client: "MilvusClient"
    name: str
    imports: Imports | None = None
    """By what it is filled in place of inserts."""

    def fill(self, keys: UserKeys, vectors: np.ndarray, table: pa.Table, kept: np.ndarray, index_type: str) -> None:
        """Makes the collection of the users who are `kept` (U,) bool.

        Keys (U,), vectors (U, D) and filter columns (a table of U rows) may be mapped: a block of them is held at a time.
        """
        rows = Rows(keys, vectors, table, kept, missing.are_listed(self.client))
        index = self.client.prepare_index_params()
        build = {"params": _build(index_type, int(np.count_nonzero(kept)))}  # so nested, Milvus Lite heeds them too
        index.add_index("vector", index_type=index_type, metric_type="IP", params=build)
        self.client.create_collection(self.name, schema=rows.schema(self.client))
        if self.imports is not None:
            self.imports.fill(self.client, self.name, rows)
        else:
            for start in tqdm(range(0, len(keys), BATCH), desc="loading index", unit="batch", disable=None, leave=False):
                if batch := rows.records(start, start + BATCH):
                    self.client.insert(self.name, batch)
            self.client.flush(self.name)
        self.client.create_index(
            self.name, index
        )  # made before, it is built behind the back of the recall check, which then compares exactly
        self.client.load_collection(self.name)

    def count(self, expression: str = "") -> int:
        """Users in the collection, within a Milvus expression."""
        return int(self.client.query(self.name, filter=self._asked(expression), output_fields=["count(*)"])[0]["count(*)"])

    @cached_property
    def _fields(self) -> dict[str, dict[str, Any]]:
        about: Any = self.client.describe_collection(self.name)
        return {field["name"]: field["params"] for field in about["fields"]}

    @property
    def width(self) -> int:
        """Dimensions of the stored vectors."""
        return self._fields["vector"]["dim"]

    def _asked(self, expression: str) -> str:
        """An expression as this collection reads it. Raises IndexBusy as `search`."""
        if not expression or "max_capacity" not in self._fields.get(missing.FIELD, {}):
            return expression
        self._check_known(missing.tested(expression))
        return missing.asked(expression)

    def _check_known(self, columns: set[str]) -> None:
        if unknown := columns - self._fields.keys():
            raise IndexBusy(f"the index was published before it knew {', '.join(sorted(unknown))}")

    def search(self, queries: np.ndarray, top: int, expression: str) -> list[list[tuple[str, float]]]:
        """For each query (Q, D) the keys and scores of the `top` users, best first, within a Milvus expression.

        Raises IndexBusy where the expression names a column that was not there when the collection was made.
        """
        from pymilvus.exceptions import MilvusException

        try:
            answers = self.client.search(
                self.name, data=queries.tolist(), limit=top, filter=self._asked(expression), output_fields=["user_key"]
            )
        except MilvusException:
            named = set(re.findall(r"\b([A-Za-z_]\w*) (?:is|in|not|[<>=!])", expression)) - {"is", "not"}
            self._check_known(named)
            raise
        return [[(str(hit["user_key"]), float(hit["distance"])) for hit in hits] for hits in answers]


def _build(index_type: str, users: int) -> dict[str, int]:
    """Build parameters by index type; FLAT, the default, compares with everybody and has none."""
    cells = max(1, min(128, users // 39))  # a cell of fewer has no centre worth the name
    return {"IVF_FLAT": {"nlist": cells}, "HNSW": {"M": 16, "efConstruction": 200}}.get(index_type, {})


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
        raise IndexBusy("another process holds the index" if embedded else UNREACHABLE) from error


def _release(uri: str) -> None:
    """Gives the lock of a `.db` back, which closing the client alone does not."""
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(uri)
