"""Matching: how close the texts of a log are to a demand, whatever the size of its catalogue."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from found_platform.scoring import matching


@pytest.mark.parametrize("texts", [10, 30, 100, 5000])
def test_of_a_small_catalogue_not_everything_is_about_one_thing(texts: int) -> None:
    similarity = np.full(texts, 0.15)
    similarity[0], similarity[1] = 0.8, 0.6  # two texts are about it, the others about anything else
    closeness = matching._closeness(similarity)
    about = matching.Matching(closeness).weights() >= 0.5
    assert about[:2].all()
    if texts <= 100:
        assert not about[2:].any()


def test_a_text_that_is_named_word_for_word_is_about_the_demand_whatever_an_encoder_makes_of_the_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sentence in a language that the encoder does not know points anywhere: here, at the clock."""
    space = np.eye(40, dtype=np.float32)
    words = ["winter tyre", "summer tyre", "clock", *(f"thing {i}" for i in range(37))]
    population: Any = SimpleNamespace(words=words, model=None, states=SimpleNamespace(frozen_texts=space))
    pointing = {"winter tyre": space[0], "summer tyre": space[1], "Wer kauft Reifen?": space[2], "summer": space[1]}
    monkeypatch.setattr(matching.texts, "frozen_phrases", lambda _, phrases: np.stack([pointing[phrase] for phrase in phrases]))
    wordings = [["Wer kauft Reifen?"], ["winter tyre", "summer tyre"]]
    weights = matching.match(population, wordings).weights()
    assert (weights[:2] > 0.9).all()
    assert (weights[3:] < 0.1).all()
    assert matching.match(population, [wordings[0], ["winter tyre"]], unwanted=["summer"]).weights()[1] < 0.1


def test_a_text_that_says_the_opposite_is_not_about_the_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """To an encoder that a ticket was opened and that it was closed are nearly one."""
    space = np.eye(40, dtype=np.float32)
    space[1] = 0.9 * space[0] + 0.44 * space[1]
    words = ["ticket opened", "ticket closed", *(f"thing {i}" for i in range(38))]
    population: Any = SimpleNamespace(words=words, model=None, states=SimpleNamespace(frozen_texts=space))
    monkeypatch.setattr(matching.texts, "frozen_phrases", lambda _, phrases: np.stack([space[words.index(p)] for p in phrases]))
    opened, closed = matching.match(population, [["ticket opened"]]).weights()[:2]
    assert opened > 0.9 > 0.1 > closed
    assert matching.match(population, [["ticket opened", "ticket closed"]]).weights()[1] > 0.9
