"""Model versions, and which of them serves: listed, shown, published, promoted, taken back."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform.app.context import Context
from found_platform.app.document import APART
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import parse_day
from found_platform.errors import BadInput, NotFound
from found_platform.home import option

if TYPE_CHECKING:
    from found_platform.index.pointer import Publication
    from found_platform.registry import Version
    from found_platform.settings import Settings


@dataclass(frozen=True)
class VersionRow:
    """A registered version; the roles that it has are its aliases but those of cutoffs. `unjudged` says why the
    gate could not judge it, where it could not; `erased_persons` from how many it has learned who were erased since, and `retires`
    the day by which it must not serve any more then."""

    version: "Version"
    roles: list[str] = field(metadata=APART)
    unjudged: str | None = field(metadata=APART)
    erased_persons: int = 0
    retires: dt.date | None = None

    @property
    def about_erased(self) -> str | None:
        """The sentence about them."""
        who = "a person who was" if self.erased_persons == 1 else f"{self.erased_persons:,} persons who were"
        if not self.retires:
            return None
        late = self.retires < dt.datetime.now(dt.UTC).date()
        return f"It has learned from {who} erased since: train again by {self.retires}{', which is over' if late else ''}"

    def as_dict(self) -> dict[str, Any]:
        figures = json.loads(self.version.tags.get("gate_figures", "{}"))
        tags = {**self.version.tags, "gate_figures": figures}
        return {
            "version": self.version.version,
            "created": self.version.created,
            "aliases": self.version.aliases,
            "tags": tags,
            "erased_persons": self.erased_persons,
            "retires": self.retires,
        }


@use_case(Effect.READS)
def list_versions(context: Context) -> list[VersionRow]:
    """The model versions, newest first."""
    from found_platform import registry

    return [_row(context.settings, version) for version in registry.versions(context.settings)]


def _row(settings: "Settings", version: "Version") -> VersionRow:
    from found_platform import registry
    from found_platform.erasure import ledger

    roles = [alias for alias in version.aliases if not alias.startswith("cutoff-")]
    unjudged = version.tags["gate_reason"] if version.tags.get("gate") == registry.NOT_JUDGED else None
    if registry.ROLLED_BACK in version.tags:
        roles.append("rolled back")
    influence = ledger.influences(settings, ledger.VERSIONS).get(version.version)
    if influence is None:
        return VersionRow(version, roles, unjudged)
    return VersionRow(version, roles, unjudged, influence.persons, influence.retires)


@dataclass(frozen=True)
class VersionPage:
    """A version and its card, which is Markdown."""

    row: VersionRow
    card: str

    def as_dict(self) -> dict[str, Any]:
        return {**self.row.as_dict(), "card": self.card}


@use_case(Effect.READS)
def show(context: Context, name: str) -> VersionPage:
    """One version, by number or alias. Raises BadInput that names those that there are."""
    from found_platform import registry

    versions = {v.version: v for v in registry.versions(context.settings)}
    number = name if name in versions else next((v.version for v in versions.values() if name in v.aliases), None)
    if number is None:
        existing = ", ".join(versions) or "none"
        raise NotFound(
            f"There is no model version {name!r} in {context.home}: there are {existing}, and the aliases of `found model list`."
        )
    return VersionPage(_row(context.settings, versions[number]), registry.card(context.settings, number))


@dataclass(frozen=True)
class Service:
    """What serves: the champion among the versions, and the index that answers look-ups."""

    champion: str | None
    index: "Publication | None"


@dataclass(frozen=True)
class Moved:
    """What served before and what serves now. `prompts` says by name how each saved prompt follows."""

    home: Path
    before: Service
    after: Service
    prompts: Mapping[str, str]


def _service(settings: "Settings") -> Service:
    from found_platform import registry
    from found_platform.index import pointer

    live = pointer.live(settings) if pointer.exists(settings) else None
    return Service(registry.version_of(settings, registry.CHAMPION), live)


@use_case(Effect.CHANGES, "publish")
def publish(context: Context, cutoff: str) -> Moved:
    """Runs the last assets of a cutoff: states, promotion and prompts where they are stale, the index in any case."""
    from dagster_defs import runs
    from found_platform import registry
    from found_platform.privacy import audit

    settings = context.settings
    day = parse_day(cutoff, "--cutoff")
    version = registry.serving(settings, str(day))
    if version is None:
        raise BadInput(f"No model of the cutoff {day} is registered: run `found demo --cutoff {day}{option(context.home)}` first.")
    if (wait := registry.reason_to_wait(settings, version)) is not None:
        raise BadInput(
            f"Model version {version} of the cutoff {day} does not serve, since {wait}: "
            f"`found promote --version {version}{option(context.home)}` makes it the champion and publishes it."
        )
    before = _service(settings)
    audit.record(settings, "publish", question={"cutoff": str(day)}, model_version=version)
    runs.publish(settings, day)
    return Moved(settings.home, before, _service(settings), {})


@use_case(Effect.CHANGES, "promote")
def promote(context: Context, version: str | None = None) -> Moved:
    """Makes a version that passed the gate, by default the candidate, the champion, and publishes its users."""
    from dagster_defs import runs
    from found_platform import registry
    from found_platform.privacy import audit

    settings = context.settings
    version = version or registry.candidate(settings)
    before = _service(settings)
    registry.check_promotable(settings, version)
    reason = f"version {before.champion} was the champion" if before.champion else "the first champion"
    audit.record(settings, "promote", model_version=version, reason=reason)
    change = runs.promote(settings, version)
    return Moved(settings.home, before, _service(settings), change.prompts)


@use_case(Effect.CHANGES, "rollback")
def roll_back_model(context: Context) -> Moved:
    """Makes the champion before this one serve again, with its index."""
    from dagster_defs import runs
    from found_platform import registry
    from found_platform.privacy import audit

    settings = context.settings
    before = _service(settings)
    bad, good = registry.champion_and_previous(settings)
    audit.record(settings, "rollback", model_version=good, reason=f"version {bad} was the champion")
    change = runs.rollback(settings)
    return Moved(settings.home, before, _service(settings), change.prompts)


@use_case(Effect.CHANGES, "rollback index")
def roll_back_index(context: Context) -> Moved:
    """Goes back to the index published before this one; the champion stays."""
    from dagster_defs import runs
    from found_platform import index
    from found_platform.privacy import audit

    settings = context.settings
    before = _service(settings)
    change = runs.rollback_index(settings)
    live = index.live(settings)
    audit.record(
        settings,
        "rollback index",
        model_version=live.model_version,
        index_version=live.name.removesuffix(".db"),
        reason=f"from {before.index.name.removesuffix('.db') if before.index else 'none'}",
    )
    return Moved(settings.home, before, _service(settings), change.prompts)
