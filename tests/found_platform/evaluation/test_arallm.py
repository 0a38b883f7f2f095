"""ARALLM's rows: who fulfils the expression is ahead of who does not."""

import numpy as np
import pytest
from small_log import PEOPLE, people, population

from found_platform.evaluation.methods.arallm import fulfilled, tags_of_seeds
from found_platform.evaluation.population import Population
from found_platform.outcomes import parse
from found_platform.rewriting.ground import Ground

NOBODY: Ground | None = None
"""No phrase has to be looked up: the outcomes name their categories."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Population:
    events, _ = people()
    return population(events, PEOPLE, tmp_path_factory.mktemp("home"))  # pyright: ignore


def counts(log: Population, category: str) -> np.ndarray:
    place = log.states.values["category"].index(category)
    own = log.past.at(~log.past.exposed)
    return np.bincount(own.user[own.category == place], minlength=PEOPLE)


def test_who_holds_the_tag_is_ahead_and_the_oftener_the_more(log: Population) -> None:
    gold = counts(log, "jewellery")
    scores = fulfilled(log, NOBODY, parse({"will": {"do": {"categories": ["Jewellery"]}}}))  # pyright: ignore
    assert 0 < (gold > 0).mean() < 1
    assert scores[gold > 0].min() >= 1 > scores[gold == 0].max()
    assert (np.diff(scores[np.argsort(gold, kind="stable")]) >= 0).all()


def test_a_negated_expression_is_fulfilled_by_the_others(log: Population) -> None:
    gold = counts(log, "jewellery")
    scores = fulfilled(log, NOBODY, parse({"will": {"do": {"categories": ["jewellery"]}, "negated": True}}))  # pyright: ignore
    assert scores[gold == 0].min() >= 1 > scores[gold > 0].max()


def test_a_condition_on_who_they_are_is_one_of_the_expression(log: Population) -> None:
    outcome = parse({"will": {"do": {"categories": ["jewellery"]}}, "among": {"where": "events_28d >= 3"}})
    scores = fulfilled(log, NOBODY, outcome)  # pyright: ignore
    often = log.attributes["events_28d"].to_numpy() >= 3
    assert scores[~often].max() < 1
    assert np.array_equal(scores >= 1, often & (counts(log, "jewellery") > 0))


def test_seed_users_choose_the_tags_that_a_phrase_stands_for(log: Population) -> None:
    names = log.states.values["category"]
    held = [counts(log, name) > 0 for name in names]
    seeds = next(place for place, holds in enumerate(held) if 5 <= holds.sum() <= PEOPLE - 5)
    near, far = np.flatnonzero(held[seeds])[:5], np.flatnonzero(~held[seeds])[:5]
    kept = tags_of_seeds(log, names, near, far)
    assert names[seeds] in kept
    assert all(held[names.index(tag)][near].mean() > held[names.index(tag)][far].mean() for tag in kept)
    assert tags_of_seeds(log, names, far, far) == [], "what both kinds hold alike says nothing"


def test_an_expression_without_tags_is_about_anything(log: Population) -> None:
    own = log.past.at(~log.past.exposed)
    scores = fulfilled(log, NOBODY, parse({"will": {}}))  # pyright: ignore
    assert np.array_equal(scores >= 1, np.bincount(own.user, minlength=PEOPLE) > 0)
