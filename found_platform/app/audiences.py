"""Saved audiences: previewed, saved, refreshed, listed, shown, exported, measured, forgotten."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform.app.context import Context
from found_platform.app.document import APART
from found_platform.app.use_case import Effect, use_case
from found_platform.audiences.question import Question, Size
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy.keys import Users

if TYPE_CHECKING:
    from found_platform.audiences.export import Exported
    from found_platform.audiences.lift import Lift
    from found_platform.audiences.membership import Refresh
    from found_platform.audiences.preview import Preview
    from found_platform.audiences.specification import Specification
    from found_platform.settings import Settings

BALANCED = Size(level="balanced")


@dataclass(frozen=True)
class Draft:
    """An audience as a person describes it.

    Attributes:
        exclude: users to leave out: files, or lists of ids.
        exclude_as_before: the users whom the newest version of the audience leaves out by name stay left out.
        without: saved audiences to leave out.
        holdout: share of the members to keep out of exports.
    """

    question: Question
    size: Size = BALANCED
    exclude: tuple[Users, ...] = ()
    without: tuple[str, ...] = ()
    holdout: float = 0.0
    exclude_as_before: bool = False


def specified(settings: "Settings", draft: Draft, name: str) -> "Specification":
    """Checked against the home."""
    from found_platform.audiences import specification
    from found_platform.privacy import free_texts, keys

    users: set[str] = set().union(*(keys.read_users(settings, users) for users in draft.exclude))
    if draft.exclude_as_before:
        users |= set(specification.newest(settings, name).without_users)
    question = draft.question
    free_texts.check_demand(settings, [name, question.sentence, *(question.phrases or ())], users)
    return specification.draft(
        settings,
        audience=name,
        question=draft.question,
        size=draft.size,
        without_audiences=tuple(dict.fromkeys(draft.without)),
        without_users=tuple(sorted(users)),
        holdout=draft.holdout,
    )


@dataclass(frozen=True)
class Previewing:
    """What an audience would be: a draft (for the audience `name`, where it is for one), or else the saved audience `name`.

    `plot` is a PNG to draw scores and past precision into; one that exists is replaced with `overwrite` alone.
    """

    draft: Draft | None = None
    name: str | None = None
    plot: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Previewed:
    """A specification, and what it would be."""

    specification: "Specification"
    preview: "Preview"

    def as_dict(self) -> dict[str, Any]:
        return self.preview.as_dict()


@use_case(Effect.NAMES, "preview")
def preview(context: Context, request: Previewing) -> Previewed:
    """What an audience would be now, with some of its members. Nothing is saved."""
    from found_platform.audiences import pictures, specification
    from found_platform.audiences import preview as previewing
    from found_platform.audiences.export import refuse_existing

    settings = context.settings
    if request.plot is not None and not request.overwrite:
        refuse_existing(request.plot)
    if request.draft is not None:
        described = specified(settings, request.draft, request.name or specification.UNNAMED)
    elif request.name is not None:
        described = specification.newest(settings, request.name)
    else:
        raise BadInput("Ask with a sentence, or with the name of a tuned prompt.")
    seen = previewing.preview(settings, described)
    seen = replace(seen, sample=[replace(member, user_id=context.display_name(member.user_id)) for member in seen.sample])
    if request.plot is not None:
        try:
            request.plot.write_bytes(pictures.plot(seen.histogram, seen.curve))
        except OSError as error:
            raise BadInput(f"{request.plot} cannot be written: {error.strerror or error}.") from None
    return Previewed(described, seen)


@dataclass(frozen=True)
class Listed:
    """A saved audience: its newest specification, its newest refresh, and a warning where its sentence was hardly understood or
    its size has jumped.

    `changed` is false where a refresh that was just asked for came out as the one before; None where none was.
    """

    specification: "Specification"
    refresh: "Refresh | None"
    warning: str | None = None
    changed: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        changed = {} if self.changed is None else {"changed": self.changed}
        return {**_described(self.specification), "refresh": asdict(self.refresh) if self.refresh else None, **changed}


@dataclass(frozen=True)
class Listing:
    """Saved audiences, in the order that was asked for."""

    home: Path
    audiences: tuple[Listed, ...]


@dataclass(frozen=True)
class Refreshed(Listing):
    """Audiences after a refresh. `unchanged` names those whose members stayed, `frozen` those that were passed over; `failure` says
    which could not be refreshed and why, where there are any: those keep their last members."""

    unchanged: tuple[str, ...] = field(default=(), metadata=APART)
    frozen: tuple[str, ...] = field(default=(), metadata=APART)
    failure: str | None = field(default=None, metadata=APART)


@dataclass(frozen=True)
class Save:
    """A draft to keep as the next version of the audience `name`, whose members are found at once.

    `after` is the version that it was edited from, 0 for a new audience; None keeps it whatever there is.
    """

    name: str
    draft: Draft
    after: int | None = None


@use_case(Effect.CHANGES, "save", "refresh")
def save(context: Context, request: Save) -> Listing:
    """Keeps a specification and finds its members. Where they cannot be found, the error says that the version is saved; a sentence
    that is not understood is not kept."""
    from found_platform.audiences import lookup, specification

    settings, name = context.settings, request.name
    described = specified(settings, request.draft, name)
    if name == specification.UNNAMED:
        raise BadInput(f"No audience is called {name}: choose another name.")
    if name in specification.names(settings):
        before = specification.newest(settings, name)
        specification.check_not_frozen(before)
        described = described.model_copy(update={part: getattr(before, part) for part in specification.UPKEEP})
    lookup.check_understood(settings, described.question)
    saved = specification.save(settings, described, request.after)
    try:
        _refresh(context, name)
    except (BadInput, JobFailed) as error:
        why = f"Version {saved.version} of {name} is saved, and its members could not be found: {error}"
        raise type(error)(why) from None
    return _listing(context, [name])


@use_case(Effect.CHANGES, "refresh")
def refresh(context: Context, name: str | None) -> Refreshed:
    """Finds the members of an audience anew, or of every one that is not frozen (None). One of many that fails does not stop the
    others."""
    from found_platform.audiences import membership, specification

    settings = context.settings
    if name is not None:
        specification.check_not_frozen(specification.newest(settings, name))
    names = [each.audience for each in specification.moving(settings)] if name is None else [name]
    frozen = () if name else tuple(each for each in specification.names(settings) if each not in names)
    before = {each: membership.last(settings, each) for each in names}
    failed: dict[str, Exception] = {}
    for each in names:
        try:
            _refresh(context, each)
        except (BadInput, JobFailed) as error:
            if name is not None:
                raise
            failed[each] = error
    refreshed = [each for each in names if each not in failed]
    same = tuple(each for each in refreshed if before[each] == membership.last(settings, each))
    failure = None
    if failed:
        reasons = "; ".join(f"{each}: {error}" for each, error in failed.items())
        failure = f"{len(failed)} of {len(names)} audiences keep their last members: {reasons}"
    rows = (replace(row, changed=row.specification.audience not in same) for row in _listing(context, refreshed).audiences)
    rows = tuple(row if row.changed else replace(row, warning=None) for row in rows)
    return Refreshed(settings.home, rows, same, frozen, failure)


@dataclass(frozen=True)
class Upkeep:
    """How an audience is kept: `every` hour, day, week or month its members are found anew, or never: then it is frozen.

    After a refresh they go to the destinations of `deliver_to`; with `deliver_changes` only who joined and who left since the last
    time. None leaves a part as it is. `after` is the version that it was read at; None keeps it whatever there is.
    """

    name: str
    every: str | None = None
    deliver_to: tuple[str, ...] | None = None
    deliver_changes: bool | None = None
    after: int | None = None


@use_case(Effect.CHANGES, "save")
def keep(context: Context, request: Upkeep) -> Listing:
    """Keeps how an audience is kept as its next version. Its members stay as they are until the next refresh.

    Raises Conflict where another version has been saved since `after`.
    """
    from found_platform.audiences import deliveries, specification

    upkeep = {k: v for k, v in vars(request).items() if v is not None and k not in ("name", "after")}
    for place in request.deliver_to or ():
        deliveries.check_destination(context.settings, place)
    specification.keep_so(context.settings, request.name, request.after, **upkeep)
    return _listing(context, [request.name])


def _refresh(context: Context, name: str) -> None:
    from dagster_defs import runs

    runs.refresh(context.settings, name)


@use_case(Effect.READS)
def list_saved(context: Context) -> Listing:
    """Every saved audience, by name."""
    from found_platform.audiences import specification

    return _listing(context, specification.names(context.settings))


def _listing(context: Context, names: list[str]) -> Listing:
    from found_platform.audiences import membership, specification

    settings = context.settings
    rows = []
    for name in names:
        last = membership.history(settings, name)[:2]
        jumped = membership.jump(last[1].size, last[0].size) if len(last) > 1 else None
        doubt = membership.doubt(last[0]) if last else None
        warning = "; ".join(filter(None, (doubt, jumped))) or None
        rows.append(Listed(specification.newest(settings, name), last[0] if last else None, warning))
    return Listing(settings.home, tuple(rows))


@dataclass(frozen=True)
class AudiencePage:
    """What an audience is, and its refreshes, newest first. `failure` says why the newest attempt at one brought no members, and
    `outdated` that the members are those of a version that asked something else."""

    specification: "Specification"
    refreshes: list["Refresh"]
    failure: str | None = None
    outdated: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            **_described(self.specification),
            "refreshes": [asdict(refresh) for refresh in self.refreshes],
            "failure": self.failure,
            "outdated": self.outdated,
        }


@dataclass(frozen=True)
class AudienceVersion:
    """One version of what an audience is, and by key what it changed: what was before and what is since."""

    version: int
    created_by: str
    created_at: str
    specification: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]


@use_case(Effect.READS)
def show(context: Context, name: str) -> AudiencePage:
    """One saved audience. Raises BadInput where there is none of that name."""
    from dagster_defs import failed_refresh
    from found_platform.audiences import membership, specification

    settings = context.settings
    failure = failed_refresh.why(settings, name)
    newest, refreshes = specification.newest(settings, name), membership.history(settings, name)
    outdated = specification.why_outdated(settings, newest, refreshes[0].spec_version) if refreshes else None
    return AudiencePage(newest, refreshes, failure and context.sentence(failure), outdated)


@use_case(Effect.READS)
def versions(context: Context, name: str) -> list[AudienceVersion]:
    """Every version of an audience, newest first. Raises NotFound where there is none of that name."""
    from found_platform.audiences import specification

    saved = specification.versions(context.settings, name)
    summaries = [each.summary() for each in saved]
    return [
        AudienceVersion(each.version, each.created_by, str(each.created_at), summary, _changed(summary, before))
        for each, summary, before in zip(saved, summaries, [*summaries[1:], {}], strict=True)
    ]


def _changed(summary: dict[str, Any], before: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = [key for key in {**before, **summary} if summary.get(key) != before.get(key)]
    return {key: (before.get(key), summary.get(key)) for key in keys}


@dataclass(frozen=True)
class Export:
    """The members of an audience into a file (.parquet or .csv); `with_holdout` has those of the holdout in it, marked.

    A file that exists is replaced with `overwrite` alone.
    """

    name: str
    out: Path
    with_holdout: bool = False
    overwrite: bool = False


@use_case(Effect.NAMES, "export")
def export(context: Context, request: Export) -> "Exported":
    """Writes the members by the ids of the source, and beside them where they come from."""
    from found_platform.audiences import export as exporting

    how = {"with_holdout": request.with_holdout, "overwrite": request.overwrite}
    return exporting.export(context.settings, request.name, request.out, **how)


@dataclass(frozen=True)
class Measure:
    """What an audience was worth in `days` after a refresh; `texts` and `categories` count, else what the demand matches."""

    name: str
    days: int | None = None
    texts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@use_case(Effect.READS, "lift")
def lift(context: Context, request: Measure) -> "Lift":
    """Compares the members of a past refresh with its holdout."""
    from found_platform.audiences import lift as lifting

    return lifting.measure(context.settings, request.name, days=request.days, texts=request.texts, categories=request.categories)


@dataclass(frozen=True)
class Forgotten:
    """An audience that is gone."""

    audience: str


@use_case(Effect.CHANGES, "forget")
def forget(context: Context, name: str) -> Forgotten:
    """Removes an audience and its members at every refresh; the audit keeps what was done with it."""
    from dagster_defs import runs

    runs.forget(context.settings, name)
    return Forgotten(name)


def _described(described: "Specification") -> dict[str, Any]:
    by = {"created_by": described.created_by, "created_at": described.created_at}
    return {"audience": described.audience, "version": described.version, "specification": described.summary(), **by}
