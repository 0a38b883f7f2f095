"""What a form sent: fields and files of a body, and the draft of an audience that the build form describes."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import multipart
from starlette.requests import Request

from found_platform.app.audiences import Draft
from found_platform.app.lookups import Question, Size, read_outcome
from found_platform.app.offers import Column
from found_platform.errors import BadInput

MOST_FIELDS = 500
REACH_STEPS = 40
"""Places of the slider."""


@dataclass(frozen=True)
class Form:
    """Fields by name, each with every value that was sent."""

    fields: Mapping[str, Sequence[str]]

    def raw(self, name: str) -> str:
        return next(iter(self.fields.get(name, ())), "")

    def get(self, name: str, default: str = "") -> str:
        return self.raw(name).strip() if self.fields.get(name) else default

    def all(self, name: str) -> list[str]:
        return list(self.fields.get(name, ()))

    def number(self, name: str, label: str, low: float, high: float) -> float | None:
        """A number within bounds; None where the field is empty. Raises BadInput that names the field by its label."""
        text = self.get(name)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise BadInput(f"{label} is {text!r}: write a number from {low:,g} to {high:,g}.")
        return value

    def whole(self, name: str, label: str, low: int, high: int) -> int | None:
        """As `number`, without a fraction."""
        value = self.number(name, label, low, high)
        if value is not None and value != int(value):
            raise BadInput(f"{label} is {self.get(name)!r}: write a whole number.")
        return None if value is None else int(value)


async def read(request: Request) -> Form:
    """The form in a body. Raises BadInput for one that cannot be read."""
    kind, body = request.headers.get("content-type", ""), await request.body()
    fields: dict[str, list[str]] = {}
    try:
        if kind.startswith("multipart/form-data"):
            _, options = multipart.parse_options_header(kind)
            parser = multipart.MultipartParser(
                io.BytesIO(body), options.get("boundary", ""), len(body), partsize_limit=len(body) + 1
            )
            for part in parser:
                fields.setdefault(part.name or "", []).append(part.raw.decode("utf-8-sig") if part.filename else part.value)
        else:
            for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS):
                fields.setdefault(name, []).append(value)
    except (multipart.MultipartError, UnicodeDecodeError, ValueError):
        raise BadInput("The form cannot be read: send texts and files of text (UTF-8) alone, and fewer than 500 fields.") from None
    return Form(fields)


@dataclass(frozen=True)
class Condition:
    """One row of the filter builder."""

    column: str = ""
    operator: str = ""
    value: str = ""


OPERATORS = {
    "text": ("=", "<>", "IS NULL", "IS NOT NULL"),
    "yes/no": ("=", "IS NULL", "IS NOT NULL"),
    "number": (">=", "<=", "=", "<>", ">", "<", "IS NULL", "IS NOT NULL"),
    "whole number": (">=", "<=", "=", "<>", ">", "<", "IS NULL", "IS NOT NULL"),
}
WORDS = {
    "=": "is",
    "<>": "is not",
    ">=": "at least",
    "<=": "at most",
    ">": "more than",
    "<": "less than",
    "IS NULL": "is not known",
    "IS NOT NULL": "is known",
}


OUTCOME = """will:
  do: {about: [gold ring], channels: [pay_bill]}
within_days: 28"""
"""What the field of an outcome shows while it is empty."""

KINDS = ("top", "reach", "min_score")
"""Ways to say how many beside a level."""


@dataclass(frozen=True)
class BuildForm:
    """The build form as it was sent, or as it is at first.

    Attributes:
        outcome: what is wanted as data, in YAML or JSON, in place of a sentence (docs/outcomes.md).
        conditions: rows of the filter builder; `where` is typed beside them, and both hold.
        size_kind: level, top, reach or min_score.
        reach: a place of the slider, 1 to REACH_STEPS.
        exclude: ids to leave out.
        seeds, negatives: ids of people who are wanted, and who are not, to tune the prompt `prompt_name` from.
        prompt_after: what that prompt was made from when this form made it; empty for a new one.
        after: the version of the audience `name` that is edited; empty for a new one.
    """

    sentence: str = ""
    prompt: str = ""
    outcome: str = ""
    phrases: str = ""
    mode: str = "auto"
    horizon_days: str = ""
    rank: str = ""
    purpose: str = ""
    anyway: bool = False
    conditions: tuple[Condition, ...] = ()
    where: str = ""
    size_kind: str = "level"
    level: str = "balanced"
    top: str = "100"
    reach: str = "20"
    min_score: str = ""
    exclude: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    prompt_name: str = ""
    prompt_after: str = ""
    holdout: str = "0"
    name: str = ""
    after: str = ""
    kept_out: int = 0
    form: Form = field(default=Form({}))

    @property
    def is_empty(self) -> bool:
        return not (self.sentence or self.prompt or self.outcome)

    @property
    def reach_share(self) -> float:
        """The share of users at the slider's place."""
        return share_of(min(int(self.reach), REACH_STEPS) if self.reach.isdecimal() else 20)

    def draft(self, columns: Sequence[Column], base: int) -> Draft:
        """What the form describes. Raises BadInput that names the field."""
        horizon = self.form.whole("horizon_days", "Days ahead", 1, 3650)
        phrases = tuple(line.strip() for line in self.phrases.splitlines() if line.strip())
        if self.sentence and self.outcome:
            raise BadInput("There is a sentence and an outcome: clear one of the two fields, for one of them is asked.")
        question = Question(
            sentence=None if self.prompt or self.outcome else self.sentence,
            prompt=self.prompt or None,
            outcome=read_outcome(self.outcome) if self.outcome else None,
            phrases=phrases or None,
            where=self.filter(columns),
            mode=self.mode,
            horizon_days=horizon,
            rank=self.rank or None,
            anyway=self.anyway,
            purpose=self.purpose or None,
        )
        holdout = (self.form.number("holdout", "The holdout", 0, 50) or 0) / 100
        left_out = (self.exclude,) if self.exclude else ()
        return Draft(
            question, self.size(base), left_out, self.without, holdout, exclude_as_before=bool(self.after and self.kept_out)
        )

    def size(self, base: int) -> Size:
        if self.size_kind == "top":
            return Size(top=self.form.whole("top", "The number of people", 1, 1_000_000_000) or 100)
        if self.size_kind == "min_score":
            lowest = self.form.number("min_score", "The lowest score", -1e9, 1e9)
            if lowest is None:
                raise BadInput("The lowest score is empty: write a number, or choose another way to say how many.")
            return Size(min_score=lowest)
        if self.size_kind == "reach":
            return Size(top=max(1, round(share_of(self.form.whole("reach", "The reach", 1, REACH_STEPS) or 20) * base)))
        return Size(level=self.level)

    def filter(self, columns: Sequence[Column]) -> str | None:
        """The conditions and what is typed, joined by AND; None where there is neither."""
        kinds = {column.name: column.kind for column in columns}
        parts = []
        for row in self.conditions:
            if not row.column:
                continue
            if row.column not in kinds:
                raise BadInput(f"There is no column {row.column!r} to filter by: choose one of the list.")
            operator = row.operator if row.operator in OPERATORS[kinds[row.column]] else OPERATORS[kinds[row.column]][0]
            if operator.startswith("IS"):
                parts.append(f'"{row.column}" {operator}')
            elif row.value:
                value = row.value if kinds[row.column] != "text" else "'" + row.value.replace("'", "''") + "'"
                parts.append(f'"{row.column}" {operator} {value}')
        if self.where:
            parts.append(f"({self.where})" if parts else self.where)
        return " AND ".join(parts) or None


def share_of(step: int) -> float:
    """The share of users at a place of the slider: from one in a thousand to everybody, evenly on a scale of powers."""
    return 10 ** (-3 + 3 * step / REACH_STEPS)


def of_build(form: Form) -> BuildForm:
    """The build form that was sent."""
    rows = zip(form.all("column"), form.all("operator"), form.all("value"), strict=False)
    size = form.get("size_level") or "balanced"
    names = (
        "sentence",
        "prompt",
        "horizon_days",
        "rank",
        "purpose",
        "where",
        "min_score",
        "name",
        "after",
        "prompt_name",
        "prompt_after",
    )
    return BuildForm(
        **{name: form.get(name) for name in names},
        outcome=textwrap.dedent(form.raw("outcome")).strip(),
        phrases=_own_phrases(form),
        mode=form.get("mode") or "auto",
        anyway=form.get("anyway") == "yes",
        conditions=tuple(Condition(c.strip(), o, v.strip()) for c, o, v in rows if c.strip()),
        size_kind=size if size in KINDS else "level",
        level="balanced" if size in KINDS else size,
        top=form.get("top") or "100",
        reach=form.get("reach") or "20",
        exclude=_ids(form, "exclude"),
        seeds=_ids(form, "seeds"),
        negatives=_ids(form, "negatives"),
        without=tuple(name for name in form.all("without") if name),
        holdout=form.get("holdout") or "0",
        kept_out=int(form.get("kept_out") or 0) if form.get("kept_out", "0").isdecimal() else 0,
        form=form,
    )


def _ids(form: Form, name: str) -> tuple[str, ...]:
    """The ids in a field, one a line, and in the file beside it, which may have a header."""
    lines = "\n".join([form.get(name), form.get(f"{name}_file")]).splitlines()
    ids = (line.strip().strip('"') for line in lines)
    return tuple(dict.fromkeys(line for line in ids if line and line != "user_id"))


def _own_phrases(form: Form) -> str:
    """A person's own words for a sentence. What the page shows of the rewriter's is sent too, and is not theirs; nor are words for
    another sentence than the one that is asked now."""
    own, read = form.get("phrases"), form.get("phrases_read")
    about = form.get("phrases_of")
    is_theirs = own.split() != read.split() and (not about or about == form.get("sentence"))
    return own if is_theirs else ""
