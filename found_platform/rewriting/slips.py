"""Slips of the pen in a demand: "wiil byu cofee". A word that is none is read as the one word of the grammar or of the lake that it
is a slip of, and the answer says so.

What belongs here: which word was meant. What does not: what words mean (`reading`, `retrieval`). A real word is never another one:
real is what the lists of the languages have, what the lake has, and what the text encoder has a token of its own for.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from found_platform.rewriting import language as languages
from found_platform.rewriting.ground import Ground, words
from found_platform.rewriting.language import Language

SHORTEST = 4
"""Letters of a word that may be a slip; three where two of them changed places."""
SURE = 6
"""Letters of a word in which a letter may be lacking or too many, where nothing tells real words from others."""
MOST = 40
"""Words of a demand that are looked at."""
RARE = 10_000
"""From this token on a word of three letters is as likely an abbreviation as a word: common words have the first tokens."""
INFLECTED = ("'s", "s", "es", "ed", "d", "ing", "er", "ers", "ly", "n't")
"""Endings: a word with one of them is another form, and no slip."""


def corrected(lake: Ground, text: str, spoken: Language) -> tuple[str, list[str]]:
    """A demand in lower case with its slips mended, and a note on each."""
    vocabulary, notes = _known(lake), dict[str, str]()
    tokens = re.findall(r"(?<![\w'-])[^\W\d_]{3,}(?![\w'-])", text)
    for word in list(dict.fromkeys(tokens))[:MOST]:
        if word in vocabulary or spoken.has(word):
            continue
        meant = _meant(lake, word, spoken)
        if meant is not None:
            text = re.sub(rf"(?<![\w'-]){re.escape(word)}(?![\w'-])", meant, text)
            notes[word] = f"read “{word}” as “{meant}”"
    return text, list(notes.values())


def _meant(lake: Ground, word: str, spoken: Language) -> str | None:
    """The word that another one is a slip of; None where it is none, or may be one of several."""
    real = _is_real(lake, word)
    if real:
        verbs = {verb for verbs in spoken.kinds.values() for verb in verbs}
        swapped = [other for other in _swapped(word) if other in verbs]
        return swapped[0] if len(word) == SHORTEST - 1 and len(swapped) == 1 and not _is_common(lake, word) else None
    if len(word) < SHORTEST:
        return None
    grammar, goods = _words_of(spoken.code), _words_of_lake(lake)
    if any(own.startswith(word.removesuffix("s")) for own in lake.vocabulary):  # "docs" are the documentation, and no "does"
        grammar = _Words({})
    swaps = {other for other in _swapped(word) if grammar.has(other) or goods.has(other)}
    if len(swaps) == 1:
        return swaps.pop()
    is_told = spoken.code == languages.DEFAULT  # the encoder knows the words of that language
    near = [(word[0], length) for length in range(len(word) - 1, len(word) + 2)]
    close = {
        other
        for index in (grammar, goods)
        for key in near
        for other in index.by_length.get(key, ())
        if _is_slip(word, other, is_told)
    }
    doubled = {other for other in close if _undoubled(other) == _undoubled(word)}
    close = doubled or close
    return close.pop() if len(close) == 1 and not swaps else None


def _is_slip(word: str, other: str, is_told: bool) -> bool:
    """Whether a word is another one with one letter lacking, too many, or (where real words are told) wrong; not the first one."""
    shorter, longer = sorted((word, other), key=len)
    if longer.startswith(shorter) and longer[len(shorter) :] in INFLECTED:
        return False
    if other[:1] != word[:1] or abs(len(other) - len(word)) > 1 or len(other) < SHORTEST or other == word:
        return False
    if _undoubled(other) == _undoubled(word) and len(other) > SHORTEST:
        return True
    least = SHORTEST + 1 if is_told else SURE
    if len(word) != len(other):
        places = [i for i in range(1, len(longer)) if longer[:i] + longer[i + 1 :] == shorter]
        is_ending = places == [len(longer) - 1]
        return bool(places) and len(longer) >= least and (is_told or not is_ending)
    wrong = [i for i, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
    return is_told and len(wrong) == 1


def _swapped(word: str) -> Iterator[str]:
    """A word with two letters that stand side by side in the other order, the first one left where it is but in a short word."""
    for i in range(len(word) - 1):
        if word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1+", r"\1", word)


@dataclass(frozen=True, eq=False)
class _Words:
    """Words by their first letter and length."""

    by_length: dict[tuple[str, int], list[str]]

    @classmethod
    def of(cls, words_: Iterable[str]) -> "_Words":
        by_length: dict[tuple[str, int], list[str]] = {}
        for word in {word for word in words_ if len(word) >= SHORTEST - 1 and word.isalpha()}:
            by_length.setdefault((word[0], len(word)), []).append(word)
        return cls(by_length)

    def has(self, word: str) -> bool:
        return word in self.by_length.get((word[0], len(word)), ())


@lru_cache(maxsize=4)
def _words_of(code: str) -> _Words:
    """The words of a language that a slip may be of."""
    spoken = languages.languages()[code]
    more = [*spoken.at("times", "months"), *spoken.at("times", "feasts"), *spoken.at("slips")]
    return _Words.of([*spoken.vocabulary, *more])


@lru_cache(maxsize=2)
def _words_of_lake(lake: Ground) -> _Words:
    """The words of the items and of the profile that a slip may be of."""
    named = [*lake.vocabulary, *_letters(value for values in lake.attributes.values() for value in values)]
    return _Words.of(named)


@lru_cache(maxsize=2)
def _known(lake: Ground) -> frozenset[str]:
    """The words of every language and of the lake: none of them is a slip."""
    spoken = languages.languages().values()
    named = [*lake.statuses, *lake.payment_methods, *lake.attributes, *lake.numbers]
    named += [value for values in lake.attributes.values() for value in values]
    named += [text for one in spoken for text in _texts(one.content)] + [verb for one in spoken for verb in one.vocabulary]
    return frozenset([*lake.vocabulary, *re.findall(r"[^\W\d_]+", " ".join(named).lower())])


def _texts(content: object) -> Iterator[str]:
    """All texts of a language's file: the words of its patterns are words too."""
    if isinstance(content, str):
        yield re.sub(r"\\\w", " ", content)
    elif isinstance(content, Mapping):
        yield from (text for pair in content.items() for part in pair for text in _texts(part))
    elif isinstance(content, list):
        yield from (text for part in content for text in _texts(part))


def _letters(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in words(text)]


def _is_real(lake: Ground, word: str) -> bool:
    """Whether the encoder has a token for a word, or for what it is a form of."""
    forms = [word, *(word.removesuffix(end) for end in INFLECTED if word.endswith(end) and len(word) - len(end) >= SHORTEST)]
    forms += [form + "e" for form in forms[1:]]
    return any(_token(lake, form) is not None for form in forms)


def _is_common(lake: Ground, word: str) -> bool:
    token = _token(lake, word)
    return token is not None and token < RARE


def _token(lake: Ground, word: str) -> int | None:
    """The one token of a word; None where it is several."""
    ids = np.asarray(lake.encoder.tokenize([word])["input_ids"][0]).tolist()
    return int(ids[len(ids) // 2]) if len(ids) <= 3 else None  # between the marks of beginning and end
