"""Everybody's state before a cutoff, as one model version sees it: what users are looked up, scored and compared in."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from found_platform import registry
from found_platform.embedding import users
from found_platform.errors import BadInput
from found_platform.index import snapshot
from found_platform.index.past import Past
from found_platform.index.pointer import Publication
from found_platform.index.states import LakeStates, States
from found_platform.privacy.user_keys import UserKeys
from found_platform.settings import Settings

if TYPE_CHECKING:
    from models.saved import Model


@dataclass(frozen=True, eq=False)
class Population:
    """Users and their vectors. Rows are in the order of `keys`, which is that of the alphabet."""

    settings: Settings
    model: "Model"
    version: str | None  # of the model, where it is registered
    cutoff: dt.date
    keys: UserKeys
    vectors: np.ndarray  # (U, W) what the model stores of a user
    events: np.ndarray  # (U,) events behind each vector
    states: States  # what else is known of them

    @classmethod
    def published(cls, settings: Settings, publication: Publication) -> Self:
        """What a publication holds, as files that are mapped: nobody is read before somebody asks."""
        return cls._of_snapshot(settings, snapshot.ensure(settings, publication))

    @classmethod
    def _of_snapshot(cls, settings: Settings, files: snapshot.Snapshot) -> Self:
        return cls(settings, files.model, files.version, files.cutoff, files.keys, files.vectors, files.events, files)

    @classmethod
    def stored(cls, settings: Settings, version: str, cutoff: dt.date) -> Self:
        """The states of a version in the lake."""
        keys, vectors, events = users.load(settings, version, cutoff)
        return cls.of_lake(settings, registry.load(settings, version).model, version, cutoff, keys, vectors, events)

    @classmethod
    def of_lake(
        cls,
        settings: Settings,
        model: "Model",
        version: str | None,
        cutoff: dt.date,
        keys: Sequence[str],
        vectors: np.ndarray,
        events: np.ndarray,
    ) -> Self:
        """Users (U,) in key order with these vectors (U, W) and counts of events (U,); the rest is read from the lake."""
        ordered = UserKeys.of(keys)
        states = LakeStates(settings, model, version, cutoff, ordered)
        return cls(settings, model, version, cutoff, ordered, vectors, events, states)

    @property
    def place(self) -> Path | None:
        """The folder of its snapshot; None of states that are not published."""
        return self.states.place if isinstance(self.states, snapshot.Snapshot) else None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """What is published goes to another process as its place: that one maps the same files."""
        return super().__reduce_ex__(protocol) if self.place is None else (_mapped, (self.settings.for_workers(), self.place))

    @property
    def has_history(self) -> np.ndarray:
        """(U,) bool; who has none is never looked up."""
        return self.events > 0

    @property
    def past(self) -> Past:
        """What everybody did before the cutoff."""
        return self.states.past

    @property
    def words(self) -> list[str]:
        """The texts of the past, in the order of `past.texts`."""
        return self.states.words

    @property
    def attributes(self) -> pa.Table:
        """Activity features and profile attributes of everybody (U rows), as of the cutoff."""
        return self.states.attributes


def _mapped(settings: Settings, place: Path) -> Population:
    if not place.exists():
        raise BadInput(
            f"{place} is not there for a worker of the engine: either it was published anew meanwhile, and asking again helps, or "
            "not every machine of the engine sees the home's files at the same path."
        )
    return Population._of_snapshot(settings, snapshot.opened(place))
