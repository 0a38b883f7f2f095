"""What is wanted, as scorers are asked for it."""

from dataclasses import dataclass
from typing import Self

from found_platform.contract import CHANNELS
from found_platform.rewriting import Rewriting, reading
from found_platform.scoring import matching
from found_platform.scoring.population import Population
from found_platform.training_data.pairs import templates


@dataclass(frozen=True)
class Demand:
    """What is wanted: a sentence, phrases that name it in the lake's words, phrases it leaves out, the channels it is done in, and
    the `min_amount` of it.

    `note` says why nothing of the lake resembles it; it is empty where something does.
    """

    sentence: str
    phrases: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    channels: tuple[str, ...] = CHANNELS
    min_amount: float = 0.0
    note: str = ""

    @property
    def wordings(self) -> tuple[str, ...]:
        """What a model is asked: the phrases, or the sentence without what it leaves out, which would attract."""
        read = reading.read(self.sentence)
        return self.phrases or (read.wanted.strip(" ,") if read.unwanted and read.parts else self.sentence,)

    @classmethod
    def of(cls, rewriting: Rewriting) -> Self:
        """What a rewriter made of a sentence."""
        note = "" if rewriting.phrases else rewriting.note or "nothing in the data resembles this demand"
        channels_of_kinds = [templates()["kinds"][kind].get("channel") for kind in rewriting.kinds]
        channels = tuple(c for c in CHANNELS if c in channels_of_kinds) or CHANNELS
        return cls(rewriting.demand, rewriting.phrases, rewriting.unwanted, channels, rewriting.min_amount or 0.0, note)

    def matched(self, population: Population) -> matching.Matching:
        """What texts of the past are about it: by the sentence and by the phrases, each with half the say."""
        wordings = [] if self.unwanted and self.phrases else [[self.sentence]]  # a negation names what it leaves out
        return matching.match(
            population, [*wordings, *([self.phrases] if self.phrases else [])], self.unwanted, self.channels, self.min_amount
        )
