"""Scoring everybody for a demand in one of three modes, or in the one that `auto` chooses.

`aligned` is the paper's: the cosine of a user's aligned vector and the sentence. `late` lets the demand ask each event before
anything is averaged. `replay` lets past windows answer. `auto` chooses, it does not blend: replay where the past holds enough of
what is asked, else late interaction, and the aligned cosine where no text of the lake resembles the demand.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np

from found_platform.contract import CHANNELS, SEARCH
from found_platform.embedding.sentences import embed_sentences
from found_platform.rewriting import Rewriting, reading
from found_platform.scoring import matching, replay
from found_platform.scoring.past import Past
from found_platform.scoring.population import Population
from found_platform.training_data.pairs import templates

if TYPE_CHECKING:
    from models.found import LateInteraction

Mode = Literal["auto", "aligned", "late", "replay"]
MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True)
class Demand:
    """What is wanted: a sentence, phrases that name it in the lake's words, phrases it leaves out, the channels it is done in, and
    the `least` amount of it.

    `note` says why nothing of the lake resembles it; it is empty where something does.
    """

    sentence: str
    phrases: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    channels: tuple[str, ...] = CHANNELS
    least: float = 0.0
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
        asked = [templates()["kinds"][kind].get("channel") for kind in rewriting.kinds]
        channels = tuple(c for c in CHANNELS if c in asked) or CHANNELS
        return cls(rewriting.demand, rewriting.phrases, rewriting.unwanted, channels, rewriting.min_amount or 0.0, note)

    def matched(self, population: Population) -> matching.Matching:
        """What texts of the past are about it: by the sentence and by the phrases, each with half the say."""
        said = [] if self.unwanted and self.phrases else [[self.sentence]]  # a negation names what it leaves out
        return matching.match(
            population, [*said, *([self.phrases] if self.phrases else [])], self.unwanted, self.channels, self.least
        )


@dataclass(frozen=True)
class Ranking:
    """How everybody is scored, in the mode that was taken and for what reason; higher is better.

    Either `everybody` (U,) has the scores, or they are the products of `query` (D,) with the first D places of the stored vectors,
    plus `bias`, so that the index can answer. `replayed` is there where past windows answered.
    """

    mode: str
    reason: str
    everybody: np.ndarray | None = None
    query: np.ndarray | None = None
    bias: float = 0.0
    replayed: replay.Replayed | None = None

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """(U,) the scores of everybody, whose stored vectors (U, W) these are."""
        if self.everybody is not None:
            return self.everybody
        assert self.query is not None
        return vectors[:, : len(self.query)] @ self.query + np.float32(self.bias)


def rank(population: Population, demand: Demand, mode: str, horizon_days: int) -> Ranking:
    """Scores everybody. Where a mode cannot answer, the one that can takes its place, and `reason` says so."""
    if mode == "aligned":
        return aligned(population, demand, "aligned cosine was asked for")
    if mode == "auto" and demand.note:
        return aligned(population, demand, f"{demand.note}, so no text of it can be matched")
    if mode in ("auto", "replay"):
        try:
            replayed = replay.answer(population, wanted := demand.matched(population), horizon_days)
        except replay.PastTooShort as why:
            return Ranking("late", f"late interaction instead of replay: {why}", late(population, demand))
        a, b = replayed.matched
        reason = f"past windows of {replayed.days} days answer: {b:,} and {a:,} users did it in the two newest that do not overlap"
        if replayed.matching.channels.sum() > wanted.channels.sum():
            reason += " (counting any way to do it: too few did it as asked)"
        if replayed.matching.least < wanted.least:
            reason += f" (counting any amount: too few did it for {wanted.least:,g} or more)"
        if replayed.days < horizon_days:
            reason += f" (the past is too short for windows of {horizon_days})"
        return Ranking("replay", reason, replayed.scores, replayed=replayed)
    return Ranking("late", "late interaction was asked for", late(population, demand))


def aligned(population: Population, demand: Demand, reason: str) -> Ranking:
    """The cosine of everybody's aligned vector and the sentence, or the mean of those with each phrase."""
    return Ranking("aligned", reason, query=embed_sentences(population.model, list(demand.wordings)).mean(0))


def late(population: Population, demand: Demand) -> np.ndarray:
    """(U,) how much everybody did that resembles what is asked, newer weighing more; on a log scale."""
    values = late_values(population, demand)
    return np.log(population.past.totals(values) + 0.05)


def late_values(population: Population, demand: Demand) -> np.ndarray:
    """(N,) what each event of the past adds to its user's score: the mean over the wordings, and nothing for a text that is nearer
    to what is left out."""
    head = _late_head(population)
    cosines = _asked_texts(population) @ embed_sentences(population.model, list(demand.wordings)).T  # (T, P)
    hits = (1 / (1 + np.exp(-head.sharpness.item() * (cosines - head.floor.item())))).mean(1)
    if demand.unwanted:
        against = _asked_texts(population) @ embed_sentences(population.model, list(demand.unwanted)).T
        hits[against.max(1) > cosines.max(1)] = 0.0
    return _event_weights(population) * hits[population.past.text]


def aligned_values(population: Population, query: np.ndarray, events: Past) -> np.ndarray:
    """(N,) how near each event comes to a query, 0 where it is far: what it adds to the cosine. Exposures add nothing."""
    texts = _asked_texts(population)
    cosines = texts @ query[: texts.shape[1]]
    return np.maximum(cosines, 0)[events.text] * ~events.exposed


def _late_head(population: Population) -> "LateInteraction":
    """The model's own; a frozen-text model has the one that training starts from."""
    from models.found import Found, LateInteraction

    return population.model.late if isinstance(population.model, Found) else LateInteraction(len(CHANNELS), CHANNELS.index(SEARCH))


@lru_cache(maxsize=2)
def _asked_texts(population: Population) -> np.ndarray:
    """(T, K) the texts of the past as queries meet them, of unit length."""
    import torch
    from torch.nn import functional as F

    from models.found import Found

    model = population.model
    with torch.inference_mode():
        centred = torch.from_numpy(population.text_vectors) - model.center
        return F.normalize(model.user(centred) if isinstance(model, Found) else centred, dim=-1).numpy()


@lru_cache(maxsize=2)
def _event_weights(population: Population) -> np.ndarray:
    """(N,) float32 what an event counts by channel, age, and whether it was done to the user; see `LateInteraction`."""
    import torch

    past, head = population.past, _late_head(population)
    with torch.inference_mode():
        channel = head.channel.numpy()[past.channel] + head.exposed.item() * past.exposed
        age = past.day - 0.5 - past.happened
        return np.exp(channel).astype(np.float32) * (
            np.exp(-age / head.decay.exp().item()) + torch.sigmoid(head.steady).item()
        ).astype(np.float32)
