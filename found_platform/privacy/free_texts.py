"""Free texts that are kept: reasons, names of things, sentences. None may name a person whom it is about, or who was erased.

What belongs here: what of a text counts as a name of a person, refusing such a text, and taking names of erased persons out of it.
What does not: finding persons in what is kept already (`found_platform.erasure`).
"""

import re
from collections.abc import Iterable, Iterator, Set
from typing import Any

from found_platform.errors import BadInput
from found_platform.privacy import keys, tombstones
from found_platform.settings import Settings

SHORT = 6
"""Characters from which on an id counts wherever it stands in a text: six digits that happen to stand there are rare enough."""

FEW = 1_000
"""Persons up to whom a shorter id counts too where a text is about them: of a long list some number would always be met."""

MOST_WORDS = 3
"""Words of one id: "Anna Meier" is two."""

PART = re.compile(r"\S+")
AROUND = "\"'`´‘’“”«»()[]{}<>,.;:!?"
"""Characters around a word that are no part of it; an id that holds them is also met as it stands."""

ERASED = "erased"


def check_reasons(settings: Settings, what: str, texts: Iterable[str], user_keys: Set[str]) -> None:
    """Raises BadInput where a text that would be kept names one of the persons whom it is about, or somebody who was erased.

    Args:
        what: such a text is called in the sentence.
        user_keys: of the persons whom it is about.
    """
    secret = keys.home_secret(settings)
    least = 1 if len(user_keys) <= FEW else SHORT
    for text in filter(None, texts):
        _check(secret, what, text, user_keys, least)
        if tombstones.count(settings) and tombstones.erased(settings, secret, {_key(secret, w) for w in _words(text, SHORT)}):
            raise BadInput(f"{what} names somebody who was erased, and it would be kept: say it without the id.")


def check_demand(settings: Settings, texts: Iterable[str | None], user_keys: Set[str]) -> None:
    """Raises BadInput where the sentence, the phrases or the name of what is asked names one of the persons who are given beside.

    Numbers belong to demands, so ids shorter than `SHORT` do not count.
    """
    secret = keys.home_secret(settings) if user_keys else b""
    for text in filter(None, texts):
        _check(secret, "The demand or its name", text, user_keys, SHORT)


def _check(secret: bytes, what: str, text: str, user_keys: Set[str], least: int) -> None:
    if user_keys and any(_key(secret, word) in user_keys for word in _words(text, least)):
        raise BadInput(f"{what} names one of the persons, and it would be kept: say it without the id.")


def without_erased(settings: Settings, value: Any) -> Any:
    """A text, or the texts in lists and mappings, without ids and keys of persons who were erased or are being erased."""
    if not tombstones.count(settings):
        return value
    return _cleaned(settings, keys.home_secret(settings), value)


def _cleaned(settings: Settings, secret: bytes, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cleaned(settings, secret, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(settings, secret, each) for each in value]
    if not isinstance(value, str):
        return value
    by_key: dict[str, list[str]] = {}
    for word in _words(value, SHORT):
        by_key.setdefault(_key(secret, word), []).append(word)
    erased = {word for key in tombstones.erased(settings, secret, by_key) for word in by_key[key]}
    for word in sorted(erased, key=len, reverse=True):
        value = value.replace(word, ERASED)
    return value


def _key(secret: bytes, word: str) -> str:
    """The key that a word would be the id of, or that it is."""
    return word if keys.KEY.fullmatch(word.encode(errors="replace")) else keys.user_key(secret, word)


def _words(text: str, least: int) -> Iterator[str]:
    """What in a text may be an id: all of it, each word, some words in a row; with and without the characters around them."""
    text = text.encode(errors="replace").decode()  # half a character of UTF-16 is in no id
    if len(text) >= least:
        yield text
    parts = list(PART.finditer(text))
    for i, first in enumerate(parts):
        for last in parts[i : i + MOST_WORDS]:
            word = text[first.start() : last.end()]
            for each in {word, word.strip(AROUND)}:
                if len(each) >= least:
                    yield each
