"""Values of the profile that a demand names: "customers in Munich", "enterprise accounts", "A-Kunden", "on the basic plan".

What belongs here: finding them among what this home knows of its users, and the filter that they make. What does not: attributes
that have words in every language, such as sex and age (`reading`), and values of events (`values`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import yaml

from found_platform.rewriting import language as languages
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import Language

SHORTEST = 3
"""A shorter value, such as a class "A", is meant only where its column is named too."""
COLUMN = 4
"""A word of so many letters that a column's name ends with names the column: "class" of `customer_class`."""
SAME_LENGTH = {"ä": "a", "ö": "o", "ü": "u", "é": "e", "è": "e"}
FOLD = str.maketrans({**SAME_LENGTH, "ß": "ss"})
FOLD_IN_PLACE = str.maketrans(SAME_LENGTH)
"""Of a demand, whose words are found by where they stand."""


@dataclass(frozen=True)
class ValueFilter:
    """The words of a demand that name values of an attribute, and the filter that they are."""

    words: str
    condition: str


def filters_of(lake: Ground, text: str, spoken: Language) -> list[ValueFilter]:
    """The values that a demand in lower case names, each column once."""
    return _merged(each(lake, text, spoken))


def each(lake: Ground, text: str, spoken: Language) -> list[ValueFilter]:
    """The values that a demand in lower case names, one by one.

    Before the pronoun ("basic users who …") the words say who somebody is. Behind it they are mostly what is done: there a value
    needs a word such as "in" before it, and none of the words of the lake's items.
    """
    relative = spoken.pattern("relative").search(text) or spoken.pattern("who_ends").search(text)
    ends = relative.start() if relative and text[: relative.start()].strip() else 0
    item_words = _item_words(lake)
    filters = []
    for column, values in lake.attributes.items():
        common = set.intersection(*(set(_words(value)) for value in values)) if len(values) > 1 else set()
        matches: dict[str, list[str]] = {}
        for value in values:
            if words := _named(column, value, common, values, text, ends, item_words, spoken):
                matches.setdefault(_with_names(text, words, column, spoken), []).append(value)
        for words, named in matches.items():
            filters.append(ValueFilter(words, one_of(column, named)))
    return filters


@lru_cache(maxsize=2)
def _item_words(lake: Ground) -> set[str]:
    return {word for item in lake.items for word in _words(item)}


def _merged(filters: list[ValueFilter]) -> list[ValueFilter]:
    """Values of one column are asked together: "customers in Munich or Hamburg"; of two that overlap the longer words count."""
    kept = [one for one in filters if not any(one is not other and one.words in other.words for other in filters)]
    columns: dict[str, list[ValueFilter]] = {}
    for one in kept:
        columns.setdefault(one.condition.split(" IN (")[0], []).append(one)
    merged = []
    for column, group in columns.items():
        values = ", ".join(one.condition.removeprefix(f"{column} IN (").removesuffix(")") for one in group)
        merged += [ValueFilter(one.words, f"{column} IN ({values})" if one is group[0] else "") for one in group]
    return merged


def _named(
    column: str, value: str, common: set[str], values: list[str], text: str, ends: int, item_words: set[str], spoken: Language
) -> str | None:
    """The words of a demand that mean a value; None where it does not name it."""
    endings = "|".join(map(re.escape, spoken.at("endings")))
    column_word = rf"(?:{'|'.join(_column_words(column))})"
    before, after = spoken.at("value_before"), spoken.at("value_after").replace("{people}", spoken.people)
    denied = spoken.pattern("is_denied").search
    for spelling in _spellings(value, common, values, spoken):
        stem = r"[\s-]+".join(re.escape(word).replace("ss", "(?:ss|ß)") for word in spelling.split())
        start = rf"(?:(?<![\w-])|(?<=\b{spoken.at('non')}-))"
        shape = rf"{start}{stem}(?:{endings})?(?![\w])" if spelling[-1].isalnum() else rf"{start}{stem}"
        folded = text.translate(FOLD_IN_PLACE)
        with_column = rf"{column_word}\w{{0,2}}\s+(?:{spoken.at('value_is')}\s+)?{shape}|{shape}[\s-]+{column_word}\w{{0,2}}\b"
        match = re.search(with_column, folded)
        if match and (match.start() < ends or not set(_words(value)) & item_words or denied(folded[: match.start()])):
            return text[match.start() : match.end()]
        if match := re.search(rf"(?<![\w-]){stem}-(?=(?:{spoken.people})\b)", folded):
            return text[match.start() : match.end()]
        if len(spelling) < SHORTEST:
            continue
        is_item = bool(set(_words(spelling)) & item_words)
        for match in re.finditer(shape, folded):
            is_who = match.start() < ends
            placed = re.search(rf"\b(?:{before})\s+$", folded[: match.start()])
            followed = re.match(rf"[\s-]*(?:{after})\b", folded[match.end() :])
            if common:  # "premium current account" of the accounts "current account premium" and "… basic"
                shared = "|".join(map(re.escape, sorted(common)))
                start = re.search(rf"(?:\b(?:{shared})[\s-]+)*$", folded[: match.start()])
                end = re.match(rf"(?:[\s-]+(?:{shared})\b)*", folded[match.end() :])
                assert start is not None
                assert end is not None
                whole = text[start.start() : match.end() + end.end()]
                if is_who and whole != match[0]:
                    return whole
            is_denied = denied(folded[: match.start()]) is not None  # "who are not on Unlimited"
            if (is_who and not is_item) or (followed and (is_who or not ends)) or (placed and (is_who or not is_item)) or is_denied:
                return text[placed.start() if placed else match.start() : match.end()]
            if not ends and not folded[: match.start()].strip() and not is_item:  # "students with a loan"
                return text[match.start() : match.end()]
    return None


def _with_names(text: str, words: str, column: str, spoken: Language) -> str:
    """Words of a demand that name a value, with the words of the column's name and of where somebody is around them: "who live in
    tier 2 cities" is all of one condition, and no city is looked for."""
    names = [word for word in _words(column.replace("_", " ")) if not re.fullmatch(spoken.people, word)]
    plurals = [rf"{re.escape(name[:-1])}(?:y|ies)" if name.endswith("y") else rf"{re.escape(name)}(?:e?s)?" for name in names]
    name_pattern = rf"(?:{'|'.join(plurals)})" if plurals else r"(?!)"
    start = text.index(words)
    end = start + len(words)
    if after := re.match(rf"(?:[\s-]+{name_pattern}\b)+", text[end:].translate(FOLD)):
        end += after.end()
    if before := re.search(rf"(?:\b{name_pattern}[\s-]+)+$", text[:start].translate(FOLD)):
        start = before.start()
    if before := re.search(rf"\b(?:{spoken.at('value_where')})\s+$", text[:start]):
        start = before.start()
    return text[start:end]


def _spellings(value: str, common: set[str], values: list[str], spoken: Language) -> list[str]:
    """How a value may be written in a demand: itself, without the words that all values share, its last word where that is its
    alone, and its namesakes; folded, the longest first."""
    words = _words(value)
    own = [word for word in words if word not in common]
    spellings = {
        value.lower().translate(FOLD),
        spoken.plain(value).translate(FOLD),
        " ".join(own),
    }  # a demand's "200+" is "at least 200"
    if len(words) > 1 and sum(words[-1] in _words(other) for other in values) == 1 and words[-1].isalpha():
        spellings.add(words[-1])
    for names in _namesakes():
        if value.lower() in names:
            spellings |= {name.translate(FOLD) for name in names if len(name) >= SHORTEST}
    return sorted(filter(None, spellings), key=lambda spelling: (-len(spelling), spelling))


@cache
def _namesakes() -> tuple[tuple[str, ...], ...]:
    content = yaml.safe_load((resources.files(languages.PACKAGE) / "namesakes.yaml").read_text(encoding="utf-8"))
    return tuple(tuple(map(str, names)) for lines in content.values() for names in lines)


def _column_words(column: str) -> list[str]:
    """What a column may be called in a demand: its name, its last word, and the ends of a word that runs together."""
    name = column.lower().translate(FOLD)
    last = re.split(r"[_\W]+", name.strip("_"))[-1]
    ends = [last[at:] for at in range(1, len(last) - COLUMN + 1)]
    return [re.escape(word) for word in dict.fromkeys([name.replace("_", " "), last, *ends])]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:[-+][^\W_]*)?", text.lower().translate(FOLD))


def quoted(column: str) -> str:
    """A column as filters name it."""
    return column if re.fullmatch(r"[a-z_][a-z0-9_]*", column) else '"' + column.replace('"', '""') + '"'


def one_of(column: str, values: Iterable[str]) -> str:
    """A filter of who has one of these values."""
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{quoted(column)} IN ({listed})"
