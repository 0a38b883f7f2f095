"""A person chooses which model serves: the champion and the index move together, and reruns leave the choice alone.

The index goes first, since building it is what can fail; the same call ends what was interrupted.
"""

import datetime as dt
from dataclasses import dataclass

from found_platform import registry
from found_platform.embedding import users
from found_platform.index import milvus, pointer, publishing
from found_platform.index.pointer import Publication
from found_platform.settings import Settings


@dataclass(frozen=True)
class Change:
    """The champion and the live index, before and after."""

    champion: tuple[str | None, str]
    index: tuple[Publication | None, Publication]


def promote(settings: Settings, version: str | None = None) -> Change:
    """Makes a version, by default the candidate, the champion, and publishes its users as of its cutoff.

    Raises BadInput as `registry.candidate`, and where there is no such version or its stored verdict does not pass.
    """
    version = version or registry.candidate(settings)
    registry.check_promotable(settings, version)
    champion, before = registry.version_of(settings, registry.CHAMPION), _live(settings)
    live = before if before and before.model_version == version else _publish(settings, version, replaces_bad=False)
    registry.promote(settings, version)
    registry.hold(settings)
    return Change((champion, version), (before, live))


def rollback(settings: Settings) -> Change:
    """Makes the version before it the champion again, and its index live: the previous one, or else one built from its states.

    Raises BadInput when there is no earlier champion.
    """
    bad, good = registry.champion_and_previous(settings)
    before = _live(settings)
    if before and before.model_version == good:
        live = before
    elif before and _previous_is(settings, good):
        live = publishing.rollback(settings)[1]
    else:
        live = _publish(settings, good, replaces_bad=True)
    registry.rollback(settings)
    registry.hold(settings)
    return Change((bad, good), (before, live))


def _live(settings: Settings) -> Publication | None:
    return pointer.live(settings) if pointer.exists(settings) else None


def _previous_is(settings: Settings, version: str) -> bool:
    previous = pointer.read(settings).previous
    return previous is not None and previous.model_version == version and milvus.store(settings).exists(previous.name)


def _publish(settings: Settings, version: str, *, replaces_bad: bool) -> Publication:
    """Publishes the users of a version as of its cutoff, whose states are computed where they are no longer in the lake."""
    cutoff = next(v.tags["cutoff"] for v in registry.versions(settings) if v.version == version)
    day = dt.date.fromisoformat(cutoff)
    if not users.are_kept(settings, version, day):
        users.embed(settings, registry.load(settings, version), day)
    return publishing.publish(settings, version, day, replaces_bad=replaces_bad)
