"""The published snapshot: the model and everybody's state as files, written once with a publication and mapped by whoever looks up.

What belongs here: `HOME/index/states/NAME`, written whole, opened without reading it, removed with its publication. A look-up reads
nothing else of the lake, so what was published serves as it was published. Processes that map the same files share their pages.
"""

import contextlib
import datetime as dt
import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from found_platform import mapped, registry
from found_platform.cache import single_flight
from found_platform.embedding import users
from found_platform.errors import BadInput, JobFailed
from found_platform.home import lock, make_all_private, make_private
from found_platform.index.past import COLUMNS, Past, Values, date_of, day_of
from found_platform.index.pointer import Publication
from found_platform.index.states import LakeStates, PastState, States
from found_platform.privacy.user_keys import UserKeys
from found_platform.rewriting.ground import Ground
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    from models.saved import Model

FORMAT = 5
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


def write(settings: Settings, name: str, states: LakeStates, vectors: np.ndarray, events: np.ndarray) -> Path:
    """Writes the snapshot of a publication: the states of its users, with their vectors (U, W) and how many events (U,) are behind.

    It is there whole or not at all. For whoever has the turn, see `ensure`. Every file is written a block of users or events at a
    time, so that memory holds none of everybody.
    """
    from models import saved

    whole = folder(settings, name)
    partial = whole.with_name(f"{whole.name}.building")
    shutil.rmtree(partial, ignore_errors=True)
    make_private(whole.parent)
    make_private(partial)
    (partial / "model").mkdir()
    saved.save(states.model, partial / "model")
    mapped.save(partial / "keys.npy", states.keys.array)
    mapped.save(partial / "vectors.npy", vectors)
    mapped.save(partial / "events.npy", events)
    about = {"format": FORMAT, "model_version": states.version, "as_of": str(states.cutoff), "encoder": settings.text_encoder}
    about |= _save_states(partial, states)
    (partial / ABOUT).write_text(json.dumps(about, indent=1))
    make_all_private(partial)
    shutil.rmtree(whole, ignore_errors=True)
    partial.rename(whole)
    return whole


def _save_states(partial: Path, states: LakeStates) -> dict[str, Any]:
    """Writes everything but the vectors; returns what a reader has to know beside."""
    versions = states.delta_versions  # before anything is read: what comes in between is in a later version
    past, ground, moments = states.past, states.ground, states.moments
    for column in COLUMNS:
        mapped.save(partial / f"past_{column}.npy", getattr(past, column))
        mapped.save(partial / f"returned_{column}.npy", getattr(states.returned, column))
    mapped.save(partial / "texts.npy", past.texts)
    _save_table(partial / "texts.arrow", pa.table({"text": pa.array(states.words, pa.string())}))
    mapped.save(partial / "texts_learned.npy", states.learned_texts)
    mapped.save(partial / "texts_frozen.npy", states.frozen_texts)
    _save_table(partial / "attributes.arrow", states.attributes)
    with mapped.ArrayFile(partial / "volume.npy", np.int32, (past.users,)) as volume:
        for day in [*map(day_of, moments), past.day]:
            volume.append(past.volume(day)[None])
    for moment in moments:
        state = states.past_state(moment)
        _save_table(partial / f"past_state_{moment}.arrow", state.table)
        for name in PAST_STATE_ARRAYS:
            mapped.save(partial / f"past_state_{moment}_{name}.npy", getattr(state, name))
    _save_table(partial / "ground.arrow", pa.table({"item": pa.array(ground.items, pa.string()), "events": ground.events}))
    mapped.save(partial / "ground_vectors.npy", ground.vectors)
    mapped.save(partial / "ground_centre.npy", ground.centre)
    mapped.save(partial / "ground_kinds.npy", np.stack(list(ground.kinds.values())))
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
            "flags": ground.flags,
            "dates": ground.dates,
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


@single_flight(1)
def opened(where: Path) -> "Snapshot":
    """A snapshot that another process has made and asks about, opened once. Raises FileNotFoundError where it is not there."""
    return Snapshot(where)


def _write_anew(settings: Settings, published: Publication) -> None:
    as_of = dt.date.fromisoformat(published.as_of)
    keys, vectors, events = users.load(settings, published.model_version, as_of)
    if not keys:
        raise BadInput(
            f"The users of model version {published.model_version} as of {as_of} are no longer in {settings.home}: "
            f"`found publish --cutoff {as_of} --home {settings.home}` publishes them again."
        )
    model = registry.load(settings, published.model_version).model
    write(settings, published.name, LakeStates(settings, model, published.model_version, as_of, keys), vectors, events)


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

        self.place = where
        self._about = json.loads((where / ABOUT).read_text())
        files = sorted(where.iterdir())  # all are opened now: who has them open can read them when the folder is gone
        self._arrays = {f.stem: mapped.load(f) for f in files if f.suffix == ".npy"}
        self._tables = {f.stem: mapped.load_table(f) for f in files if f.suffix == ".arrow"}
        self.model: Model = saved.load(where / "model")
        self.version: str = self._about["model_version"]
        self.cutoff = dt.date.fromisoformat(self._about["as_of"])
        self.keys = UserKeys(self._arrays["keys"])
        self.vectors, self.events = self._arrays["vectors"], self._arrays["events"]
        self._past, self._returned = self._events("past"), self._events("returned")
        vars(self._past)["first_day"] = self._about["first_day"]

    def _events(self, name: str) -> Past:
        columns = {column: self._arrays[f"{name}_{column}"] for column in COLUMNS}
        return Past(self._about["day"], len(self.keys), self._arrays["texts"], columns)

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
            today=self.cutoff,
            first=date_of(self.past.first_day),
            flags=tuple(about["flags"]),
            dates=tuple(about["dates"]),
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


def _save_table(path: Path, table: pa.Table) -> None:
    mapped.save_table(path, table.to_reader(mapped.ROWS))
