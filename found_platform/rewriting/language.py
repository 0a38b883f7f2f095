"""The languages in which demands are read: word lists and patterns as data, `languages/CODE.yaml` and `CODE_PART.yaml`.

A new language is new files.

What belongs here: the data, compiled, and telling which language a sentence is in. What does not: reading (`reading`, `acts`).
"""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

import yaml

from found_platform.channels import channels
from found_platform.documents import LOADER

PACKAGE = "found_platform.rewriting"
DEFAULT = "en"
"""Its verbs stand with the channels."""
SENTENCE, OWN = 3, 0.2
"""Of a sentence of so many words, this share must be of the language's lists; fewer words may be names of goods alone."""


@dataclass(frozen=True)
class Language:
    """A language by its code (ISO 639-1) and the content of its files."""

    code: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is called in English."""
        return self.content["name"]

    @cached_property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The verbs that ask for each kind of act."""
        own = self.content.get("kinds")
        return {kind: tuple(verbs) for kind, verbs in own.items()} if own else {c.kind: c.verbs for c in channels()}

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """All words of its lists: what it is told by."""
        lists = [self.content[name] for name in ("audience", "grammar", "numbers", "days")]
        lists += [*self.kinds.values(), *self.content["acts"]["general"].values()]
        return frozenset(word for words in lists for phrase in words for word in phrase.split())

    def has(self, word: str) -> bool:
        """Whether a word in lower case is one of its lists, or looks like one of its own."""
        return word in self.vocabulary or self.pattern("signs").match(word) is not None

    def pattern(self, name: str, *path: str) -> re.Pattern[str]:
        """A pattern of the file, by where it stands."""
        return _compiled(self.code, (name, *path))

    def patterns(self, name: str, *path: str) -> list[re.Pattern[str]]:
        """A list of patterns, by where it stands."""
        return [_compiled(self.code, (name, *path, str(i))) for i in range(len(self.at(name, *path)))]

    def at(self, *path: str) -> Any:
        """What stands at a place of the file."""
        node: Any = self.content
        for step in path:
            node = node[int(step)] if isinstance(node, list) else node[step]
        return node

    @cached_property
    def unit(self) -> str:
        """A pattern of a unit of time."""
        return f"(?P<unit>{alternatives(self.content['days'])}){self.content['plural']}"

    @cached_property
    def number(self) -> str:
        """A pattern of a number, in digits or in words, and the space after it."""
        return rf"(?:(?P<number>\d+|{alternatives(self.content['numbers'])})(?:\s+|(?=\b)))"

    @cached_property
    def people(self) -> str:
        """A pattern of the words for those who are meant."""
        return alternatives([*self.content["audience"], *self.content["acts"]["people"]])

    @cached_property
    def money(self) -> str:
        """A pattern of an amount of money."""
        return (
            r"(?P<sign>[$€£¥]|\b(?:usd|eur|gbp)\s*)?(?P<figure>\d[\d.,]*\d|\d)\s*(?P<scale>k|m)?\b\s*"
            rf"(?P<currency>[$€£¥]|{self.content['currencies']})?(?P<next>\s*(?:%|[a-zäöüß]+))?"
        )

    def cased(self, sentence: str) -> str:
        """A sentence with the words that only capitals tell from others ("US", "us") in other words."""
        if not sentence.isupper():
            for pattern, other in self.content.get("capitals", []):
                sentence = re.sub(pattern, other, sentence)
        return sentence

    def plain(self, sentence: str) -> str:
        """A sentence in lower case, with what the file's `rewrites` write otherwise."""
        text = sentence.lower().replace("’", "'")
        for pattern, other in self._rewrites:
            text = pattern.sub(other, text)
        return self.in_figures.sub(self._figure, text).strip(" .!?")

    def without_participle(self, word: str) -> str:
        """A word in lower case without what makes it a participle: "abgesagt" as "absagt"."""
        pattern, other = self.content.get("participle", ("(?!)", ""))
        return re.sub(pattern, other, word)

    def with_habits_as_past(self, text: str) -> str:
        """A demand in lower case in which "who drink coffee and will buy tea" had coffee, as the file's `habits` write it."""
        for pattern, other in self._habits:
            text = pattern.sub(other, text)
        return text

    @cached_property
    def _rewrites(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(pattern), other) for pattern, other in self.content["rewrites"]]

    @cached_property
    def _habits(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(pattern), other) for pattern, other in self.content["habits"]]

    @cached_property
    def in_figures(self) -> re.Pattern[str]:
        """A pattern of an amount of money in words."""
        words, scales = alternatives(self.content["numbers"]), alternatives(self.content["scales"])
        return re.compile(
            rf"\b(?:(?P<many>\d+|{words})[\s-]*(?P<scale>{scales})|(?P<scale_alone>{scales})|(?P<few>{words}))\s+"
            rf"(?={self.content['currencies']})"
        )

    def _figure(self, match: re.Match[str]) -> str:
        count = self.value(match["many"] or match["few"]) if match["many"] or match["few"] else 1
        scale = match["scale"] or match["scale_alone"]
        return f"{count * (self.content['scales'][scale] if scale else 1)} "

    def expand(self, pattern: str) -> str:
        """A pattern of the file with its placeholders filled."""
        spaced = re.sub(r"\s*\n\s*", "", pattern)
        count = rf"(?P<number>\d+|{alternatives(self.content['numbers'])})"
        return (
            spaced.replace("{count}", count)
            .replace("{count2}", count.replace("<number>", "<number2>"))
            .replace("{decades}", alternatives(self.content["decades"]))
            .replace("{ordinal}", alternatives(self.content["acts"]["ordinals"]))
            .replace("{people}", self.people)
            .replace("{n}", self.number)
            .replace("{unit}", self.unit)
            .replace("{money}", self.money)
            .replace("{currency}", self.content["currencies"])
        )

    def value(self, number: str) -> int:
        """A number that `number` matched."""
        return int(number) if number.isdigit() else self.content["numbers"][re.sub(r"\s+", " ", number)]

    def amount(self, figure: str) -> float:
        """A figure as it is written in this language: `1,200.50`, or `1.200,50` where the comma is the decimal sign."""
        if self.content.get("decimal", ".") == ",":
            figure = figure.replace(".", "").replace(",", ".")
        return float(figure.replace(",", ""))


@cache
def _compiled(code: str, path: tuple[str, ...]) -> re.Pattern[str]:
    language = languages()[code]
    return re.compile(language.expand(language.at(*path)))


def alternatives(options: Iterable[str]) -> str:
    """A pattern of any of these, the longest first."""
    return "|".join(re.escape(o).replace(r"\ ", r"\s+") for o in sorted(options, key=len, reverse=True))


@cache
def languages() -> dict[str, Language]:
    """All languages by code, the default first."""
    contents: dict[str, dict[str, Any]] = {}
    for file in (resources.files(PACKAGE) / "languages").iterdir():
        if file.name.endswith(".yaml"):
            code = file.name.removesuffix(".yaml").split("_")[0]
            contents.setdefault(code, {}).update(yaml.load(file.read_text(encoding="utf-8"), LOADER))
    order = sorted(contents, key=lambda code: (code != DEFAULT, code))
    return {code: Language(code, contents[code]) for code in order}


def heeded(text: str, spoken: Language, own: Container[str]) -> tuple[str, list[str]]:
    """A demand in lower case without what no outcome can say, such as weekdays and seasons, and notes on that. `own` are the words
    of the data: what may be one of its names stays."""
    notes = []
    for place, entry in enumerate(spoken.at("unheeded")):
        if all(word in own for word in entry.get("unless", ["\0"])):
            continue
        while match := spoken.pattern("unheeded", str(place), "words").search(text):
            notes.append(f"“{match[0].strip(' ,')}” is not heeded: {entry['reason']}")
            text = f"{text[: match.start()]} {text[match.end() :]}"
    return text, notes


def told_by(sentence: str) -> tuple[Language, bool]:
    """The language whose words a sentence has most of, and whether enough of them are; the default where no language has any."""
    tokens = re.findall(r"[^\W\d_]+(?:['’]\w+)?", sentence.lower())
    counts = {language.code: sum(map(language.has, tokens)) for language in languages().values()}
    code = max(counts, key=lambda code: counts[code])
    if not counts[code]:
        return languages()[DEFAULT], len(tokens) < SENTENCE and sentence.isascii()
    return languages()[code], len(tokens) < SENTENCE or counts[code] >= OWN * len(tokens)
