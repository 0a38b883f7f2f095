"""User states: the vector of every user as of a day, by one model version, in the Delta table `user_embeddings`."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pad
from tqdm import tqdm

from found_platform import feature_store, lake, mapped, row_hash, spill
from found_platform.contract import HELD_OUT_FOLD, midnight
from found_platform.lake import Written
from found_platform.privacy import user_keys
from found_platform.privacy.user_keys import UserKeys
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.training_data import histories, text_vectors
from found_platform.training_data.histories import Texts, own_texts
from found_platform.training_data.training_set import users_seen_reader

if TYPE_CHECKING:
    from models.histories import Histories
    from models.saved import Model


class Versioned(Protocol):
    """A model and the version that the registry knows it by."""

    @property
    def version(self) -> str: ...
    @property
    def model(self) -> "Model": ...


TABLE = "user_embeddings"
USERS = 1024
"""Users embedded at once."""

PART = 16_384
"""Users whose histories are read at once: bounds memory. Each part looks through the keys of all days again."""

SCHEMA = pa.schema(
    [
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("history_events", pa.int64(), nullable=False),
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`history_events` counts the events behind the vector, within the lookback and the sequence length; 0 means the vector is zero."""


def texts_of(settings: Settings, model: "Model", as_of: dt.date) -> Texts:
    """The cached text vectors that a model reads histories with: frozen ones, or its own tower's, made where they are missing."""
    from models.found import Found

    if isinstance(model, Found) and model.event_tower is not None:
        text_vectors.encode(settings, as_of, model.event_tower)
    return cached_texts(settings, model)


def cached_texts(settings: Settings, model: "Model") -> Texts:
    """The same as far as they are cached."""
    from models.found import Found

    tower = model.event_tower if isinstance(model, Found) else None
    return text_vectors.load(settings, tower.revision if tower else model.config.encoder_revision)


def vectors_of(settings: Settings, model: "Model", rows: pa.Table, texts: Texts) -> np.ndarray:
    """User vectors (B, W) float32 for rows of the feature service, made where the model is."""
    import torch

    with torch.inference_mode():
        return model.users(tensors_of(settings, model, rows, texts)).cpu().numpy()


def tensors_of(settings: Settings, model: "Model", rows: pa.Table, texts: Texts) -> "Histories":
    """Rows of the feature service as this model reads them, where it is."""
    from models.found import Found

    columns = model.config.columns if isinstance(model, Found) else ()
    return histories.tensors(rows, texts, columns, settings.lookback_days).to(model.center.device)


def past_cutoffs(settings: Settings, cutoff: dt.date) -> list[dt.date]:
    """The grid before a cutoff, newest first: days at which user states are kept, and look-ups may ask what became of users."""
    start = source_config.of_home(settings).days[0]
    count = max(0, min((cutoff - start).days - 1, settings.training_days) // settings.grid_days)
    return [cutoff - dt.timedelta(days=settings.grid_days * i) for i in range(1, count + 1)]


def embed(settings: Settings, model: Versioned, cutoff: dt.date) -> Written:
    """Computes and writes the state of every user seen before 00:00 of the cutoff, a batch of users at a time.

    Where something was learned, the states of the held-out fold at past cutoffs are kept too: those of the others hold what the
    encoder was trained to know of the windows that followed, so nothing may be fitted on them.
    """
    from models.device import on_device
    from models.found import Found

    timer = lake.Timer()
    versions = {view: lake.version(settings.lake, view) for view in feature_store.VIEWS}
    texts = texts_of(settings, model.model, cutoff)
    with on_device(model.model):
        past = past_cutoffs(settings, cutoff) if isinstance(model.model, Found) else []
        for days in _together(settings, past):
            _write(settings, model, days, texts, versions, held_out=True)
        version = _write(settings, model, [cutoff], texts, versions)
    hashes = row_hash.by_key(settings.lake, TABLE, "as_of", where(model.version, cutoff), drop=["model_version"])
    count = hashes.get(str(cutoff), (0, ""))[0]
    return Written(TABLE, version, count, lake.size(settings.lake, TABLE), timer.seconds, versions, hashes)


def _together(settings: Settings, days: list[dt.date]) -> list[list[dt.date]]:
    """Past days, newest first, as they are read and written: as many at once as hold about a `PART` of held-out users.

    Whoever was known by a day is known by the next, so the newest day tells how many there are.
    """
    if not days:
        return []
    users_a_day = sum(_held_out(batch).num_rows for batch in users_seen_reader(settings, days[0], PART))
    count = max(1, PART // max(1, users_a_day))
    return [days[start : start + count] for start in range(0, len(days), count)]


def _held_out(seen: pa.RecordBatch) -> pa.Table:
    rows = pa.table(seen)
    return rows.filter(pc.equal(rows["fold"], HELD_OUT_FOLD))


def _write(
    settings: Settings, model: Versioned, days: list[dt.date], texts: Texts, versions: dict[str, int], *, held_out: bool = False
) -> int:
    """Replaces the states of everybody, or of the held-out fold, as of some days. Returns the table's version.

    One commit holds them all, and what is written to a Delta table must not open another: so the states are all made first. On
    another engine its workers make them, a day at a time.
    """
    if settings.engine != "duckdb":
        from found_platform.embedding import workers  # it brings Ibis, which look-ups do without

        return [workers.write(settings, model, day, versions, held_out=held_out) for day in days][-1]
    states = _states(settings, model, days, texts, versions, held_out)
    with spill.read_again(settings.home / "tmp", pa.RecordBatchReader.from_batches(SCHEMA, states), USERS) as rows:
        return lake.replace(settings.lake, TABLE, rows, **slice_of(model.version, *days))


def slice_of(model_version: str, *days: dt.date) -> dict[str, Any]:
    """The part of the table that the states of a model version as of some days are."""
    named = ", ".join(f"'{day.isoformat()}'" for day in days)
    predicate = f"model_version = '{int(model_version)}' AND as_of IN ({named})"
    return {"schema": SCHEMA, "partition_by": ("model_version", "as_of"), "predicate": predicate}


def _states(
    settings: Settings, model: Versioned, days: list[dt.date], texts: Texts, versions: dict[str, int], held_out: bool
) -> Iterator[pa.RecordBatch]:
    """The states as of some days, `USERS` at a time, from histories read about `PART` users at a time."""
    read = feature_store.histories(settings, versions)
    about = f"embedding users as of {days[-1]}" + (f" to {days[0]}" if len(days) > 1 else "")
    with tqdm(desc=about, unit="user", disable=None, leave=False) as bar:
        for spine in _asked(settings, days, held_out):
            users_written = 0
            for batch in read(spine["user_key"].to_pylist(), [midnight(day) for day in spine["as_of"].to_pylist()]):
                for start in range(0, batch.num_rows, USERS):
                    some = pa.table(batch.slice(start, USERS))
                    rows = spine.slice(users_written, some.num_rows)
                    yield batch_of(settings, model, texts, some, rows["as_of"].combine_chunks(), rows["fold"].combine_chunks())
                    users_written += some.num_rows
                    bar.update(some.num_rows)


def _asked(settings: Settings, days: list[dt.date], held_out: bool) -> Iterator[pa.Table]:
    """user_key, as_of and fold of who was known by each day, day by day and then in key order, about `PART` rows at a time."""
    rest: list[pa.Table] = []
    for day in days:
        with spill.read_again(settings.home / "tmp", users_seen_reader(settings, day, PART), PART) as parts:
            for seen in parts:
                part = _held_out(seen) if held_out else pa.table(seen)
                columns = [part["user_key"], pa.array([day] * part.num_rows, pa.date32()), part["fold"].cast(pa.int8())]
                if rest and sum(table.num_rows for table in rest) + part.num_rows > PART:
                    yield pa.concat_tables(rest)
                    rest = []
                rest.append(pa.table(columns, names=["user_key", "as_of", "fold"]))
    if rest:
        yield pa.concat_tables(rest)


def batch_of(
    settings: Settings, model: Versioned, texts: Texts, rows: pa.Table, as_of: pa.Array, folds: pa.Array
) -> pa.RecordBatch:
    """The states of some users, from rows of the feature service, each as of its day."""
    vectors = vectors_of(settings, model.model, rows, texts)
    _, counts = own_texts(rows)
    offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    return pa.record_batch(
        [
            pa.array([model.version] * len(vectors), pa.string()),
            as_of,
            rows["user_key"].combine_chunks(),
            folds,
            pa.array(counts, pa.int64()),
            pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1), pa.float32())),
        ],
        schema=SCHEMA,
    )


def where(model_version: str, as_of: dt.date) -> pad.Expression:
    """The Arrow filter of one model version's states as of a day."""
    return (pad.field("model_version") == model_version) & (pad.field("as_of") == as_of)


def are_kept(settings: Settings, model_version: str, as_of: dt.date) -> bool:
    """Whether there are states of a model version as of a day."""
    rows = lake.dataset(settings.lake, TABLE).scanner(columns=["user_key"], filter=where(model_version, as_of))
    return rows.head(1).num_rows > 0


def load(
    settings: Settings, model_version: str, as_of: dt.date, *, held_out: bool = False
) -> tuple[UserKeys, np.ndarray, np.ndarray]:
    """user keys (B,), vectors (B, D) float32 and history_events (B,) of a model version as of a day, in key order.

    Of everybody, or of the held-out fold alone; of nobody where none were kept. They are files that are mapped, written a block
    at a time as DuckDB sorts them, within its memory and beyond it on disk.
    """
    rows = where(model_version, as_of) & (pad.field("fold") == HELD_OUT_FOLD) if held_out else where(model_version, as_of)
    columns = ["user_key", "vector", "history_events"]
    with spill.scratch(settings.home / "tmp") as folder, lake.connect(settings.duckdb_memory, temp=settings.home / "tmp") as con:
        con.register("states", lake.dataset(settings.lake, TABLE).scanner(columns=columns, filter=rows, **lake.FEW_AT_ONCE))
        reader = con.execute("FROM states ORDER BY user_key").to_arrow_reader(mapped.ROWS)
        with contextlib.ExitStack() as stack:
            files: dict[str, mapped.ArrayFile] = {}
            for batch in reader:
                arrays = {
                    "keys": user_keys.as_bytes(batch["user_key"]),
                    "vectors": batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1),
                    "events": batch["history_events"].to_numpy(),
                }
                for name, array in arrays.items():
                    if name not in files:
                        files[name] = stack.enter_context(mapped.ArrayFile(folder / f"{name}.npy", array.dtype, array.shape[1:]))
                    files[name].append(array)
        if not files:
            return UserKeys(np.empty(0, user_keys.TYPE)), np.empty((0, 0), np.float32), np.empty(0, np.int64)
        keys, vectors, events = (mapped.load(folder / f"{name}.npy") for name in ("keys", "vectors", "events"))
    return UserKeys(keys), vectors, events
