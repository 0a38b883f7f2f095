"""What a demand denies: of who is meant ("customers outside London", "not older than 40"), and what no rule has understood.

What belongs here: filters that hold for whom they do *not* name, and words of denial that are left over when all else is read: an
answer without them may be the opposite of what was asked. What does not: acts that are not done (`acts`), goods that are left out
(`reading`).
"""

import re

from found_platform.rewriting import profile_values, reading, traits
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import Language
from found_platform.rewriting.outcome import condition

NOT_UNDERSTOOD = "“{word}” was not understood, and an answer without it may be the opposite: say “but not …” or “who will not …”"


def of_who(lake: Ground, who: traits.Traits, spoken: Language) -> None:
    """Takes out of a demand which attributes its people do not have, and makes filters of them."""
    named = [(one.words, one.condition) for one in profile_values.each(lake, who.text, spoken)]
    named += [(one.words, condition(lake, one) or "") for one in reading.attributes_of(who.text, spoken)]
    for words, holds in named:
        place = who.text.find(words)
        denied = spoken.pattern("who_denied").search(who.text[:place]) if place >= 0 and holds else None
        if denied:
            traits.take(who, re.escape(denied[0] + words), spoken)
            who.conditions.append(f"NOT ({holds})")


def left_over(lake: Ground, text: str, spoken: Language) -> str:
    """Why a demand is not answered of which this is left when it was read; empty where nothing of it denies."""
    words = (match[0].strip() for match in spoken.pattern("denial_left").finditer(text))
    word = next((word for word in words if not lake.has_words_of(word)), "")
    return NOT_UNDERSTOOD.format(word=word) if word else ""
