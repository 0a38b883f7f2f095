"""Look-ups: the users for a sentence or a tuned prompt, and their way into a file."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import outcomes
from found_platform.app.context import Context
from found_platform.app.document import as_document
from found_platform.app.use_case import Effect, use_case
from found_platform.audiences.question import TWENTY, Question, Size
from found_platform.errors import BadInput
from found_platform.outcomes import Outcome
from found_platform.privacy.keys import Users

if TYPE_CHECKING:
    from found_platform.audiences.answer import Audience, FoundUser

__all__ = [
    "OUTPUTS",
    "Answer",
    "AnswerFile",
    "Export",
    "Find",
    "Question",
    "Size",
    "because",
    "encode",
    "export",
    "find",
    "in_words",
    "load_outcome",
    "parse_outcome",
    "read_outcome",
    "write_outcome",
]

OUTPUTS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}


def load_outcome(path: Path) -> Outcome:
    """The outcome in a file. Raises BadInput where it cannot be used."""
    return outcomes.load(path)


def parse_outcome(content: Any) -> Outcome:
    """The outcome that plain data says. Raises BadInput where it cannot be used."""
    return outcomes.parse(content)


def read_outcome(text: str) -> Outcome:
    """The outcome that a person wrote in YAML or JSON. Raises BadInput where it cannot be used."""
    return outcomes.read(text)


def write_outcome(outcome: Outcome) -> str:
    """An outcome in YAML, as `read_outcome` takes it."""
    return outcomes.as_yaml(outcome)


def in_words(question: Question) -> str:
    """Whom a question is about, in one line for a person: the sentence, the name of the prompt, or the outcome in words."""
    if question.outcome is not None:
        within_days = question.horizon_days or question.outcome.within_days
        return f"Who {outcomes.describe(question.outcome.model_copy(update={'within_days': within_days}), None)}"
    return f"“{question.sentence}”" if question.sentence else f"prompt {question.prompt}"


@dataclass(frozen=True)
class Find:
    """A look-up. `size` is a number of users or a lowest score; `exclude` are users to leave out.

    `exact` scores everybody instead of asking the index; `explain` says what carried each user's score.
    """

    question: Question
    size: Size = TWENTY
    exclude: Users | None = None
    exact: bool = False
    explain: bool = False


@dataclass(frozen=True)
class Answer:
    """The users, and what was asked for them: options, and how many were left out."""

    question: Mapping[str, Any]
    audience: "Audience"

    def as_dict(self) -> dict[str, Any]:
        return self.audience.as_dict()


@use_case(Effect.NAMES, "find")
def find(context: Context, request: Find) -> Answer:
    """The best users for a question, with what answered and as of when. Raises BadInput for what cannot be asked."""
    from found_platform.audiences import lookup
    from found_platform.privacy import free_texts, keys

    question = request.question
    lookup.check(question)
    settings = context.settings
    left_out = frozenset(keys.read_users(settings, request.exclude)) if request.exclude else frozenset()
    free_texts.check_demand(settings, [question.sentence, *(question.phrases or ())], left_out)
    options = {"exact": request.exact, "explain": request.explain}
    audience = lookup.find(settings, request.question, request.size, exclude=left_out, **options)
    audience = replace(audience, users=[replace(user, user_id=context.display_name(user.user_id)) for user in audience.users])
    parts = {**request.question.as_dict(), **asdict(request.size), **{k: v or None for k, v in options.items()}}
    return Answer({k: v for k, v in {**parts, "without_users": len(left_out) or None}.items() if v is not None}, audience)


@dataclass(frozen=True)
class Export:
    """A look-up into a file: .parquet, .csv or .json. One that exists is replaced with `overwrite` alone."""

    look_up: Find
    out: Path
    overwrite: bool = False


@dataclass(frozen=True)
class AnswerFile:
    """`users` written to `path`; the file `provenance` beside it says where they come from. `note` says why there is nobody."""

    path: Path
    provenance: Path
    users: int
    note: str | None = None


@use_case(Effect.NAMES, "find", "export")
def export(context: Context, request: Export) -> AnswerFile:
    """Looks users up and writes them, for their owner's eyes alone. The row in the audit comes before the file.

    Raises BadInput as `find`, for a path that cannot be written, and for a file that would be replaced.
    """
    from found_platform.audiences import export as exporting
    from found_platform.audiences import lookup
    from found_platform.privacy import audit, exports

    out = request.out
    lookup.check(request.look_up.question)
    if out.suffix not in OUTPUTS:
        raise BadInput(f"--out is {out}: name it .parquet, .csv or .json.")
    if not request.overwrite:
        exporting.refuse_existing(out, exporting.beside(out))
    answer = find(replace(context, reveal=True), request.look_up)
    content, audience = encode(answer, OUTPUTS[out.suffix]), answer.audience
    audit.record(
        context.settings,
        "export",
        question=answer.question,
        rows=audience.count,
        model_version=audience.model_version,
        index_version=audience.index_version,
        reason=f"of a look-up, sha256 {hashlib.sha256(content).hexdigest()}",
    )
    about = {k: v for k, v in audience.as_dict().items() if k not in ("query", "users")}
    exports.note(context.settings, out)
    exporting.place_with_provenance(out, content, {"question": answer.question, **about})
    return AnswerFile(out, exporting.beside(out), audience.count, audience.note)


def because(user: "FoundUser") -> str:
    """What carried a user's score, in one line; empty where nobody asked."""
    from found_platform.scoring import evidence

    return evidence.as_sentence(user.evidence) if user.evidence else ""


def encode(answer: Answer, format: str) -> bytes:
    """An answer as json, csv or parquet."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if format == "json":
        return json.dumps(as_document(answer), indent=1).encode()
    rows = [{**asdict(user), "evidence": because(user) or None} for user in answer.audience.users]
    types = {"user_id": pa.string(), "score": pa.float64(), "probability": pa.float64(), "evidence": pa.string()}
    names = [name for name in types if name != "evidence" or any(row["evidence"] for row in rows)]
    table = pa.Table.from_pylist([{n: row[n] for n in names} for row in rows], schema=pa.schema([(n, types[n]) for n in names]))
    sink = io.BytesIO()
    (pc.write_csv if format == "csv" else pq.write_table)(table, sink)
    return sink.getvalue()
