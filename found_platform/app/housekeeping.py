"""Keeping a home in order: what is no longer needed goes, a copy is made and brought back, and what is wrong is said."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case

if TYPE_CHECKING:
    from found_platform.housekeeping.garbage import Collected, Kind


@dataclass(frozen=True)
class Collect:
    """`dry_run` says what would go, and changes nothing."""

    dry_run: bool = False


@dataclass(frozen=True)
class Collection:
    """What went, by kind, and the bytes of the whole home before and after."""

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
        replaced.PAGES,
    )


@use_case(Effect.CHANGES, "gc")
def collect(context: Context, request: Collect) -> Collection:
    """Removes what is older than the home's settings say and no command asks for again."""
    from found_platform.housekeeping import garbage
    from found_platform.privacy import audit

    settings = context.settings
    before = garbage.size_of(settings.home)
    kinds = garbage.collect(settings, _kinds(), time.time(), dry_run=request.dry_run)
    went = sum(kind.before - kind.after for kind in kinds)
    after = max(0, before - went) if request.dry_run else garbage.size_of(settings.home)
    audit.record(settings, "gc", question={"dry_run": request.dry_run or None, "bytes": before - after})
    return Collection(request.dry_run, kinds, before, after)
