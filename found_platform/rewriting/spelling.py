"""Items of a lake by the letters of a demand, where an encoder does not know the words: codes, compounds, small slips.

What belongs here: comparing words. What does not: what a demand says (`reading`), meaning by vectors (`retrieval`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest

from found_platform.rewriting import language
from found_platform.rewriting.ground import Ground, template_kinds, words

MOST = 5
"""Items that stand for a word."""
SHORTEST = 5
"""Letters that two words must begin with alike, or that one holds of the other, to be one word in two forms."""
PLURAL = ("s", "es", "n", "en")
"""Endings of a shorter word, which is one in two forms with no other."""
ALIKE = 0.8
"""Share of the shorter word that must be alike."""


def alike(lake: Ground, parts: Sequence[str]) -> list[int]:
    """Places of the items that hold more than half of the words of a part, in these letters or nearly; the most frequent
    first, of each part in turn."""
    general = {
        name for spoken in language.languages().values() for names in spoken.at("acts", "general").values() for name in names
    }
    verbs = {verb for spoken in language.languages().values() for kind in spoken.kinds.values() for verb in kind}
    general |= {verb for verb in verbs if verb not in lake.vocabulary}  # "book a trip", where nothing is called a book
    places_by_part: list[list[int]] = []
    for part in parts:
        own_words = [word for word in words(part) if len(word) > 2 and word not in general]
        holders: Counter[int] = Counter()
        for word in own_words:
            forms = (word, *_participles(word))
            alike_places = [places for own, places in lake.vocabulary.items() if any(is_alike(form, own) for form in forms)]
            holders.update({place for places in alike_places for place in places})
        most = max(holders.values(), default=0)
        is_code = any(sign.isdigit() for sign in part)  # which is another one when one sign is another
        if own_words and most * 2 > len(own_words) and not is_code:
            places_by_part.append(sorted((i for i, count in holders.items() if count == most), key=lambda i: (-lake.events[i], i)))
    return [i for i in dict.fromkeys(chain.from_iterable(zip_longest(*places_by_part))) if i is not None]


def acts_by_name(lake: Ground, kinds: Sequence[str], named: Sequence[str] = ()) -> list[int]:
    """Places of the items that are called like kinds of acts that a demand asks for ("log in": LOGIN), where this lake has no
    events of these kinds, or the demand calls the kinds `named` so; the most frequent first."""
    if not kinds or any(kind in lake.kinds and lake.kinds[kind].sum() > 0 for kind in kinds if kind not in named):
        return []
    named = [spoken.at("acts", "called") for spoken in language.languages().values()]
    called = {name for names in named for kind in kinds if kind in template_kinds() for name in names.get(kind, [])}
    places = [i for i, item in enumerate(lake.items) if any(name in " ".join(words(item)) for name in called)]
    return sorted(places, key=lambda i: -lake.events[i])[:MOST]


def _participles(word: str) -> list[str]:
    """Of a verb that is parted, what its participle begins with: "angerufen" of "anrufen"."""
    parted = [prefix for spoken in language.languages().values() for prefix in spoken.content.get("separable", ())]
    return [f"{prefix}ge{word[len(prefix) :]}" for prefix in parted if word.startswith(prefix) and len(word) >= len(prefix) + 4]


def is_alike(word: str, own: str) -> bool:
    """Whether two words are one in two forms, or one is a part of the other that runs together."""
    if word == own:
        return True
    shorter, longer = sorted((word, own), key=len)
    if len(shorter) == SHORTEST - 1 and longer.removeprefix(shorter) in PLURAL:
        return True
    if len(shorter) < SHORTEST or word[:SHORTEST] not in own:
        return False
    stem = shorter[: max(SHORTEST, len(shorter) - 2)] if len(shorter) > SHORTEST else shorter
    if own == longer and longer.endswith(shorter):  # "reifen" of "winterreifen"
        return True
    if (
        own == longer and len(stem) > SHORTEST and re.search(rf"{re.escape(stem)}\w{{0,2}}$", longer)
    ):  # "batterien" of a "starterbatterie"
        return True
    common = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    return common >= max(SHORTEST, ALIKE * len(shorter)) and len(longer) - common <= 3
