"""Categories, statuses and ways to pay that a demand names as such: "by card", "cancelled orders", "from the pets category".

They are values of this lake, found by patterns of the language around them; texts are no part of this, see `retrieval`.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from found_platform.rewriting.ground import Ground, words
from found_platform.rewriting.language import Language, languages


@dataclass(frozen=True)
class Values:
    """By the key of an act, the values that are asked of what will be done, and of what was done before."""

    of_act: dict[str, tuple[str, ...]] = field(default_factory=dict)
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
            at = 0
            while match := pattern.search(text, at):
                if key == "statuses" and _is_text(lake, match):
                    at = match.end()
                    continue
                side = before if clause and match[0].strip() in clause else values_of
                side[key] = tuple(dict.fromkeys((*side.get(key, ()), *spellings[match["value"]])))
                kept = match.groupdict().get("object") or ""
                text = f"{text[: match.start()]} {kept} {text[match.end() :]}"
    return text, Values(values_of, before)


def _is_text(lake: Ground, match: re.Match[str]) -> bool:
    """Whether a text says a status and what has it, as "invoice failed" does: then texts are asked."""
    kept = match.groupdict().get("object")
    if not kept:
        return False
    stem = kept.strip()[:5]
    holders = {place for word in match["value"].lower().split() for place in lake.vocabulary.get(word, [])}
    return any(any(word.startswith(stem) for word in words(lake.items[place])) for place in holders)


def take_bare(lake: Ground, text: str, clause: str, named: Values, language: Language) -> tuple[str, Values]:
    """A demand without a status of several words, or words that are forms of one and say nothing else: "who will renew" where rows
    are "renewed".

    Of one in the `clause` about what was done before, it is asked there.
    """
    if named.of_act.get("statuses") or named.before.get("statuses") or not lake.statuses:
        return text, named
    for status in sorted(lake.statuses, key=len, reverse=True):  # "no_show", "nicht erschienen": what it denies is a part of it
        parts = [re.escape(word) for word in words(status)]
        said = r"[\s_-]+".join(parts)
        match = re.search(rf"(?<!\w){said}s?(?!\w)", text) if len(parts) > 1 else None
        if match:
            text = f"{text[: match.start()]} {text[match.end() :]}"
            if match[0] in clause:
                return text, Values(named.of_act, {**named.before, "statuses": (status,)})
            return text, Values({**named.of_act, "statuses": (status,)}, named.before)
    endings = language.at("endings")
    for word in re.findall(r"[^\W\d_]{4,}", text):
        if language.has(word) or any(own[:3] == word[:3] and _is_form(word, own, endings) for own in lake.vocabulary):
            continue
        plain = language.without_participle(word)
        if chosen := tuple(s for s in lake.statuses if _is_form(plain, language.without_participle(s.lower()), endings)):
            text = re.sub(rf"(?<!\w){word}(?!\w)", " ", text, count=1)
            if re.search(rf"(?<!\w){word}(?!\w)", clause):
                return text, Values(named.of_act, {**named.before, "statuses": chosen})
            return text, Values({**named.of_act, "statuses": chosen}, named.before)
    return text, named


def _is_form(word: str, status: str, endings: list[str]) -> bool:
    """Whether a word and a status are forms of one verb."""
    if word == status or any(word == status + ending or status == word + ending for ending in endings):
        return True
    stem = word[: max(4, len(word) - 2)]
    return len(word) > 4 and status.startswith(stem) and abs(len(status) - len(word)) <= 3


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
