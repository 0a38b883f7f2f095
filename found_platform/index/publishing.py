"""Blue/green publishing: a new index is built out of sight, its users are counted and its recall is checked, and everybody's states
are written beside it; then the pointer moves, and it can move back.

The publish step itself reads the stored gate verdict again.
"""

import datetime as dt

import numpy as np

from found_platform import home, registry
from found_platform.embedding import users
from found_platform.errors import BadInput, JobFailed
from found_platform.index import milvus, pointer, recall, snapshot
from found_platform.index.milvus_server import BEGUN
from found_platform.index.pointer import Publication
from found_platform.index.states import LakeStates
from found_platform.settings import Settings

LOCK = "publishing"
"""Of the one publisher of a home. A rollback does not wait for it."""


def is_live(settings: Settings, model_version: str, as_of: str) -> bool:
    """Whether the published index is of this model version and day, and is there."""
    if not pointer.exists(settings):
        return False
    publication = pointer.live(settings)
    return (publication.model_version, publication.as_of) == (model_version, as_of) and milvus.store(settings).exists(
        publication.name
    )


def publish(settings: Settings, version: str, as_of: dt.date, *, replaces_bad: bool = False, forgets: bool = False) -> Publication:
    """Builds, counts and checks a new index, then moves the pointer. The one before the last is removed when nobody reads it.

    Where it `replaces_bad`, what is live now is taken back by it, and where it `forgets`, that holds erased users: it is no place
    for a later rollback to go. Publishers take turns.
    Raises BadInput when the version's stored verdict does not pass, JobFailed when the new index is not sound; the live one stays.
    """
    if not registry.gate_passed(settings, version):
        raise BadInput(f"Model version {version} is not published: its stored gate verdict does not pass.")
    keys, vectors, events = users.load(settings, version, as_of)
    states = LakeStates(settings, registry.load(settings, version).model, version, as_of, keys)
    states.delta_versions  # noqa: B018 (kept from now on: what comes in while it is read is in a later version)
    states.check_attributes()
    with_history = events > 0  # nobody without one is ever found
    if not (count := np.count_nonzero(with_history)):
        raise JobFailed("No user has any history as of this day: there is nothing to publish.")
    store = milvus.store(settings)
    with home.lock(settings.home, LOCK):
        name = f"v{version}-{as_of}-{dt.datetime.now(dt.UTC):{BEGUN}}.db"
        with store.build(name) as collection:
            collection.fill(keys, vectors, states.attributes, with_history, settings.milvus_index)
            if (present := collection.count()) != count:
                raise JobFailed(f"The new index holds {present} users instead of {count}.")
            recall_checks = recall.measure(collection.search, keys, vectors, states.attributes, with_history)
        publication = Publication(name, version, str(as_of), int(count), recall_checks[0].recall, pointer.now(), recall_checks)
        if publication.recall < recall.SOUND:
            raise JobFailed(f"The new index finds only {publication.recall:.1%} of the exact neighbours, under {recall.SOUND:.0%}.")
        snapshot.write(settings, name, states, vectors, events)
        with pointer.turn(settings):
            old = pointer.live(settings) if pointer.exists(settings) and not (replaces_bad or forgets) else None
            store.point(name)
            event = pointer.REBUILT if forgets else pointer.ROLLED_BACK if replaces_bad else pointer.PUBLISHED
            pointer.move(settings, event, publication, old)
            kept = {p.name for p in (publication, old) if p}
            store.keep(kept)
            snapshot.keep(settings, kept)
    return publication


def rollback(settings: Settings) -> tuple[Publication, Publication]:
    """Points at the previous publication again. Returns what was taken back, and what is live now.

    What was taken back is kept until the next publication, but it is not `previous`: a second rollback does not go forward. Raises
    BadInput when there is nothing to go back to.
    """
    with pointer.turn(settings):
        current = pointer.read(settings)
        if current.previous is None:
            raise BadInput(
                f"There is no earlier index to go back to: {current.live.name} is the only one. "
                f"`found publish --cutoff {current.live.as_of}{home.option(settings.home)}` builds another."
            )
        store = milvus.store(settings)
        if not store.exists(current.previous.name):
            raise BadInput(
                f"The earlier index {current.previous.name} is gone: "
                f"`found publish --cutoff {current.previous.as_of}{home.option(settings.home)}` builds it again."
            )
        store.point(current.previous.name)
        pointer.move(settings, pointer.ROLLED_BACK, current.previous, None)
    return current.live, current.previous
