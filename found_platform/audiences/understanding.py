"""What a question asks of users: a sentence understood, or an outcome as a person stated it.

What belongs here: from a question to a demand, and what to say where a sentence was not understood. What does not: reading words
(`rewriting`), scoring.
"""

from dataclasses import replace

from found_platform import outcomes, rewriting
from found_platform.audiences.question import Question
from found_platform.contract import normalise_text
from found_platform.errors import BadInput
from found_platform.outcomes import Act, Outcome, Statement, document
from found_platform.rewriting import Rewriting
from found_platform.rewriting.ground import Ground
from found_platform.scoring import scorers
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.settings import Settings

MAX_DEMAND = 1000
NEAREST = 3
"""Items of the data told to whoever was not understood."""


def check_demand(sentence: str) -> str:
    """The sentence in normal form. Raises BadInput when it is empty or too long."""
    sentence = normalise_text(sentence)
    if not sentence:
        raise BadInput('The demand is empty: say in one sentence whom you want to reach, such as "people who will soon buy gold".')
    if len(sentence) > MAX_DEMAND:
        raise BadInput(f"The demand has {len(sentence):,} characters: one sentence of at most {MAX_DEMAND:,} is understood.")
    return sentence


def understood(population: Population, question: Question) -> tuple[Demand, Rewriting | None, int]:
    """The demand, what a sentence was understood as, and how many days ahead it looks.

    Raises BadInput for a sentence that was not understood, unless it is asked anyway, and for a rank that it cannot have.
    """
    settings = population.settings
    if question.outcome is not None:
        outcome = _ranked(question.outcome, question.rank)
        demand = Demand.of_outcome(outcome)
        _check_mode(question.mode, outcome, settings)
        return demand, None, question.horizon_days or outcome.within_days or settings.horizon_days
    sentence, ground = check_demand(question.sentence or ""), population.states.ground
    if question.phrases is None:
        rewritten = rewriting.of_home(settings, population.cutoff, ground).rewrite(sentence)
    else:  # a person says it better; what is left out, how and when it is done stays as it was read
        rewritten = rewriting.grounded(settings, population.cutoff, ground).rewrite(sentence)
        sentences, outcome = (", ".join(question.phrases),), _about(rewritten.outcome, question.phrases)
        by_person = {"phrases": question.phrases, "sentences": sentences, "outcome": outcome, "by": "a person"}
        rewritten = replace(rewritten, **by_person, note="", doubt="")
    if rewritten.doubt and (not question.anyway or question.rank is not None):
        raise BadInput(_not_understood(rewritten, ground))
    if rewritten.outcome is not None:
        rewritten = replace(rewritten, outcome=_ranked(rewritten.outcome, question.rank))
        _check_mode(question.mode, rewritten.outcome, settings)
    return Demand.of(rewritten), rewritten, question.horizon_days or rewritten.horizon_days or settings.horizon_days


def _check_mode(mode: str, outcome: Outcome | None, settings: Settings) -> None:
    """Raises BadInput where a mode that compares texts is asked for what no text tells: its ranking would be upside down."""
    if outcome is not None and not outcome.names_texts and not scorers.get(mode).asks_log:
        asked_for = outcomes.describe(outcome, settings.horizon_days)
        raise BadInput(f"The mode {mode} compares texts, and cannot tell who {asked_for}: use --mode auto.")


def _ranked(outcome: Outcome, rank: str | None) -> Outcome:
    """The outcome, ranked as a person asks. Raises BadInput where it cannot be."""
    return outcome if rank is None else outcomes.parse({**document.as_data(outcome), "rank": rank})


def _about(outcome: Outcome | None, phrases: tuple[str, ...]) -> Outcome:
    """The outcome, about a person's own phrases. Raises BadInput where it leaves one of them out."""
    if outcome is None:
        return Outcome(will=(Statement(do=Act(about=phrases)),))
    first = outcome.will[0]
    act = first.do.model_copy(update={"about": phrases})
    changed = outcome.model_copy(update={"will": (first.model_copy(update={"do": act}), *outcome.will[1:])})
    return outcomes.parse(document.as_data(changed), "the demand with these phrases")


def _not_understood(rewritten: Rewriting, ground: Ground) -> str:
    """Why there is no answer, what was nearest, and demands that this home can answer: about what its users do most."""
    near = list(dict.fromkeys(match.text for match in rewritten.matches if not match.negated))[:NEAREST]
    nearest = f" (nearest: {', '.join(near)})" if near else ""
    common = ground.items[int(ground.events.argmax())] if len(ground.events) else "it"
    return (
        f"“{rewritten.demand}” was not understood: {rewritten.doubt}{nearest}. Say it in other words, or ask what this data can "
        f"answer, such as “people who will buy {common}”, “customers who will buy again” or “customers likely to leave”; "
        "--anyway answers by what is nearest."
    )


def warning(rewritten: Rewriting | None) -> str | None:
    """Why an answer may be none to the sentence; None where it was understood."""
    if rewritten is None:
        return None
    return f"not understood: {rewritten.doubt}" if rewritten.doubt else rewritten.note or None


def outcome_in_words(demand: Demand, question: Question, settings: Settings) -> str | None:
    """The outcome that is asked, in words; None where it is no more than texts."""
    if demand.stated is None or question.outcome is not None:  # an outcome is the question itself
        return None
    return outcomes.describe(demand.stated, question.horizon_days or settings.horizon_days)


def in_words(question: Question, demand: Demand, settings: Settings) -> str:
    """What was asked, in words."""
    if question.outcome is not None:
        return outcomes.describe(question.outcome, question.horizon_days or settings.horizon_days)
    return question.sentence if question.sentence is not None else demand.sentence
