"""Users and a saved audience: who is in it, who joined and left, and why one of them is in it or not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.audiences import Draft, specified
from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import BadInput, NotFound

if TYPE_CHECKING:
    from found_platform.audiences.gates import Standing
    from found_platform.audiences.membership import Refresh
    from found_platform.settings import Settings

MOST = 1000
"""Members in a page; a file of all is an export."""


@dataclass(frozen=True)
class Why:
    """One user, by the id of the source or by the pseudonym, and a draft (for the audience `name`, where it is for one), or else
    the saved audience `name`."""

    user: str
    draft: Draft | None = None
    name: str | None = None


@use_case(Effect.NAMES, "why")
def why(context: Context, request: Why) -> "Standing":
    """Why a user would be in an audience now, or which gate keeps the user out."""
    from found_platform.audiences import gates, specification
    from found_platform.privacy import audit, free_texts, keys

    settings = context.settings
    if request.draft is not None:
        question, named = request.draft.question, {request.user, keys.user_key(keys.home_secret(settings), request.user)}
        free_texts.check_demand(settings, [request.name, question.sentence, *(question.phrases or ())], named)
        described = specified(settings, request.draft, request.name or specification.UNNAMED)
    elif request.name is not None:
        described = specification.newest(settings, request.name)
    else:
        raise BadInput("Say for which audience: a saved one, or what it asks.")
    standing = gates.standing(settings, described, request.user)
    audit.record(
        settings,
        "why",
        audience=request.name,
        question=described.summary(),
        rows=int(standing.user_key is not None),
        model_version=standing.model_version,
        index_version=standing.index_version,
        reason=standing.gate or "member",
    )
    return standing


@dataclass(frozen=True)
class Page:
    """Some of the members of an audience, best first: `limit` of them from place `start` on, at a refresh, or the newest (None)."""

    name: str
    refresh: int | None = None
    start: int = 0
    limit: int = 100


@dataclass(frozen=True)
class Member:
    """A member at a refresh."""

    rank: int
    user: str
    score: float
    probability: float | None
    holdout: bool


@dataclass(frozen=True)
class Members:
    """Members from place `start` on, of `size`, and their refresh. `next` is where the next page starts; None at the end.

    A member who has no id in the vault any more is named by the pseudonym.
    """

    audience: str
    refresh: int
    as_of: str
    model_version: str
    index_version: str
    size: int
    start: int
    next: int | None
    members: tuple[Member, ...]


@use_case(Effect.NAMES, "members")
def page(context: Context, request: Page) -> Members:
    """Who is in an audience. Raises BadInput where it has no members yet, NotFound for a refresh that there is not."""
    from found_platform.audiences import membership
    from found_platform.privacy import audit, keys

    settings, start = context.settings, request.start
    if not 1 <= request.limit <= MOST or start < 0:
        raise BadInput(f"A page has 1 to {MOST:,} members, from place 0 on: {request.limit} from {start} were asked for.")
    of = _refresh_of(settings, request.name, request.refresh)
    rows = membership.members(settings, of).slice(start, request.limit).to_pylist()
    names = keys.user_ids(settings, [row["user_key"] for row in rows]) if context.reveal else {}
    audit.record(
        settings,
        "members",
        audience=request.name,
        rows=len(rows),
        model_version=of.model_version,
        index_version=of.index_version,
        reason=f"refresh {of.refresh}, from place {start + 1}",
    )
    return Members(
        audience=request.name,
        refresh=of.refresh,
        as_of=str(of.as_of),
        model_version=of.model_version,
        index_version=of.index_version,
        size=of.size,
        start=start,
        next=start + len(rows) if rows and start + len(rows) < of.size else None,
        members=tuple(
            Member(start + i, names.get(r["user_key"]) or r["user_key"], r["score"], r["probability"], r["holdout"])
            for i, r in enumerate(rows, 1)
        ),
    )


@dataclass(frozen=True)
class MovesOf:
    """Who joined and who left an audience at a refresh, or the newest (None): `limit` of each are named, from place `start` on."""

    name: str
    refresh: int | None = None
    limit: int = 100
    start: int = 0


@dataclass(frozen=True)
class Move:
    """A user who joined or left. `because` is the gate that keeps out now who left; None where it is not known any more."""

    user: str
    because: str | None = None


@dataclass(frozen=True)
class Moves:
    """Joins and leaves at a refresh, against the one before. `reasons` counts the leaves by gate; it is there for the newest
    refresh alone, and only while what it was made from is published. `next` is where the next page starts; None at the end."""

    audience: str
    refresh: int
    as_of: str
    joins: int
    leaves: int
    joined: tuple[Move, ...]
    left: tuple[Move, ...]
    reasons: Mapping[str, int]
    next: int | None


@use_case(Effect.NAMES, "moves")
def moves(context: Context, request: MovesOf) -> Moves:
    """Who joined and who left at a refresh, and why those left."""
    from found_platform import index
    from found_platform.audiences import gates, membership, specification
    from found_platform.privacy import audit, keys

    settings = context.settings
    of = _refresh_of(settings, request.name, request.refresh)
    joined, left = membership.moved(settings, request.name, of.refresh)
    reasons: dict[str, str] = {}
    newest = membership.last(settings, request.name)
    published = index.live(settings).name.removesuffix(".db") == of.index_version
    if left and newest is not None and newest.refresh == of.refresh and published:
        described = specification.newest(settings, request.name)
        reasons = gates.first_gates(settings, described, left, of.index_version)
    page = slice(request.start, request.start + request.limit)
    named = [*joined[page], *left[page]]
    names = keys.user_ids(settings, named) if context.reveal and named else {}
    reason = f"refresh {of.refresh}"
    audit.record(settings, "moves", audience=request.name, rows=len(named), model_version=of.model_version, reason=reason)
    return Moves(
        audience=request.name,
        refresh=of.refresh,
        as_of=str(of.as_of),
        joins=len(joined),
        leaves=len(left),
        joined=tuple(Move(names.get(key) or key) for key in joined[page]),
        left=tuple(Move(names.get(key) or key, reasons.get(key)) for key in left[page]),
        reasons=dict(Counter(reasons.values()).most_common()),
        next=page.stop if page.stop < max(len(joined), len(left)) else None,
    )


def _refresh_of(settings: "Settings", name: str, number: int | None) -> "Refresh":
    """A refresh of an audience, or the newest."""
    from found_platform.audiences import membership, specification

    specification.newest(settings, name)
    refreshes = membership.history(settings, name)
    if not refreshes:
        raise BadInput(f"The audience {name!r} has no members yet: refresh it first.")
    of = refreshes[0] if number is None else next((r for r in refreshes if r.refresh == number), None)
    if of is None:
        raise NotFound(f"There is no refresh {number} of {name!r}: there are 1 to {refreshes[0].refresh}.")
    return of
