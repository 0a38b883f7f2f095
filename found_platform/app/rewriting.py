"""Demands in the language of the templates: what one is understood as, and language models that learn to say it."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import outcomes
from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import parse_day
from found_platform.errors import BadInput
from found_platform.outcomes import in_full

if TYPE_CHECKING:
    from found_platform.rewriting import Rewriting
    from found_platform.rewriting.tuning import Learned

NEAREST = 3
"""What comes nearest, where nothing is near enough to be used."""


@dataclass(frozen=True)
class Rewrite:
    """A demand, and who rewrites it: a language model `llm` (a directory or a hub name), or `model` at an `endpoint`; else the
    home's rewriter. `cutoff` is a day; None is that of the published index."""

    sentence: str
    llm: str | None = None
    endpoint: str | None = None
    model: str | None = None
    allow_host: str | None = None
    cutoff: str | None = None


@dataclass(frozen=True)
class Understood:
    """What a demand is understood as, in the data before the cutoff; `in_words` says the outcome, where there is one."""

    rewriting: "Rewriting"
    cutoff: dt.date
    in_words: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**self.rewriting.as_dict(), "cutoff": self.cutoff, "in_words": self.in_words}


@use_case(Effect.READS)
def rewrite(context: Context, request: Rewrite) -> Understood:
    """What a demand is about in this home's data, and the sentences that are scored."""
    from found_platform import rewriting
    from found_platform.audiences import understanding

    demand = understanding.check_demand(request.sentence)
    llm, endpoint, model = request.llm, request.endpoint, request.model
    if bool(endpoint) != bool(model) or (endpoint and llm):
        raise BadInput("Say --llm with a model on this machine, or --endpoint with --model.")
    settings, day = context.settings, _cutoff(context, request.cutoff)
    named = rewriting.llm(settings, day, llm or model, endpoint, request.allow_host) if llm or endpoint else None
    rewritten = (named or rewriting.of_home(settings, day)).rewrite(demand)
    in_words = outcomes.describe(rewritten.outcome, settings.horizon_days) if rewritten.outcome else None
    return Understood(rewritten, day, in_words)


def outcome_yaml(understood: Understood) -> str:
    """The outcome as `--outcome FILE` reads it. Raises BadInput where the demand was not understood."""
    if understood.rewriting.outcome is None:
        raise BadInput(f"“{understood.rewriting.demand}” was not understood: {understood.rewriting.doubt}.")
    return outcomes.as_yaml(understood.rewriting.outcome)


def in_short(rewriting: "Rewriting") -> list[str]:
    """What a sentence was taken to be about, in a few lines, for those who asked for users."""
    lines = [f"understood as: {' '.join(rewriting.sentences)}"] if rewriting.sentences else []
    used = {m.text: f"{m.text} {m.similarity:.2f}" for m in rewriting.matches if not m.negated and m.text in rewriting.phrases}
    near = used.values() or [f"{m.text} {m.similarity:.2f}" for m in rewriting.matches if not m.negated][:NEAREST]
    parts = [f"{'matched' if used else 'nearest'} in the data: {', '.join(near)}"] if near else []
    parts += [f"left out: {', '.join(rewriting.unwanted)}"] if rewriting.unwanted else []
    parts += [f"at least {in_full(rewriting.min_amount)}"] if rewriting.min_amount else []
    return [*lines, "; ".join([*parts, f"confidence {rewriting.confidence:.2f}, by {rewriting.by}"])]


@dataclass(frozen=True)
class Train:
    """A language model `base` (a directory or a hub name) to fine-tune into the folder `out`.

    Attributes:
        cutoff: what the home knew before it is taught; None is that of the published index.
        examples: lessons of each of the two stages.
        epochs: times each lesson is taught.
        overwrite: whether a folder that holds something is written into.
    """

    base: str
    out: Path
    cutoff: str | None = None
    examples: int = 1000
    epochs: int = 1
    overwrite: bool = False


@dataclass(frozen=True)
class Trained:
    """An adapter in the folder `out`, and what each stage learned."""

    out: Path
    stages: list["Learned"]


@use_case(Effect.CHANGES, "rewriter train")
def train(context: Context, request: Train) -> Trained:
    """Fine-tunes a language model in two stages: what is in the data, then how demands are said."""
    from found_platform.audiences.export import refuse_existing
    from found_platform.privacy import audit
    from found_platform.rewriting import tuning

    if not request.overwrite:
        refuse_existing(request.out)
    day = _cutoff(context, request.cutoff)
    audit.record(context.settings, "rewriter train", question={"base": request.base, "cutoff": str(day)})
    options = tuning.Options(examples=request.examples, epochs=request.epochs)
    return Trained(request.out, list(tuning.train(context.settings, day, request.base, request.out, options)))


def _cutoff(context: Context, cutoff: str | None) -> dt.date:
    from found_platform import index

    return parse_day(cutoff, "--cutoff") if cutoff else dt.date.fromisoformat(index.live(context.settings).as_of)
