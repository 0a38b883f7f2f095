"""What programs send: bodies of requests, and what of the application layer each becomes. Unknown fields are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from found_platform.app.audiences import BALANCED, Draft
from found_platform.app.lookups import Find, Question, Size, parse_outcome

Text = Annotated[str, Field(max_length=20_000)]
Id = Annotated[str, Field(min_length=1, max_length=1000)]
Ids = Annotated[list[Id], Field(max_length=500_000)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QuestionBody(Body):
    """Whom to reach: one of `sentence`, `prompt` (a tuned one, by name) and `outcome` (docs/outcomes.md)."""

    sentence: Text | None = Field(None, examples=["people who will soon buy gold"])
    prompt: Text | None = None
    outcome: dict[str, Any] | None = None
    phrases: list[Text] | None = Field(None, description="Your own wording of what is wanted, in place of the rewriter's.")
    where: Text | None = Field(None, examples=["events_28d >= 3"])
    mode: Text = "auto"
    horizon_days: int | None = Field(None, ge=1, le=3650)
    rank: Text | None = None
    anyway: bool = Field(False, description="Answer a sentence that was not understood too.")
    purpose: Text | None = Field(None, description="Only who consents to it: a name of the setting `consent_purposes`.")

    def question(self) -> Question:
        kept = ("sentence", "prompt", "where", "mode", "horizon_days", "rank", "anyway", "purpose")
        parts = {name: getattr(self, name) for name in kept}
        phrases = tuple(self.phrases) if self.phrases else None
        return Question(**parts, phrases=phrases, outcome=parse_outcome(self.outcome) if self.outcome is not None else None)


class SizeBody(Body):
    """How many users, said in one way."""

    top: int | None = Field(default=None, ge=1, le=1_000_000_000)
    level: Text | None = Field(default=None, examples=["balanced"])
    min_score: float | None = None

    def size(self) -> Size:
        return Size(self.top, self.level, self.min_score)


class FindBody(Body):
    """A look-up."""

    question: QuestionBody
    size: SizeBody = SizeBody(top=20)
    exclude: Ids | None = None
    exact: bool = False
    explain: bool = False

    def find(self) -> Find:
        left_out = tuple(self.exclude) if self.exclude else None
        return Find(self.question.question(), self.size.size(), left_out, self.exact, self.explain)


class DraftBody(Body):
    """An audience as a person describes it."""

    question: QuestionBody
    size: SizeBody | None = Field(None, description="Balanced, where none is said.")
    exclude: Ids = Field(default=[], description="Ids of users to leave out.")
    exclude_as_before: bool = Field(False, description="Users whom the newest version leaves out by name stay left out.")
    without: list[Text] = Field(default=[], description="Saved audiences to leave out.")
    holdout: float = Field(0.0, ge=0, le=0.5)

    def draft(self) -> Draft:
        left_out = (tuple(self.exclude),) if self.exclude else ()
        size = self.size.size() if self.size else BALANCED
        return Draft(self.question.question(), size, left_out, tuple(self.without), self.holdout, self.exclude_as_before)


class PreviewBody(Body):
    """A draft, for the audience `name` where it is for one; or `name` alone: what that one would be now."""

    draft: DraftBody | None = None
    name: Text | None = None


class WhyBody(PreviewBody):
    """A user, by the id of the source or the pseudonym, and the audience in question."""

    user: Id


class RewriteBody(Body):
    """A sentence, to be read by the home's rewriter."""

    sentence: Text


class TuneBody(Body):
    """A prompt to tune from users; without demand and seeds a saved one is tuned anew."""

    demand: Text | None = None
    seeds: Ids | None = None
    negatives: Ids | None = None


class ExportBody(Body):
    """The file to write."""

    format: Literal["csv", "parquet"] = "csv"
    holdout: bool = Field(False, description="With the users of the holdout, marked.")


class DeliverBody(Body):
    """Where to, by the name that an admin gave it."""

    to: Text
    changes: bool = Field(False, description="Who joined and who left since the last delivery there.")


class UpkeepBody(Body):
    """How an audience is kept; what is left out stays as it is."""

    every: Literal["hour", "day", "week", "month", "never"] | None = Field(None, description="`never` freezes it.")
    deliver_to: list[Text] | None = Field(None, description="Destinations of each refresh: needs the scope `export`.")
    deliver_changes: bool | None = None


class DestinationBody(Body):
    """A place: its address, and what opens it."""

    address: Text
    options: dict[str, Text] = {}


class ConsentBody(Body):
    """A user, by the id of the source, at a moment (UTC where it names no zone); now, where none is named."""

    user: Id
    at: Text | None = Field(None, examples=["2026-05-01T12:30:00Z"])


class UserBody(Body):
    """A user, by the id of the source."""

    user: Id
    as_of: Text | None = None
    online: bool = False


class SuppressBody(Body):
    """Users to keep out of every audience, or to let in again."""

    users: Ids = Field(min_length=1)
    reason: Text = ""


class EraseBody(Body):
    """Users to forget for good, and why."""

    users: Ids = Field(min_length=1)
    reason: Text = ""


class ExpireBody(Body):
    """Whether to say only what would go."""

    dry_run: bool = False


class HoldBody(Body):
    """Users, tables or both that are to be kept as they are, and why."""

    users: Ids = Field(default=[])
    tables: list[Text] = Field(default=[], max_length=100)
    reason: Text = ""


class PromoteBody(Body):
    """A version that passed the gate; the candidate, where none is named."""

    version: Text | None = None


class RollbackBody(Body):
    """What to take back: the champion with its index, or the index alone."""

    what: Literal["model", "index"]


class PublishBody(Body):
    """The day of the model and of the states."""

    cutoff: Text


class BackfillBody(Body):
    """Days to make again, both included."""

    first: Text
    last: Text
    assets: list[Text] = []
    force: bool = False


class TokenBody(Body):
    """A token to make."""

    name: Text
    role: Text
    days: float | None = None
