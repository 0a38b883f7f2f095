"""Items that say the opposite of what a demand asks for: "cancel contract", where it is to be renewed.

What belongs here: words that undo each other. What does not: what a demand denies or leaves out (`denial`, `reading`).
"""

import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib import resources

import numpy as np
import yaml

from found_platform.rewriting.ground import words
from found_platform.rewriting.language import PACKAGE


@cache
def _pairs() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    lines = yaml.safe_load((resources.files(PACKAGE) / "opposites.yaml").read_text(encoding="utf-8"))
    pairs = [(re.compile(one), re.compile(other)) for one, other in lines]
    return [*pairs, *((other, one) for one, other in pairs)]


def of(asked: Collection[str], items: Sequence[str]) -> np.ndarray:
    """(N,) bool, which items undo what the words `asked` ask for. One that says both does not."""
    is_opposite = np.zeros(len(items), bool)
    for own, other in _pairs():
        if _has(own, asked) and not _has(other, asked):
            for place, item in enumerate(items):
                if other.search(item.lower()) and _has(other, said := words(item)) and not _has(own, said):
                    is_opposite[place] = True
    return is_opposite


def _has(pattern: re.Pattern[str], said: Collection[str]) -> bool:
    return any(pattern.fullmatch(word) for word in said)
