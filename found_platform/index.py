"""The vector index: blue/green publishing to Milvus Lite, and search in what the pointer names.

Each publication is a `.db` of its own under `HOME/index`; `current.json`, replaced atomically, names the live one and the previous
one. The index can always be rebuilt from Delta. The publish step itself reads the stored gate verdict again.
"""

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from found_platform import contract, feature_store, registry
from found_platform.embedding import users
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

COLLECTION = "users"
BATCH = 1000
AUDIT_QUERIES, AUDIT_TOP, AUDIT_RECALL = 16, 10, 0.99
MAX_LIMIT = 16_384
"""A Milvus server returns no more; larger audiences are scored exactly."""


class IndexBusy(RuntimeError):
    """The Milvus Lite file cannot be opened now; the message says why."""


@dataclass(frozen=True)
class Publication:
    """One published index. `as_of` is the cutoff of its states, `rows` its number of users."""

    name: str
    model_version: str
    as_of: str
    rows: int
    recall: float
    published_at: str


def _pointer(settings: Settings) -> Path:
    return settings.home / "index" / "current.json"


def live(settings: Settings) -> Publication:
    """What is published. Raises BadInput when nothing is."""
    path = _pointer(settings)
    if not path.exists():
        raise BadInput(f"Nothing is published in {settings.home}: run `found demo --home {settings.home}` first.")
    return Publication(**json.loads(path.read_text())["live"])


def is_live(settings: Settings, model_version: str, as_of: str) -> bool:
    """Whether the published index is of this model version and day, and its file is there."""
    if not _pointer(settings).exists():
        return False
    made = live(settings)
    return (made.model_version, made.as_of) == (model_version, as_of) and (_pointer(settings).parent / made.name).exists()


def filter_columns(settings: Settings) -> pa.Schema:
    """The columns a filter may name: profile attributes and activity features, as of the published day."""
    return pa.schema([*contract.profile_schema(settings.home), *contract.ACTIVITY_FEATURES])


@contextlib.contextmanager
def _client(path: Path) -> Iterator["MilvusClient"]:
    """Opens a `.db` and gives its lock back afterwards, which closing the client alone does not. Raises IndexBusy."""
    import logging

    from milvus_lite.server_manager import server_manager_instance
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(None):
            client = MilvusClient(str(path))
    except MilvusException as error:
        raise IndexBusy("another process holds the index") from error
    try:
        yield client
    finally:
        client.close()
        server_manager_instance.release_all()


def attributes(settings: Settings, as_of: dt.date) -> pa.Table:
    """user_key and every filter column, as of 00:00 of a day."""
    columns = ["user_key", *filter_columns(settings).names]
    return feature_store.snapshot(settings, "user_tabular", as_of - dt.timedelta(days=1), columns)


def publish(settings: Settings, version: str, as_of: dt.date) -> Publication:
    """Builds, loads, counts and audits a new index, then swaps the pointer. The one before the last is removed.

    Raises BadInput when the version's stored verdict does not pass, JobFailed when the new index is not sound; the live one stays.
    """
    if not registry.gate_passed(settings, version):
        raise BadInput(f"Model version {version} is not published: its stored gate verdict does not pass.")
    keys, vectors, events = users.load(settings, version, as_of)
    table = attributes(settings, as_of)
    if table["user_key"].to_pylist() != keys:
        raise JobFailed(
            f"user_embeddings and user_tabular as of {as_of} do not hold the same users: materialise both for that day."
        )
    folder = _pointer(settings).parent
    building = folder / "building"  # Milvus Lite wants a name that ends in .db, so what is unfinished has a folder
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    name = f"v{version}-{as_of}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}.db"
    with _client(building / name) as client:
        _load(client, settings, keys, vectors, events, table)
        count = int(client.query(COLLECTION, output_fields=["count(*)"])[0]["count(*)"])
        if count != len(keys):
            raise JobFailed(f"The new index holds {count} users instead of {len(keys)}.")
        recall = _audit(client, keys, vectors, events)
    if recall < AUDIT_RECALL:
        raise JobFailed(f"The new index finds only {recall:.1%} of the exact neighbours, under {AUDIT_RECALL:.0%}.")
    (building / name).rename(folder / name)
    building.rmdir()
    made = Publication(name, version, str(as_of), len(keys), round(recall, 4), f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}")
    _swap(settings, made)
    return made


def _load(
    client: "MilvusClient", settings: Settings, keys: list[str], vectors: np.ndarray, events: np.ndarray, table: pa.Table
) -> None:
    from pymilvus import DataType

    kinds = {pa.string(): DataType.VARCHAR, pa.int64(): DataType.INT64, pa.float64(): DataType.DOUBLE, pa.bool_(): DataType.BOOL}
    columns = filter_columns(settings)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("user_key", DataType.VARCHAR, is_primary=True, max_length=32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    schema.add_field("history_events", DataType.INT64)
    for field in columns:
        options: dict[str, Any] = {"max_length": 65_535} if field.type == pa.string() else {}
        schema.add_field(field.name, kinds[field.type], nullable=True, **options)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(COLLECTION, schema=schema, index_params=index)
    rows = table.select(columns.names).to_pylist()
    for start in tqdm(range(0, len(keys), BATCH), desc="loading index", unit="batch", disable=None, leave=False):
        part = range(start, min(start + BATCH, len(keys)))
        batch = [{"user_key": keys[i], "vector": vectors[i].tolist(), "history_events": int(events[i]), **rows[i]} for i in part]
        client.insert(COLLECTION, batch)
    client.flush(COLLECTION)
    client.load_collection(COLLECTION)


def _search(client: "MilvusClient", queries: np.ndarray, top: int, expression: str) -> list[list[tuple[str, float]]]:
    expression = "history_events > 0" + (f" and {expression}" if expression else "")
    found = client.search(COLLECTION, data=queries.tolist(), limit=top, filter=expression, output_fields=["user_key"])
    return [[(str(hit["user_key"]), float(hit["distance"])) for hit in hits] for hits in found]


def _audit(client: "MilvusClient", keys: list[str], vectors: np.ndarray, events: np.ndarray) -> float:
    """Mean share of the exact nearest users that the index finds, with ties counted as found."""
    known = np.flatnonzero(events > 0)
    if not len(known):
        raise JobFailed("No user has any history as of this day: there is nothing to publish.")
    probes = known[np.linspace(0, len(known) - 1, min(AUDIT_QUERIES, len(known))).astype(int)]
    top = min(AUDIT_TOP, len(known))
    row = {key: i for i, key in enumerate(keys)}
    shares = []
    for probe, hits in zip(probes, _search(client, vectors[probes], top, ""), strict=True):
        exact = vectors[known] @ vectors[probe]
        floor = np.partition(exact, -top)[-top] - 1e-5
        shares.append(sum(vectors[row[k]] @ vectors[probe] >= floor for k, _ in hits) / top)
    return float(np.mean(shares))


def _swap(settings: Settings, made: Publication) -> None:
    path = _pointer(settings)
    old = json.loads(path.read_text()) if path.exists() else {"live": None, "previous": None}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"live": asdict(made), "previous": old["live"]}, indent=1))
    partial.replace(path)
    keep = {made.name, (old["live"] or {}).get("name")}
    for db in path.parent.glob("*.db"):
        if db.name not in keep:
            shutil.rmtree(db)


def _width(client: "MilvusClient") -> int:
    """Dimensions of the stored vectors."""
    about: Any = client.describe_collection(COLLECTION)
    return next(f["params"]["dim"] for f in about["fields"] if f["name"] == "vector")


def search(
    settings: Settings, published: Publication, query: np.ndarray, top: int, expression: str = ""
) -> list[tuple[str, float]]:
    """The `top` users of a published index by inner product with `query`, best first, within a Milvus expression.

    `query` (D,) asks the first D places of the stored vectors.

    Raises IndexBusy when another process holds the file, or it is gone.
    """
    path = _pointer(settings).parent / published.name
    if not path.exists():  # opening it would make an empty one
        raise IndexBusy("the file of the index is gone")
    with _client(path) as client:
        client.load_collection(COLLECTION)
        stored = _width(client)
        return _search(client, np.pad(query, (0, stored - len(query)))[None], top, expression)[0]
