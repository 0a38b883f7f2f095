"""Items that say the opposite of what a demand asks for: "cancel contract", where it is to be renewed.

What belongs here: words that undo each other. What does not: what a demand denies or leaves out (`denial`, `reading`).
"""

import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from found_platform.rewriting.ground import words
from found_platform.rewriting.language import PACKAGE


@cache
def _pairs() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """Words, and words that undo what they say."""
    pairs = [(re.compile(one), re.compile(other)) for one, other in content()["pairs"]]
    return [*pairs, *((other, one) for one, other in pairs)]


@cache
def content() -> dict[str, Any]:
    """Words that undo each other, as `opposites.yaml` has them."""
    return yaml.safe_load((resources.files(PACKAGE) / "opposites.yaml").read_text(encoding="utf-8"))


def of(asked: Collection[str], items: Sequence[str]) -> np.ndarray:
    """(N,) bool, which items undo what the words `asked` ask for. One that says both does not."""
    is_opposite, texts = np.zeros(len(items), bool), pa.array(items, pa.string())
    for own, other in _pairs():
        if _has(own, asked) and not _has(other, asked):
            for place in _places(other.pattern, texts):
                said = words(items[place])
                is_opposite[place] |= _has(other, said) and not _has(own, said)
    for undoing in content()["undoing"]:
        if not _has(re.compile(undoing["asked"]), asked):
            for place in _places(undoing["stems"], texts):
                is_opposite[place] |= re.fullmatch(undoing["items"], " ".join(words(items[place]))) is not None
    return is_opposite


def undoing(items: Sequence[str]) -> list[int]:
    """Places of the items that say that something was undone, and nothing else."""
    kinds, texts = content()["undoing"], pa.array(items, pa.string())
    return [
        place
        for kind in kinds
        for place in _places(kind["stems"], texts)
        if re.fullmatch(kind["items"], " ".join(words(items[place])))
    ]


def _places(pattern: str, texts: pa.Array) -> list[int]:
    """Where texts have a pattern, in parts of words too."""
    has = pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(pattern, ignore_case=True))
    return np.flatnonzero(has.to_numpy(zero_copy_only=False)).tolist()


def _has(pattern: re.Pattern[str], said: Collection[str]) -> bool:
    return any(pattern.fullmatch(word) for word in said)
