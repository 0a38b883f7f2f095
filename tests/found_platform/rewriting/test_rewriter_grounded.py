"""The grounded rewriter: a demand finds its items in a small lake with the real text encoder, or says that it finds none."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from small_shop import CUTOFF, LATER, MAILED, SHOP

from found_platform import lake, rewriting
from found_platform.errors import BadInput
from found_platform.rewriting import Rewriting, ground, resemblance, retrieval
from found_platform.settings import Settings
from found_platform.training_data import text_vectors


@pytest.mark.parametrize("demand", ["", "!?", "not", ", , but not", "über 20 €", "a" * 1000, "or or or", "1 2 3", "\\d+ [a-z"])
def test_nothing_a_person_writes_breaks_reading(demand: str, rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite(demand)
    assert 0 <= rewritten.confidence <= 1
    assert bool(rewritten.sentences) == bool(rewritten.phrases)


@pytest.mark.parametrize(
    ("demand", "items"),
    [
        ("people who will soon buy gold", {"gold ring", "gold necklace", "gold bar 10g"}),
        ("families with a baby who will buy diapers", {"newborn diapers", "baby formula", "wet wipes for babies"}),
        ("cat owners", {"wet cat food", "cat litter", "pets"}),
        ("drivers who will fill up with petrol or diesel", {"petrol", "diesel", "engine oil"}),
        ("people who will book a flight or a hotel", {"flight ticket", "hotel night", "long-haul flight", "travel"}),
    ],
)
def test_a_demand_finds_its_items(demand: str, items: set[str], rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite(demand)
    assert rewritten.phrases
    assert set(rewritten.phrases) <= items
    assert rewritten.note == ""
    assert rewritten.confidence > 0.5
    assert rewritten.by == "grounded"
    assert all(phrase in sentence for phrase in rewritten.phrases for sentence in rewritten.sentences)
    assert {m.text for m in rewritten.matches} >= set(rewritten.phrases)
    similarities = [m.similarity for m in rewritten.matches]
    assert similarities == sorted(similarities, reverse=True)


def test_the_sentence_is_a_template_with_its_days(rewrite: Callable[[str], Rewriting]) -> None:
    of_buying = rewrite("people who will buy cat litter in the next two weeks")
    assert of_buying.phrases[0] == "cat litter"
    assert of_buying.sentences == (f"In the next 14 days this person pays for {', '.join(of_buying.phrases)}.",)
    of_searching = rewrite("people who will search for cat litter")
    assert of_searching.horizon_days is None
    assert of_searching.sentences[0].startswith("In the next 7 days this person searches for cat litter")  # the profile's horizon


def test_without_a_verb_the_kinds_are_those_of_the_items(rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite("cat litter fans")
    assert [sentence.split(" this person ")[1].split()[0] for sentence in rewritten.sentences] == ["pays", "searches"]


def test_what_is_left_out_is_no_phrase(rewrite: Callable[[str], Rewriting]) -> None:
    plain = rewrite("people who will buy gold or silver")
    assert any("silver" in phrase for phrase in plain.phrases)
    rewritten = rewrite("people who will buy gold but not silver")
    assert rewritten.unwanted
    assert all("silver" in phrase for phrase in rewritten.unwanted)
    assert all("gold" in phrase for phrase in rewritten.phrases)
    assert {m.text for m in rewritten.matches if m.negated}.isdisjoint(m.text for m in rewritten.matches if not m.negated)
    assert "silver" not in " ".join(rewritten.sentences)


@pytest.mark.parametrize(
    "demand",
    ["the derivative of a polynomial", "people who will buy a submarine", "black holes and neutron stars", "qwer zxcv uiop"],
)
def test_a_demand_that_resembles_nothing_says_so(demand: str, rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite(demand)
    assert rewritten.sentences == rewritten.phrases == ()
    assert retrieval.NOTHING in rewritten.note
    assert rewritten.confidence < 0.5


def test_a_part_that_resembles_nothing_is_named(rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite("people who will buy cat food, dog food or a neutron star")
    assert "“neutron star”" in rewritten.note
    assert set(rewritten.phrases) & {"wet cat food", "dry dog food"}


def test_demands_that_name_nobody(rewrite: Callable[[str], Rewriting]) -> None:
    rewritten = rewrite("people who will")
    assert rewritten.phrases == ()
    assert rewritten.confidence == 0
    assert "names nothing" in rewritten.note


def test_nothing_of_after_the_cutoff_and_nothing_that_was_done_to_users(shop: Settings) -> None:
    shop_ground = ground.of(shop, CUTOFF)
    assert LATER not in shop_ground.items
    assert LATER in ground.of(shop, dt.date(2024, 3, 1)).items
    assert MAILED not in ground.of(shop, dt.date(2024, 3, 1)).items
    assert MAILED in text_vectors.texts_before(shop, CUTOFF)["text"].to_pylist()


def test_counts_are_those_of_the_lake(shop: Settings) -> None:
    shop_ground = ground.of(shop, CUTOFF)
    rows = [r for r in lake.read(shop.lake, "raw_events").to_pylist() if r["event_date"] < CUTOFF and not r["exposure"]]
    for place, item in enumerate(shop_ground.items):
        column = "text" if place < shop_ground.texts else "category"
        mine = [r for r in rows if r[column] == item]
        assert shop_ground.events[place] == len(mine)
        assert shop_ground.kinds["search"][place] == sum(r["channel"] == "search" for r in mine)
    assert set(shop_ground.items[shop_ground.texts :]) == set(SHOP)
    np.testing.assert_allclose(np.linalg.norm(shop_ground.vectors[: shop_ground.texts], axis=1), 1, atol=1e-3)
    texts = shop_ground.vectors[: shop_ground.texts] + 0
    assert abs(texts.mean()) < 0.01


def test_the_ground_is_read_once(shop: Settings) -> None:
    assert ground.of(shop, CUTOFF) is ground.of(Settings.load(shop.home), CUTOFF)


def test_a_home_without_vectors_says_what_to_run(shop: Settings) -> None:
    with pytest.raises(BadInput, match="found demo --cutoff 2023-01-01"):
        rewriting.grounded(shop, dt.date(2023, 1, 1)).rewrite("gold")


def test_payment_methods_are_named_where_there_are_some(shop: Settings) -> None:
    from dataclasses import replace

    shop_ground = replace(ground.of(shop, CUTOFF), payment_methods=["Credit card", "Cash"])
    rewritten = retrieval.on(shop_ground, "people who will buy gold by credit card", 28)
    assert rewritten.sentences[-1] == "In the next 28 days this person pays by Credit card."
    assert len(retrieval.on(shop_ground, "people who will buy gold", 28).sentences) == 1


def test_an_item_in_its_own_words_is_understood_whatever_the_encoder_makes_of_it(shop: Settings) -> None:
    lake_items = ground.of(shop, CUTOFF)
    coded = replace(lake_items, items=["zq-7714 x", *lake_items.items[1:]], vectors=np.zeros_like(lake_items.vectors))
    rewritten = retrieval.on(coded, "people who will buy ZQ-7714 X next week", 7)
    assert rewritten.phrases == ("zq-7714 x",)
    assert not rewritten.doubt
    assert rewritten.confidence == 1
    assert retrieval.on(coded, "people who will buy ZQ-7714 XL next week", 7).doubt


def test_an_encoder_of_random_weights_is_called_what_it_is() -> None:
    random, unknown = (resemblance._floors(revision, True) for revision in ("random-bert-32-0", "somebody's"))
    assert [(limits.random, limits.measured) for limits in (random, unknown)] == [(True, False), (False, False)]
