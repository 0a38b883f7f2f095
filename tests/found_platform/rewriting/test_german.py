"""Demands in German: what is read of them, and what they become in a shop whose texts are German."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import small_shop
import yaml

from found_platform import rewriting
from found_platform.channels import channels
from found_platform.outcomes import document, parse
from found_platform.rewriting import Rewriting, reading
from found_platform.rewriting.act_words import Acts
from found_platform.rewriting.language import languages

BUY = ("purchase",)
LEAVE = {"negated": True, "lapse": True}

DEMANDS: list[tuple[str, tuple[str, ...], tuple[str, ...], int | None, dict[str, Any]]] = [
    ("Kunden, die bald Gold kaufen", ("gold",), BUY, None, {}),
    ("Kunden, die Gold kaufen werden", ("gold",), BUY, None, {}),
    ("Goldkäufer", ("gold",), BUY, None, {}),
    ("Leute, die in den nächsten 10 Tagen nach einem Sprachkurs suchen", ("sprachkurs",), ("search",), 10, {}),
    ("Käufer von Goldringen, Ketten oder Armbändern", ("goldringen", "ketten", "armbändern"), BUY, None, {}),
    ("Kunden, die in den kommenden Wochen eine Reise buchen", ("reise",), BUY, None, {}),
    ("wer kauft im nächsten Monat mindestens dreimal", (), BUY, 30, {"times": 3}),
    ("Kunden, die mehr als 2 Goldringe kaufen", ("goldringe",), BUY, None, {"times": 3}),
    ("Kunden, die zweimal pro Woche einkaufen", (), BUY, None, {"times": 2, "per": 7}),
    ("Kunden, die an mindestens 3 verschiedenen Tagen einkaufen", (), BUY, None, {"days": 3}),
    ("wer kauft jede Woche ein", (), BUY, None, {"every": 7}),
    ("wer loggt sich täglich ein", (), ("click",), None, {"every": 1}),
    ("Kunden, die in den nächsten zwei Monaten gar nicht mehr einkaufen", (), BUY, 60, LEAVE),
    ("abwanderungsgefährdete Kunden", (), (), None, LEAVE),
    ("Kunden mit hohem Abwanderungsrisiko", (), (), None, LEAVE),
    ("wer wird abspringen", (), (), None, LEAVE),
    ("wer springt nächsten Monat ab", (), (), 30, LEAVE),
    ("Kunden, die ihr Abo kündigen", (), (), None, LEAVE),
    ("Kunden, die wohl nicht wiederkommen", (), (), None, LEAVE),
    ("aktive Kunden, die keinen Kaffee mehr kaufen", ("kaffee",), BUY, None, LEAVE),
    ("Kunden, die aufhören, Kaffee zu kaufen", ("kaffee",), BUY, None, LEAVE),
    ("wer kauft nie wieder Kaffee", ("kaffee",), BUY, None, LEAVE),
    ("Kunden, die nichts kaufen", (), BUY, None, {"negated": True}),
    ("Kunden, die kein Fleisch kaufen", ("fleisch",), BUY, None, {"negated": True}),
    ("Kunden, die nächsten Monat nicht einkaufen", (), BUY, 30, {"negated": True}),
    ("Kunden, die wiederkommen", (), (), None, {"history": "again", "is_back": True}),
    ("wer kommt nächste Woche wieder", (), (), 7, {"history": "again", "is_back": True}),
    ("Kunden, die zum ersten Mal Gold kaufen", ("gold",), BUY, None, {"history": "first"}),
    ("wer wird etwas zurückschicken", (), (), None, {"returned": True}),
    ("wer schickt Schuhe zurück", ("schuhe",), (), None, {"returned": True}),
    ("Kunden, die öfter als im letzten Monat kaufen", (), BUY, 30, {"more": "times"}),
    ("wer wird weniger ausgeben als bisher", (), BUY, None, {"less": "total"}),
    ("Leute, die mehr Kaffee als letzten Monat kaufen", ("kaffee",), BUY, 30, {"more": "times"}),
    ("wer bestellt öfter als zweimal im nächsten Monat", (), BUY, 30, {"times": 3}),
    ("Kunden, die 3 oder mehr Bestellungen machen", (), BUY, None, {"times": 3}),
    ("alle außer denen, die Kaffee kaufen", ("kaffee",), BUY, None, {"negated": True}),
    ("Kunden, die nur Kaffee kaufen", ("kaffee",), BUY, None, {"rank": "affinity"}),
    ("Kunden, die viel Geld ausgeben", (), BUY, None, {"rank": "value"}),
    ("Goldliebhaber", ("gold",), (), None, {"rank": "affinity"}),
    ("Kunden, die vor allem Kaffee kaufen", ("kaffee",), BUY, None, {"rank": "affinity"}),
    ("die besten Kunden", (), (), None, {"rank": "value"}),
    ("wer gibt am meisten für Kaffee aus", ("kaffee",), BUY, None, {"rank": "value"}),
    ("Menschen, die aus dem Urlaub zurückkommen", ("urlaub heimkommen",), (), None, {}),
    ("Kunden, deren Geld nicht reicht", ("nicht reicht",), (), None, {}),
]
"""A demand; what it names, the kinds of acts, the days, and what it says of acts."""


@pytest.mark.parametrize(("demand", "parts", "kinds", "days", "expected"), DEMANDS, ids=[row[0] for row in DEMANDS])
def test_what_a_german_demand_says(
    demand: str, parts: tuple[str, ...], kinds: tuple[str, ...], days: int | None, expected: dict[str, Any]
) -> None:
    read = reading.read(demand)
    plain = Acts()
    aside = {"manner", "span", "before", "is_anything", "leaves"}
    acts = {f.name: getattr(read.acts, f.name) for f in fields(Acts) if getattr(read.acts, f.name) != getattr(plain, f.name)}
    assert (read.language, read.parts, read.kinds, read.horizon_days) == ("de", parts, kinds, days)
    assert {name: value for name, value in acts.items() if name not in aside} == expected
    assert read.notes == ()


@pytest.mark.parametrize(
    ("demand", "once", "total"),
    [
        ("Kunden, die insgesamt mehr als 1.000 Euro ausgeben", None, 1000.0),
        ("wer gibt im nächsten Monat mehr als 500 Euro aus", None, 500.0),
        ("Kunden, die 500 Euro oder mehr für Reisen ausgeben", None, 500.0),
        ("Kunden, die auf einmal mehr als 1.299,50 Euro ausgeben", 1299.5, None),
    ],
)
def test_amounts_have_a_decimal_comma(demand: str, once: float | None, total: float | None) -> None:
    read = reading.read(demand)
    assert (read.min_amount, read.total) == (once, total)


def test_what_is_left_out_does_not_take_the_verb_with_it() -> None:
    read = reading.read("Kunden, die Gold, aber kein Silber kaufen")
    assert (read.parts, read.unwanted, read.kinds) == (("gold",), ("silber",), BUY)


def test_an_end_that_is_denied_is_none() -> None:
    read = reading.read("Kunden, die nicht abwandern")
    assert read.acts.before is not None
    assert not read.acts.negated
    assert not read.acts.lapse


def test_the_past_ends_with_its_verb() -> None:
    read = reading.read("Haushalte, die in den letzten zwei Monaten Kaffee gekauft haben und bald aufhören")
    assert read.acts.before is not None
    assert (read.before_parts, read.before_kinds, read.acts.before.days) == (("kaffee",), BUY, 60)
    assert read.is_general
    assert read.acts.lapse


def test_people_are_named_in_german() -> None:
    women = reading.read("Frauen über 50, die Parfüm kaufen").attributes
    assert [(named.words, named.ages) for named in women] == [("frauen", None), ("über 50", (51, 200))]
    (city,) = reading.read("Kunden in Großstädten, die Parfüm kaufen").attributes
    assert city.words == "in großstädten"
    assert reading.read("Männer unter 30, die Schuhe kaufen").attributes[1].ages == (0, 29)


def test_each_language_says_all_that_english_does() -> None:
    english, kinds = languages()["en"].content, {channel.kind for channel in channels()}
    for language in languages().values():
        own = language.content
        assert set(english) <= set(own), language.name
        assert set(english["acts"]) <= set(own["acts"]), language.name
        assert set(english["acts"]["general"]) == set(own["acts"]["general"]), language.name
        assert set(language.kinds) == kinds, language.name


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rewriting]:
    """Demands to a shop whose texts are German."""
    shop = small_shop.shop_in(tmp_path_factory.mktemp("laden"), small_shop.GERMAN)
    return rewriting.grounded(shop, small_shop.CUTOFF).rewrite


def test_a_german_demand_becomes_an_outcome_about_german_goods(ask: Callable[[str], Rewriting]) -> None:
    rewritten = ask("Kunden, die bald Gold kaufen")
    assert rewritten.doubt == ""
    assert rewritten.outcome is not None
    (statement,) = rewritten.outcome.will
    assert statement.do.about
    assert all(phrase.startswith("Gold") for phrase in statement.do.about)
    assert statement.do.channels == ("pay_bill",)
    assert statement.is_at_all


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        (
            "aktive Kunden, die in den nächsten zwei Monaten keinen Kaffee mehr kaufen",
            {"will": [{"do": "Kaffee", "negated": True}], "within_days": 60, "among": {"did": "Kaffee", "last_days": 60}},
        ),
        (
            "Kunden, die letzten Monat Gold gekauft haben und bald Silber kaufen",
            {"will": [{"do": "Silber"}], "among": {"did": "Gold", "last_days": 30}},
        ),
        ("Kunden, die mindestens dreimal Kaffee kaufen", {"will": [{"do": "Kaffee", "times": 3}]}),
        (
            "Kunden, die Gold kaufen oder abwandern",
            {"will": [{"do": "Gold"}, {"negated": True}], "join": "or", "among": {"did": {}, "last_days": 28}},
        ),
    ],
)
def test_german_demands_about_acts_become_outcomes(demand: str, expected: dict[str, Any], ask: Callable[[str], Rewriting]) -> None:
    outcome = ask(demand).outcome
    assert outcome is not None
    content = document.as_data(outcome)
    for part in [*content["will"], content.get("among", {})]:
        for key in ("do", "did"):
            if part.get(key):
                assert part[key]["channels"] == ["pay_bill"]
                part[key] = next(word for word in ("Kaffee", "Gold", "Silber") if word.lower() in part[key]["about"][0].lower())
    assert content == expected


@pytest.mark.parametrize(("demand", "written"), small_shop.documented(1))
def test_the_documented_german_demands_become_what_is_written(demand: str, written: str, ask: Callable[[str], Rewriting]) -> None:
    assert ask(demand).outcome == parse(yaml.safe_load(written))


def test_what_a_german_demand_leaves_out_and_the_data_does_not_have_is_named(ask: Callable[[str], Rewriting]) -> None:
    assert "“zucker”" in ask("Kunden, die Kaffee ohne Zucker kaufen").note
