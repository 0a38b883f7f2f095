"""Categories, statuses and ways to pay that a demand names as such: "by card", "cancelled orders", "from the pets category".

They are values of this lake, found by patterns of the language around them; texts are no part of this, see `retrieval`.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import Language, languages


@dataclass(frozen=True)
class Values:
    """By the key of an act, the values that are asked of what will be done, and of what was done before."""

    wanted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    before: dict[str, tuple[str, ...]] = field(default_factory=dict)


def take(lake: Ground, text: str, clause: str, language: Language) -> tuple[str, Values]:
    """A demand in lower case without the values that it names, and those; `clause` is the part of it about what was done before."""
    values_of: dict[str, tuple[str, ...]] = {}
    before: dict[str, tuple[str, ...]] = {}
    for key, existing in (
        ("payment_methods", lake.payment_methods),
        ("statuses", lake.statuses),
        ("categories", lake.items[lake.texts :]),
    ):
        spellings: dict[str, list[str]] = {}
        for value in existing:
            spellings.setdefault(value.lower(), []).append(value)
        for pattern in _patterns(language.code, key, tuple(spellings)):
            while match := pattern.search(text):
                side = before if clause and match[0].strip() in clause else values_of
                side[key] = tuple(dict.fromkeys((*side.get(key, ()), *spellings[match["value"]])))
                kept = match.groupdict().get("object") or ""
                text = f"{text[: match.start()]} {kept} {text[match.end() :]}"
    return text, Values(values_of, before)


@lru_cache(maxsize=64)
def _patterns(code: str, key: str, values: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """The patterns of a language around any of some values, the longest first. An ending may follow where it says `{stem}`."""
    if not values:
        return ()
    alternatives = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    stem = rf"[\"'“”„»«]?(?P<value>{alternatives})"
    value = rf"{stem}[\"'“”»«]?(?!\w)"
    patterns: list[str] = languages()[code].at("values", key)
    return tuple(re.compile(pattern.replace("{value}", value).replace("{stem}", stem)) for pattern in patterns)
