"""What a home offers to begin with."""

from found_platform.app.offers import names_of_things


def test_things_are_called_what_several_makers_call_them() -> None:
    texts = {"Metroline metro day pass": 9, "Citybus metro day pass": 5, "Greenfield whole milk": 8, "Baker Street whole milk": 4}
    assert names_of_things({**texts, "Voltline bill": 90, "Pack 2 eggs": 7, "Box 2 eggs": 7}) == ["metro day pass", "whole milk"]
