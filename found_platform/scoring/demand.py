"""What is wanted, as scorers are asked for it."""

from dataclasses import dataclass, fields
from typing import Any, Self

from found_platform import outcomes
from found_platform.contract import CHANNELS
from found_platform.outcomes import Outcome, document
from found_platform.rewriting import Rewriting, reading
from found_platform.scoring import matching
from found_platform.scoring.population import Population
from found_platform.training_data.templates import templates


@dataclass(frozen=True)
class Demand:
    """What is wanted: a sentence, phrases that name it in the lake's words, phrases it leaves out, the channels it is done in, and
    the `min_amount` of it.

    `note` says why nothing of the lake resembles it; it is empty where something does. `outcome` is all that is asked; where there
    is none, it is to do something that the phrases name.
    """

    sentence: str
    phrases: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    channels: tuple[str, ...] = CHANNELS
    min_amount: float = 0.0
    note: str = ""
    outcome: Outcome | None = None

    @property
    def stated(self) -> Outcome | None:
        """The outcome, where it is more than to do something that texts name."""
        return None if self.outcome is None or self.outcome.is_plain else self.outcome

    @property
    def wordings(self) -> tuple[str, ...]:
        """What a model is asked: the phrases, or the sentence without what it leaves out, which would attract."""
        read = reading.read(self.sentence)
        return self.phrases or (read.subject.strip(" ,") if read.unwanted and read.parts else self.sentence,)

    @classmethod
    def of(cls, rewriting: Rewriting) -> Self:
        """What a rewriter made of a sentence."""
        note = "" if rewriting.phrases or rewriting.outcome else rewriting.note or "nothing in the data resembles this demand"
        channels_of_kinds = [templates()["kinds"][kind].get("channel") for kind in rewriting.kinds]
        channels = tuple(c for c in CHANNELS if c in channels_of_kinds) or CHANNELS
        return cls(
            rewriting.demand, rewriting.phrases, rewriting.unwanted, channels, rewriting.min_amount or 0.0, note, rewriting.outcome
        )

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        """What a person stated, without a sentence."""
        act = outcome.will[0].do
        return cls("", act.about, act.not_about, act.channels or CHANNELS, act.min_amount, "", outcome)

    @classmethod
    def of_dict(cls, content: dict[str, Any]) -> Self:
        """What `as_dict` gave, also before there were outcomes or amounts."""
        names = {f.name for f in fields(cls)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items() if k in names}
        values["min_amount"] = content.get("min_amount", content.get("least", 0.0))
        outcome = content.get("outcome")
        return cls(**{**values, "outcome": outcomes.parse(outcome) if outcome else None})

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        content = {f.name: getattr(self, f.name) for f in fields(Demand) if f.name != "outcome"}
        return content | {"outcome": None if self.outcome is None else document.as_data(self.outcome)}

    def matched(self, population: Population) -> matching.Matching:
        """What texts of the past are about it: by the sentence and by the phrases, each with half the say."""
        sentence = self.sentence if not (self.unwanted and self.phrases) else ""  # a negation names what it leaves out
        wordings = [[sentence]] if sentence else []
        return matching.match(
            population, [*wordings, *([self.phrases] if self.phrases else [])], self.unwanted, self.channels, self.min_amount
        )
