"""How long rows stay: what is too old goes, and legal holds that keep persons and tables as they are."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.privacy.keys import Users

if TYPE_CHECKING:
    from found_platform.housekeeping.expiry import Expired
    from found_platform.privacy.holds import Hold


@dataclass(frozen=True)
class Expire:
    """`dry_run` says what would go, and changes nothing."""

    dry_run: bool = False


@dataclass(frozen=True)
class Expiry:
    """What went, or would go, by name of the setting `retention`. Nothing is in it where the setting names nothing."""

    dry_run: bool
    expired: "list[Expired]"


@use_case(Effect.CHANGES, "expire")
def expire(context: Context, request: Expire) -> Expiry:
    """Lets go of rows that are older than the setting `retention` lets them be."""
    from found_platform.housekeeping import expiry

    settings, today = context.settings, dt.datetime.now(dt.UTC).date()
    if not request.dry_run:
        return Expiry(False, expiry.expire(settings, today))
    plan = expiry.plan(settings, today)
    expiry.record(settings, plan, dry_run=True)
    return Expiry(True, plan)


@dataclass(frozen=True)
class PlaceHold:
    """A name for the hold, persons by a file or by ids, whole tables, and why."""

    name: str
    users: Users | None = None
    tables: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class HoldRow:
    """A hold, without its persons: how many there are."""

    name: str
    persons: int
    tables: tuple[str, ...]
    reason: str
    since: str
    by: str


@dataclass(frozen=True)
class Placed:
    """A hold as it stands now: how many persons came to it, and how many of those the home has never seen."""

    hold: HoldRow
    added: int
    unknown: int


def _row(hold: "Hold") -> HoldRow:
    return HoldRow(hold.name, hold.persons, hold.tables, hold.reason, hold.since, hold.by)


@use_case(Effect.CHANGES, "hold add")
def place_hold(context: Context, request: PlaceHold) -> Placed:
    """Keeps persons and tables from being erased and from expiring, until the hold is removed."""
    from found_platform.privacy import audit, holds

    placed = holds.add(context.settings, request.name, request.users, request.tables, request.reason)
    question = {"hold": request.name, "tables": list(request.tables) or None}
    audit.record(context.settings, "hold add", question=question, rows=placed.added, reason=request.reason)
    return Placed(_row(placed.hold), placed.added, placed.unknown)


@use_case(Effect.CHANGES, "hold remove")
def remove_hold(context: Context, name: str) -> HoldRow:
    """Ends a hold. Raises NotFound where there is none of the name."""
    from found_platform.privacy import audit, holds

    hold = holds.remove(context.settings, name)
    audit.record(context.settings, "hold remove", question={"hold": name}, rows=hold.persons)
    return _row(hold)


@use_case(Effect.READS)
def list_holds(context: Context) -> list[HoldRow]:
    """The holds that stand, by name."""
    from found_platform.privacy import holds

    return [_row(hold) for hold in holds.all_of(context.settings)]
