"""Which items stand for what a demand names."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from found_platform.rewriting import choice


def test_no_part_goes_without_a_phrase_however_much_nearer_anothers_items_are() -> None:
    """Of “nappies and a car”: one item is called so to the letter, of cars there are several unlike things."""
    lake: Any = SimpleNamespace(vectors=np.eye(6, dtype=np.float32), events=np.array([500, 3, 3, 3, 3, 3]))
    of_nappies = [0.97, 0.1, 0.1, 0.1, 0.1, 0.1]
    of_car = [0.46, 0.50, 0.48, 0.45, 0.44, 0.43]  # all near enough to be about it, the nappies too
    assert choice.choose(lake, np.array([of_nappies])) == [0]
    chosen = choice.choose(lake, np.array([of_nappies, of_car]))
    assert chosen[0] == 0
    assert 1 in chosen
    many = np.array([[0.9 if i == part else 0.1 for i in range(6)] for part in range(4)] + [[0.46, 0.1, 0.1, 0.1, 0.5, 0.1]])
    assert set(choice.choose(lake, many)) == {0, 1, 2, 3, 4}, "five parts, five phrases"
