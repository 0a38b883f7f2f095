"""Options of commands: types that several share, and groups of options that travel together.

A group is a dataclass whose fields are declared as Typer wants parameters. A command that takes a group as one parameter has all
its options (`grouped`), so that they are written down once.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from found_platform.app.audiences import Draft
    from found_platform.app.lookups import Question, Size


class Format(StrEnum):
    table = "table"
    json = "json"


class UsersFormat(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


class Level(StrEnum):
    narrow = "narrow"
    balanced = "balanced"
    broad = "broad"


class ProfileName(StrEnum):
    tiny = "tiny"
    cpu = "cpu"
    paper = "paper"


class Every(StrEnum):
    hour = "hour"
    day = "day"
    week = "week"
    month = "month"
    never = "never"


class Removed(StrEnum):
    keep = "keep"
    drop = "drop"


DEFAULT_HOME = Path(".found")
RemovedRows = Annotated[
    Removed | None, typer.Option(help="Keep or drop what was taken in and the source no longer holds. Default: stop and say it.")
]
Home = Annotated[Path, typer.Option("--home", envvar="FOUND_HOME", help="Folder of all state.")]
OutputFormat = Annotated[Format, typer.Option(help="table or json.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
AudienceName = Annotated[str, typer.Argument(help="Small letters, digits, - and _.")]
UsersFile = Annotated[Path, typer.Argument(help="Users: Parquet or CSV with a column user_id, or one id a line.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]
IndexCutoff = Annotated[str | None, typer.Option(help="Default: the cutoff of the published index.")]


class Rank(StrEnum):
    """What users are ranked by."""

    by_chance = "chance"
    by_affinity = "affinity"
    by_value = "value"


@dataclass(frozen=True)
class Place:
    """Of which home a command asks, and how it prints."""

    home: Home = DEFAULT_HOME
    format: OutputFormat = Format.table

    @property
    def as_json(self) -> bool:
        return self.format is Format.json


@dataclass(frozen=True)
class QuestionOptions:
    """Whom to reach."""

    sentence: Annotated[str | None, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')] = None
    prompt: Annotated[str | None, typer.Option(help="A tuned prompt in place of a sentence, see `found audience tune`.")] = None
    phrase: Annotated[
        list[str] | None, typer.Option(help="Your own wording of what is wanted, item by item, in place of the rewriter's.")
    ] = None
    where: Annotated[str | None, typer.Option(help="Filter, for example \"age_band = '25-34' AND events_28d >= 3\".")] = None
    mode: Annotated[str, typer.Option(help="How to score: auto chooses; docs/targeting.md has the others.")] = "auto"
    horizon: Annotated[int | None, typer.Option(help="Days ahead. Default: what the sentence says, or the home's.")] = None
    outcome: Annotated[
        Path | None, typer.Option(help="An outcome in a file, in place of a sentence; `found rewrite --format yaml` writes one.")
    ] = None
    rank: Annotated[Rank | None, typer.Option(help="Rank by the chance of it, its share of what users do, or its amount.")] = None
    anyway: Annotated[bool, typer.Option("--anyway", help="Answer a sentence that was not understood too.")] = False
    purpose: Annotated[str | None, typer.Option(help="Only who consents to it: a name of the setting consent_purposes.")] = None

    def question(self) -> "Question":
        """Raises BadInput for an outcome that cannot be used."""
        from found_platform.app.lookups import Question, load_outcome

        phrases = tuple(self.phrase) if self.phrase else None
        return Question(
            self.sentence,
            self.prompt,
            phrases,
            self.where,
            self.mode,
            self.horizon,
            outcome=load_outcome(self.outcome) if self.outcome else None,
            rank=self.rank.value if self.rank else None,
            anyway=self.anyway,
            purpose=self.purpose,
        )


@dataclass(frozen=True)
class SizeOptions:
    """How many users an audience has."""

    top: Annotated[int | None, typer.Option(min=1, help="The best so many users.")] = None
    level: Annotated[Level | None, typer.Option(help="As many as past precision suggests; balanced unless told.")] = None
    min_score: Annotated[float | None, typer.Option(help="Everybody who scores as much.")] = None

    def size(self) -> "Size":
        """Balanced where none is said."""
        from found_platform.app.lookups import Size

        if self.top is None and self.level is None and self.min_score is None:
            return Size(level=Level.balanced.value)
        return Size(self.top, self.level and self.level.value, self.min_score)


@dataclass(frozen=True)
class DraftOptions:
    """Who of an audience is left out: of it, and of its exports."""

    exclude: Annotated[list[Path] | None, typer.Option(help="A file of users to leave out; may be repeated.")] = None
    without: Annotated[list[str] | None, typer.Option(help="A saved audience to leave out; may be repeated.")] = None
    holdout: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the members to keep out of exports, to measure lift.")
    ] = 0.0

    def draft(self, question: QuestionOptions, size: SizeOptions) -> "Draft":
        from found_platform.app.audiences import Draft

        left_out = tuple(self.exclude or ()), tuple(self.without or ())
        return Draft(question.question(), size.size(), *left_out, self.holdout)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer calls it: each parameter that is a group is replaced by the options of the group."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if group := groups.get(parameter.name):
            parameters += _parameters(group)
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        objects = {name: group(**{f.name: values.pop(f.name) for f in fields(group)}) for name, group in groups.items()}
        command(**values, **objects)

    call.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    call.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return call


def _parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(group)
    ]
