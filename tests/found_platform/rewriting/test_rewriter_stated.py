"""A language model that states an outcome: what it says is checked against the lake, and used or not."""

import pytest
from small_shop import CUTOFF

from found_platform.rewriting.language_model import LanguageModelRewriter
from found_platform.settings import Settings

STATED = 'Here it is: {"will": [{"do": {"about": ["cat litter", "moon rockets"]}, "times": 3}], "within_days": 14}'


def test_what_a_model_states_is_asked_about_items_of_the_lake(shop: Settings) -> None:
    rewriting = LanguageModelRewriter(shop, CUTOFF, "stand-in", lambda _: STATED).rewrite("people who will buy cat litter")
    assert rewriting.by == "llm:stand-in"
    assert rewriting.outcome is not None
    assert rewriting.outcome.will[0].do.about == ("cat litter",)  # nothing of the lake is like the other item
    assert (rewriting.outcome.will[0].times, rewriting.outcome.within_days) == (3, 14)


@pytest.mark.parametrize("content", ['{"will": []}', '{"will": [{"do": {"about": ["moon rockets"]}}]}', '{"shall": 1}'])
def test_an_outcome_that_cannot_be_used_leaves_the_grounded_rewriting(shop: Settings, content: str) -> None:
    rewriting = LanguageModelRewriter(shop, CUTOFF, "stand-in", lambda _: content).rewrite("people who will buy cat litter")
    assert rewriting.by == "grounded"
    assert "stand-in was not used" in rewriting.note
