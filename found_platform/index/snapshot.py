"""The published snapshot: the model and everybody's state as files, written once with a publication and mapped by whoever looks up.

What belongs here: `HOME/index/states/NAME`, written whole, opened without reading it, removed with its publication. A look-up reads
nothing else of the lake, so what was published serves as it was published. Processes that map the same files share their pages.
"""

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from found_platform import registry
from found_platform.embedding import users
from found_platform.errors import BadInput, JobFailed
from found_platform.home import lock, make_all_private, make_private
from found_platform.index.past import COLUMNS, Past, Values, date_of, day_of
from found_platform.index.pointer import Publication
from found_platform.index.states import LakeStates, PastState, States
from found_platform.index.user_keys import UserKeys
from found_platform.rewriting.ground import Ground
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model

FORMAT = 4
"""Of the files. A snapshot in another format is written anew."""

TRIES = 3
ABOUT = "about.json"
PAST_STATE_ARRAYS = ("rows", "held_out", "learned")


def folder(settings: Settings, name: str) -> Path:
    """Where the snapshot of a publication lies."""
    return settings.home / "index" / "states" / name.removesuffix(".db")


def attribute_columns(settings: Settings, name: str) -> pa.Schema | None:
    """The columns of what is kept of users in the snapshot of a publication; None where it has none yet."""
    path = folder(settings, name) / "attributes.arrow"
    return pa.ipc.open_file(pa.memory_map(str(path))).schema if path.exists() else None


def write(
    settings: Settings, name: str, version: str, as_of: dt.date, keys: Sequence[str], vectors: np.ndarray, events: np.ndarray
) -> Path:
    """Writes the snapshot of a publication: keys (U,) in order, vectors (U, W) and events (U,) are the states of a model version.

    It is there whole or not at all. For whoever has the turn, see `ensure`.
    """
    from models import saved

    model = registry.load(settings, version).model
    ordered = UserKeys.of(keys)
    states = LakeStates(settings, model, version, as_of, ordered)
    whole = folder(settings, name)
    partial = whole.with_name(f"{whole.name}.building")
    shutil.rmtree(partial, ignore_errors=True)
    make_private(whole.parent)
    make_private(partial)
    (partial / "model").mkdir()
    saved.save(model, partial / "model")
    _save(partial / "keys.npy", ordered.array)
    _save(partial / "vectors.npy", vectors)
    _save(partial / "events.npy", events)
    about = {"format": FORMAT, "model_version": version, "as_of": str(as_of), "encoder": settings.text_encoder}
    about |= _save_states(partial, states)
    (partial / ABOUT).write_text(json.dumps(about, indent=1))
    make_all_private(partial)
    shutil.rmtree(whole, ignore_errors=True)
    partial.rename(whole)
    return whole


def _save_states(partial: Path, states: States) -> dict[str, Any]:
    """Writes everything but the vectors; returns what a reader has to know beside."""
    versions = states.delta_versions  # before anything is read: what comes in between is in a later version
    past, ground, moments = states.past, states.ground, states.moments
    for column in COLUMNS:
        _save(partial / f"past_{column}.npy", getattr(past, column))
        _save(partial / f"returned_{column}.npy", getattr(states.returned, column))
    _save(partial / "texts.npy", past.texts)
    _save_table(partial / "texts.arrow", pa.table({"text": pa.array(states.words, pa.string())}))
    _save(partial / "texts_learned.npy", states.learned_texts)
    _save(partial / "texts_frozen.npy", states.frozen_texts)
    _save_table(partial / "attributes.arrow", states.attributes)
    days = [*map(day_of, moments), past.day]
    _save(partial / "volume.npy", np.stack([states.volume(day) for day in days]))
    for moment in moments:
        state = states.past_state(moment)
        _save_table(partial / f"past_state_{moment}.arrow", state.table)
        for name in PAST_STATE_ARRAYS:
            _save(partial / f"past_state_{moment}_{name}.npy", getattr(state, name))
    _save_table(partial / "ground.arrow", pa.table({"item": pa.array(ground.items, pa.string()), "events": ground.events}))
    _save(partial / "ground_vectors.npy", ground.vectors)
    _save(partial / "ground_centre.npy", ground.centre)
    _save(partial / "ground_kinds.npy", np.stack(list(ground.kinds.values())))
    return {
        "delta_versions": versions,
        "first_day": past.first_day,
        "day": past.day,
        "moments": list(map(str, moments)),
        "values": states.values,
        "ground": {
            "texts": ground.texts,
            "kinds": list(ground.kinds),
            "payment_methods": ground.payment_methods,
            "statuses": ground.statuses,
            "numbers": ground.numbers,
            "attributes": ground.attributes,
            "returns": ground.returns,
        },
    }


def ensure(settings: Settings, published: Publication) -> "Snapshot":
    """The snapshot of a publication. One that was made before there were snapshots gets its own now, once, from the lake.

    Raises BadInput where the publication's states are no longer in the lake.
    """
    where = folder(settings, published.name)
    for _ in range(TRIES):
        if not _is_whole(where):
            with lock(settings.home, f"states-{where.name}"):
                if not _is_whole(where):
                    _write_anew(settings, published)
        with contextlib.suppress(FileNotFoundError):  # replaced by another process since
            return Snapshot(where)
    raise JobFailed(f"The snapshot {where} is removed as soon as it is written: is `found publish` running again and again?")


def _write_anew(settings: Settings, published: Publication) -> None:
    as_of = dt.date.fromisoformat(published.as_of)
    keys, vectors, events = users.load(settings, published.model_version, as_of)
    if not keys:
        raise BadInput(
            f"The users of model version {published.model_version} as of {as_of} are no longer in {settings.home}: "
            f"`found publish --cutoff {as_of} --home {settings.home}` publishes them again."
        )
    write(settings, published.name, published.model_version, as_of, keys, vectors, events)


def _is_whole(where: Path) -> bool:
    try:
        return json.loads((where / ABOUT).read_text())["format"] == FORMAT
    except FileNotFoundError:
        return False


def keep(settings: Settings, names: set[str]) -> None:
    """Removes the snapshot of every other publication. Who has one open goes on reading it."""
    kept = {folder(settings, name).name for name in names}
    states = settings.home / "index" / "states"
    for path in states.glob("*") if states.exists() else ():
        if path.name.removesuffix(".building") not in kept:
            shutil.rmtree(path, ignore_errors=True)


class Snapshot(States):
    """An open snapshot; see `States`. Its arrays are files, mapped and read as they are touched."""

    def __init__(self, where: Path):
        from models import saved

        self._about = json.loads((where / ABOUT).read_text())
        files = sorted(where.iterdir())  # all are opened now: who has them open can read them when the folder is gone
        self._arrays = {f.stem: _mapped(f) for f in files if f.suffix == ".npy"}
        self._tables = {f.stem: _mapped_table(f) for f in files if f.suffix == ".arrow"}
        self.model: Model = saved.load(where / "model")
        self.version: str = self._about["model_version"]
        self.cutoff = dt.date.fromisoformat(self._about["as_of"])
        self.keys = UserKeys(self._arrays["keys"])
        self.vectors, self.events = self._arrays["vectors"], self._arrays["events"]
        self._past, self._returned = self._events("past"), self._events("returned")
        vars(self._past)["first_day"] = self._about["first_day"]

    def _events(self, name: str) -> Past:
        columns = {column: self._arrays[f"{name}_{column}"] for column in COLUMNS}
        return Past(self._about["day"], len(self.keys), self._arrays["texts"], **columns)

    @property
    def delta_versions(self) -> dict[str, int]:
        """See `States`."""
        return self._about["delta_versions"]

    @property
    def past(self) -> Past:
        """See `States`."""
        return self._past

    @property
    def returned(self) -> Past:
        """See `States`."""
        return self._returned

    @property
    def values(self) -> Values:
        """See `States`."""
        return self._about["values"]

    @cached_property
    def words(self) -> list[str]:
        """See `States`."""
        return self._tables["texts"]["text"].to_pylist()

    @property
    def learned_texts(self) -> np.ndarray:
        """See `States`."""
        return self._arrays["texts_learned"]

    @property
    def frozen_texts(self) -> np.ndarray:
        """See `States`."""
        return self._arrays["texts_frozen"]

    @property
    def attributes(self) -> pa.Table:
        """See `States`."""
        return self._tables["attributes"]

    @cached_property
    def ground(self) -> Ground:
        """See `States`."""
        about, table = self._about["ground"], self._tables["ground"]
        return Ground(
            encoder=text_vectors.encoder(self._about["encoder"]),
            items=table["item"].to_pylist(),
            texts=about["texts"],
            events=table["events"].to_numpy(),
            kinds=dict(zip(about["kinds"], self._arrays["ground_kinds"], strict=True)),
            vectors=self._arrays["ground_vectors"],
            centre=self._arrays["ground_centre"],
            payment_methods=about["payment_methods"],
            statuses=about["statuses"],
            numbers=about["numbers"],
            attributes=about["attributes"],
            returns=about["returns"],
        )

    @cached_property
    def moments(self) -> list[dt.date]:
        """See `States`."""
        return [dt.date.fromisoformat(day) for day in self._about["moments"]]

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        name = f"past_state_{moment}"
        arrays = {array: self._arrays[f"{name}_{array}"] for array in PAST_STATE_ARRAYS}
        return PastState(table=self._tables[name], **arrays)

    def volume(self, day: int) -> np.ndarray:
        """See `States`."""
        place = self.moments.index(date_of(day)) if day != self.past.day else -1
        return self._arrays["volume"][place]


def _save(path: Path, array: np.ndarray) -> None:
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def _save_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _mapped(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _mapped_table(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
