"""Keeping a home in order: what is no longer needed goes, a copy is made and brought back, and what is wrong is said."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case

if TYPE_CHECKING:
    from found_platform.housekeeping.garbage import Collected, Kind
    from found_platform.housekeeping.restore import Restored


@dataclass(frozen=True)
class Collect:
    """`dry_run` says what would go, and changes nothing."""

    dry_run: bool = False


@dataclass(frozen=True)
class Collection:
    """What went, by kind, and the bytes of the whole home before and after, with those of its lake on object storage."""

    dry_run: bool
    kinds: "list[Collected]"
    before: int
    after: int


def _kinds() -> "tuple[Kind, ...]":
    """Every kind of garbage, in the order in which it goes: rows of vectors before the files that they leave."""
    from dagster_defs import old_runs
    from found_platform.housekeeping import replaced, retired

    return (
        old_runs.RUNS,
        old_runs.TICKS,
        retired.VECTORS,
        replaced.VERSIONS,
        replaced.INDEXES,
        retired.TRAINING,
        replaced.CHECKPOINTS,
        retired.RUNS,
        retired.COPIES,
        replaced.PAGES,
        replaced.UNFINISHED,
    )


@use_case(Effect.CHANGES, "gc")
def collect(context: Context, request: Collect) -> Collection:
    """Removes what is older than the home's settings say and no command asks for again."""
    from found_platform import objects
    from found_platform.housekeeping import garbage
    from found_platform.privacy import audit

    settings = context.settings
    before = garbage.size_of(settings.home) + objects.size(settings.lake)
    kinds = garbage.collect(settings, _kinds(), time.time(), dry_run=request.dry_run)
    went = sum(kind.before - kind.after for kind in kinds)
    after = max(0, before - went) if request.dry_run else garbage.size_of(settings.home) + objects.size(settings.lake)
    audit.record(settings, "gc", question={"dry_run": request.dry_run or None, "bytes": before - after})
    return Collection(request.dry_run, kinds, before, after)


@dataclass(frozen=True)
class BackedUp:
    """A backup: where, of when, and how much. `links` are left out; so are an index on a Milvus server, features in Redis, and
    records in PostgreSQL, of which it has the names of the schemas."""

    place: Path
    made_at: str
    files: int
    bytes: int
    links: list[str]
    index_elsewhere: bool
    features_elsewhere: bool
    schemas: list[str]


@use_case(Effect.CHANGES, "backup")
def back_up(context: Context, place: Path) -> BackedUp:
    """Copies the home to a new folder or archive, consistent while others work. It holds the vault and the secret."""
    from found_platform import database
    from found_platform.housekeeping import backup
    from found_platform.privacy import audit

    settings = context.settings
    audit.record(settings, "backup")  # before it, so that the copy has it too
    manifest = backup.write(settings, place)
    milvus, redis = (setting is not None for setting in (settings.milvus_uri, settings.redis_url))
    schemas = [store.schema(name) for name in database.STORES] if (store := settings.postgres) else []
    return BackedUp(place, manifest.made_at, len(manifest.files), manifest.size, manifest.links, milvus, redis, schemas)


@dataclass(frozen=True)
class Restore:
    """A backup, and the home that it replaces, or what is left of it: who was erased or suppressed since stays so."""

    source: Path
    since: Path | None = None


@use_case(Effect.CHANGES, "restore")
def restore(context: Context, request: Restore) -> "Restored":
    """Brings a backup back as the home of the context, which must not be there yet."""
    from found_platform.housekeeping import restore
    from found_platform.privacy import audit
    from found_platform.settings import Settings

    restored = restore.restore(request.source, context.home, request.since)
    reason = f"a backup of {restored.made_at}"
    if restored.erased is not None:
        reason += f"; since then {restored.erased:,} users erased and {restored.suppressed:,} suppressions entered"
    settings = Settings.load(context.existing, moving=True)  # its lake is in its folder, wherever new homes have theirs
    audit.record(settings, "restore", reason=reason)
    return restored
