"""What an audience is: the question, who is left out, how many, and the holdout. Every version that was saved is kept."""

import datetime as dt
import graphlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.dataset as pad
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from found_platform import home, index, lake
from found_platform.audiences import lookup
from found_platform.audiences.question import Question, Size
from found_platform.contract import TIMESTAMP
from found_platform.errors import BadInput, Conflict, NotFound
from found_platform.privacy import actor, audit
from found_platform.scoring import filters
from found_platform.settings import Settings

TABLE = "audience_specifications"
SCHEMA = pa.schema(
    [
        pa.field("audience", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("specification", pa.string(), nullable=False),
        pa.field("without_users", pa.list_(pa.string()), nullable=False),
        pa.field("created_by", pa.string(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
    ]
)
"""`specification` is JSON and holds all that no user is named in; `without_users` has user keys."""

UNNAMED = "preview"
UPKEEP = ("every", "deliver_to", "deliver_changes")
"""What says how an audience is kept: an edit of the question leaves it as it is."""
Every = Literal["hour", "day", "week", "month", "never"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Specification(BaseModel):
    """One version of an audience. `version` is 0 until it is saved.

    `holdout` is the share of the members who are kept out of exports, so that what the audience is worth can be measured. The size
    may also be given by its parts, `top`, `level` or `min_score`, as versions of before sizes were objects are kept.

    `every` says how often its members are found anew without anybody asking; an audience of `never` is frozen, and keeps the
    members that it has. After a refresh they go to the destinations of `deliver_to`, with `deliver_changes` only who joined and who
    left.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    audience: Name = UNNAMED
    version: int = 0
    question: Question
    without_audiences: tuple[Name, ...] = ()
    without_users: tuple[str, ...] = ()  # user keys
    size: Size
    holdout: float = Field(0.0, ge=0, le=0.5)
    every: Every = "day"
    deliver_to: tuple[Name, ...] = ()
    deliver_changes: bool = False
    created_by: str = ""
    created_at: dt.datetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _size_of_parts(cls, data: dict[str, Any]) -> dict[str, Any]:
        if "size" in data:
            return data
        parts = {f.name: data.get(f.name) for f in fields(Size)}
        return {**{k: v for k, v in data.items() if k not in parts}, "size": Size(**parts)}

    def summary(self) -> dict[str, Any]:
        """What was asked, for the audit and for provenance: no user is named in it."""
        question = {k: v for k, v in self.question.as_dict().items() if v is not None}
        left_out = {"without_audiences": list(self.without_audiences) or None, "without_users": len(self.without_users) or None}
        sent = {"deliver_to": list(self.deliver_to) or None, "deliver_changes": self.deliver_changes or None}
        kept = {"every": None if self.every == "day" else self.every, **sent}
        parts = {**question, **left_out, **asdict(self.size), "holdout": self.holdout, **kept}
        return {k: v for k, v in parts.items() if v is not None}

    def asks_as(self, other: "Specification") -> bool:
        """Whether another version finds the same members: it may be kept otherwise."""
        apart = {"version", "created_by", "created_at", *UPKEEP}
        return self.model_dump(mode="json", exclude=apart) == other.model_dump(mode="json", exclude=apart)

    @property
    def is_frozen(self) -> bool:
        return self.every == "never"


def draft(settings: Settings, **parts: Any) -> Specification:
    """A specification of these fields, checked against the home: its filter, its demand, the audiences it leaves out.

    Raises BadInput that names what cannot be used.
    """
    try:
        drafted = Specification(**parts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{where} is {first['input']!r}: " if where else ""
        why = first["msg"].removeprefix("Value error, ").removesuffix(".")
        if where == "audience" or where.startswith("without_audiences"):
            why = "an audience's name is of small letters, digits, - and _, 64 at most, and starts with a letter or a digit"
        raise BadInput(f"{what}{why}.") from None
    lookup.check(drafted.question)
    if drafted.question.where:
        filters.parse(drafted.question.where, index.filter_columns(settings))
    for name in drafted.without_audiences:
        newest(settings, name)
    try:
        _order({**_without(all_newest(settings)), drafted.audience: drafted.without_audiences})
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        raise BadInput(f"The audiences leave one another out in a circle: {circle}. Leave one of them in.") from None
    return drafted


def save(settings: Settings, drafted: Specification, after: int | None = None) -> Specification:
    """Keeps a specification as the next version of its audience, made now by whoever asks; one that is the newest already stays.

    Args:
        after: the version that it was edited from, 0 for a new audience; None keeps it whatever there is.

    Raises Conflict where another version has been saved since.
    """
    with home.lock(settings.home, f"{TABLE}.version"):
        before = max(_rows(settings, drafted.audience), key=lambda r: r["version"], default=None)
        number = before["version"] if before else 0
        if after is not None and after != number:
            if before is None:
                raise Conflict(f"The audience {drafted.audience!r} is gone: somebody removed it since you read version {after}.")
            when = f"{before['created_at']:%Y-%m-%d %H:%M} UTC"
            by = f"{before['created_by']} saved version {number} of {drafted.audience!r} at {when}"
            yours = f"after you read version {after}" if after else "so the name is taken"
            raise Conflict(f"{by}, {yours}: nothing is overwritten. Look at that version, then save yours again.")
        # the row comes first: a process that is killed in between has said more than it did, and never less
        if before is not None and _content(newest(settings, drafted.audience)) == _content(drafted):
            audit.record(
                settings, "save", audience=drafted.audience, question=drafted.summary(), reason=f"version {number}, as it was"
            )
            return newest(settings, drafted.audience)
        stamp = {"version": number + 1, "created_by": str(actor.current())}
        drafted = drafted.model_copy(update={**stamp, "created_at": dt.datetime.now(dt.UTC)})
        audit.record(settings, "save", audience=drafted.audience, question=drafted.summary(), reason=f"version {drafted.version}")
        row = {
            "audience": drafted.audience,
            "version": drafted.version,
            "specification": drafted.model_dump_json(exclude={"without_users"}),
            "without_users": list(drafted.without_users),
            "created_by": drafted.created_by,
            "created_at": drafted.created_at,
        }
        lake.append(settings.lake, TABLE, pa.Table.from_pylist([row], SCHEMA), schema=SCHEMA)
    return drafted


def _content(specification: Specification) -> dict[str, Any]:
    """What a specification says, without who saved it and when."""
    return specification.model_dump(mode="json", exclude={"version", "created_by", "created_at"})


def keep_so(settings: Settings, audience: str, read: int | None = None, **upkeep: Any) -> Specification:
    """Keeps how an audience is kept (`every`, `deliver_to`, `deliver_changes`) as its next version; all else stays.

    Raises NotFound where there is no audience of that name, BadInput for what cannot be used, and Conflict where another version
    than the one that was `read` is the newest.
    """
    before = newest(settings, audience)
    try:
        after = Specification(**{**dict(before), **upkeep})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}.") from None
    read = before.version if read is None else read
    return before if after == before and read == before.version else save(settings, after, read)


def newest(settings: Settings, audience: str) -> Specification:
    """The newest version of an audience. Raises BadInput where there is none of that name."""
    rows = _rows(settings, audience)
    if not rows:
        saved_names = ", ".join(names(settings)) or "none yet: `found audience save` makes one"
        raise NotFound(f"There is no audience {audience!r} in {settings.home}; there are {saved_names}.")
    return _read(max(rows, key=lambda r: r["version"]))


def versions(settings: Settings, audience: str) -> list[Specification]:
    """Every version of an audience, newest first. Raises as `newest`."""
    newest(settings, audience)
    return [_read(row) for row in sorted(_rows(settings, audience), key=lambda r: -r["version"])]


def version(settings: Settings, audience: str, number: int) -> Specification:
    """A version that was saved."""
    return next(_read(r) for r in _rows(settings, audience) if r["version"] == number)


def why_outdated(settings: Settings, newest_version: Specification, number: int) -> str | None:
    """That members of version `number` are those of another question than the newest asks; None where they are its own."""
    if number == newest_version.version or newest_version.asks_as(version(settings, newest_version.audience, number)):
        return None
    return (
        f"The members here are those of version {number}, and version {newest_version.version} asks something else: its refresh is "
        "under way, or was stopped. Refresh it where it does not come."
    )


def names(settings: Settings) -> list[str]:
    """The saved audiences, in the order of the alphabet."""
    if not lake.exists(settings.lake, TABLE):
        return []
    return sorted(set(lake.read(settings.lake, TABLE, columns=["audience"])["audience"].to_pylist()))


def all_newest(settings: Settings) -> dict[str, Specification]:
    """The newest version of every saved audience, by name."""
    if not lake.exists(settings.lake, TABLE):
        return {}
    rows = {row["audience"]: row for row in lake.read(settings.lake, TABLE).sort_by("version").to_pylist()}
    return {name: _read(rows[name]) for name in sorted(rows)}


def moving(settings: Settings) -> list[Specification]:
    """The saved audiences whose members may change, each after those that it leaves out."""
    specifications = all_newest(settings)
    ordered = (specifications[name] for name in _order(_without(specifications)))
    return [specification for specification in ordered if not specification.is_frozen]


def check_not_frozen(specification: Specification) -> None:
    """Raises Conflict for an audience whose members are to stay as they are."""
    if specification.is_frozen:
        name, by, at = specification.audience, specification.created_by, specification.created_at
        raise Conflict(
            f"The audience {name!r} is frozen, by {by} on {at:%Y-%m-%d}: `found audience keep {name} --every day` first."
        )


def check_unused(settings: Settings, audience: str) -> None:
    """Raises BadInput where there is no audience of that name, and while another one leaves it out."""
    newest(settings, audience)
    others = [other for other, left_out in _without(all_newest(settings)).items() if audience in left_out]
    if others:
        raise BadInput(f"The audience {audience!r} is left out of {', '.join(others)}: save {others[0]} without that first.")


def forget(settings: Settings, audience: str) -> None:
    """Removes every version. Raises BadInput as `check_unused`."""
    check_unused(settings, audience)
    lake.replace(settings.lake, TABLE, SCHEMA.empty_table(), schema=SCHEMA, predicate=f"audience = '{audience}'")


def _without(specifications: Mapping[str, Specification]) -> dict[str, tuple[str, ...]]:
    return {name: specification.without_audiences for name, specification in specifications.items()}


def _order(without: dict[str, tuple[str, ...]]) -> list[str]:
    return list(graphlib.TopologicalSorter(without).static_order())


def _rows(settings: Settings, audience: str) -> list[dict[str, Any]]:
    if not lake.exists(settings.lake, TABLE):
        return []
    return lake.read(settings.lake, TABLE, pad.field("audience") == audience).to_pylist()


def _read(row: dict[str, Any]) -> Specification:
    return Specification(**json.loads(row["specification"]), without_users=tuple(row["without_users"]))
