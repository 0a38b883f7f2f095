"""ARALLM (arXiv 2401.04319): a demand as an expression over tags, and the users whose tags fulfil it.

Faithful: the demand becomes conditions on tags (what is liked and what is not, who they are, how much), and users are chosen by
evaluating them. Reduced: where ARALLM has a language model write the expression in four steps, here the grounded rewriter fills
its slots, or the language model that the home names states the outcome; and each phrase stands for the tags that are nearest to it.
A tag is a category of the source, held by whoever has an event of it; those who fulfil an expression are ordered by how often.
"""

from collections.abc import Callable

import numpy as np

from found_platform.evaluation.methods.interface import FewShot, Question, ZeroShot
from found_platform.evaluation.population import Population
from found_platform.outcomes import Outcome
from found_platform.rewriting.ground import Ground
from found_platform.scoring import filters

NEAREST = 3
"""Tags that a phrase stands for: phrases are narrower than categories, and the nearest one is not always the one that is meant."""

CANDIDATES = 10
"""Nearest tags of a phrase among which a few seed users choose."""

Chooser = Callable[[tuple[str, ...]], list[str]]
"""From the phrases of an expression to the tags that they stand for."""


def _grounded(population: Population, question: Question) -> np.ndarray | None:
    return _scores(population, question, grounded=True)


def _by_language_model(population: Population, question: Question) -> np.ndarray | None:
    return _scores(population, question, grounded=False) if population.has_language_model else None


def _scores(population: Population, question: Question, *, grounded: bool) -> np.ndarray | None:
    ground = population.states.ground
    if ground.texts == len(ground.items):
        return None  # a source without categories has no tags
    outcomes = [population.rewritten(demand, grounded=grounded).outcome for demand in question.demands]
    return np.stack([np.zeros(len(population.keys)) if o is None else fulfilled(population, ground, o) for o in outcomes])


def _with_seeds(population: Population, question: Question, near: np.ndarray, far: np.ndarray) -> np.ndarray | None:
    """(U,) by the grounded expression, of whose tags those stay that more wanted seed users hold than unwanted ones."""
    ground = population.states.ground
    outcome = population.rewritten(question.demands[0], grounded=True).outcome
    if ground.texts == len(ground.items) or outcome is None:
        return None

    def chooser(phrases: tuple[str, ...]) -> list[str]:
        return tags_of_seeds(population, _tags(ground, phrases, CANDIDATES), near, far) or _tags(ground, phrases)

    return fulfilled(population, ground, outcome, chooser)


def tags_of_seeds(population: Population, tags: list[str], near: np.ndarray, far: np.ndarray) -> list[str]:
    """Those of some tags that a larger share of the users at rows `near` holds than of those at `far`."""
    own = population.past.at(~population.past.exposed)
    holds = [own.sum_by_user(_is_one_of(population, own.category, [tag])) > 0 for tag in tags]
    return [tag for tag, users in zip(tags, holds, strict=True) if users[near].mean() > users[far].mean()]


def fulfilled(population: Population, ground: Ground, outcome: Outcome, chooser: Chooser | None = None) -> np.ndarray:
    """(U,) 1 and more for whoever fulfils the expression, the more the oftener; below 1 for all others.

    `chooser` says for which tags the phrases of what is liked stand; by default for the nearest.
    """
    statement, own = outcome.will[0], population.past.at(~population.past.exposed)
    act = statement.do
    own = own.at(own.amount >= act.min_amount)
    liked = [*(chooser(act.about) if chooser else _tags(ground, act.about)), *act.categories]
    often = own.sum_by_user(_is_one_of(population, own.category, liked)) if liked else own.sum_by_user(np.ones(len(own.user)))
    disliked = own.sum_by_user(_is_one_of(population, own.category, [t for t in _tags(ground, act.not_about) if t not in liked]))
    chosen = ((often > 0) != statement.negated) & (disliked == 0)
    if outcome.among.where:
        where = filters.parse(outcome.among.where, population.attributes.schema)
        chosen &= filters.selected(where, population.attributes, population.settings.duckdb_memory)
    degree = often / (1 + often)
    return chosen + (1 - degree if statement.negated else degree)


def _tags(ground: Ground, phrases: tuple[str, ...], nearest_of_each: int = NEAREST) -> list[str]:
    """The tags that are nearest to any of some phrases."""
    if not phrases:
        return []
    similar = ground.ask(list(phrases)) @ ground.vectors[ground.texts :].T
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :nearest_of_each]
    return [ground.items[ground.texts + int(place)] for place in np.unique(nearest)]


def _is_one_of(population: Population, category: np.ndarray, tags: list[str]) -> np.ndarray:
    """(N,) 1.0 where an event's category is one of the tags, in any case of letters."""
    lowered = {tag.lower() for tag in tags}
    places = [place for place, name in enumerate(population.states.values["category"]) if name.lower() in lowered]
    return np.isin(category, places).astype(float)


METHODS = (
    ZeroShot(
        "arallm_grounded",
        "an expression over the categories nearest to the demand, and who fulfils it",
        _grounded,
    ),
    ZeroShot(
        "arallm_finetuned",
        "the same, the expression written by the home's language model",
        _by_language_model,
    ),
    FewShot(
        "arallm_seeds",
        "the grounded expression, of whose tags those stay that more wanted seed users hold than unwanted ones",
        _with_seeds,
    ),
)
