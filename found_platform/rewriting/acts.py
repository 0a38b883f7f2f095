"""What a demand says about acts: how often, for how much, again or no longer, among whom, and by what users are to be ranked.

What it says so is taken out of the demand; the rest says what it is about, and is read by `reading`. Where a demand says nothing of
the kind, the rest is all of it.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from found_platform.outcomes.outcome import Rank
from found_platform.rewriting.language import Language


@dataclass(frozen=True)
class Before:
    """What the users who are meant did in the last `days` days: `clause` says it, or nothing does. None is the demand's horizon."""

    clause: str
    days: int | None
    negated: bool = False


@dataclass(frozen=True)
class Acts:
    """The parts of a demand that are about acts."""

    negated: bool = False
    times: int | None = None
    days: int | None = None
    is_total: bool = False  # an amount is meant in total
    is_once: bool = False  # an amount is meant for one event
    share: float | None = None
    more: Literal["times", "total"] | None = None
    less: Literal["times", "total"] | None = None
    every: int | None = None  # days of which each must have one
    history: Literal["first", "again"] | None = None
    returned: bool = False
    before: Before | None = None
    rank: Rank | None = None
    lapse: bool = False  # who is here now and will be no longer
    is_anything: bool = False  # whatever is done counts

    @property
    def is_empty(self) -> bool:
        """Whether the demand says nothing about acts."""
        return self == Acts()


def read(text: str, language: Language) -> tuple[str, Acts]:
    """A demand in lower case, without what it says about acts, and that."""
    reader = _Reader(text, language)
    acts = reader.acts()
    return (reader.text if not acts.is_empty else text), acts


class _Reader:
    """Takes patterns out of a text, one after the other."""

    def __init__(self, text: str, language: Language):
        self.text, self.language = text, language

    def acts(self) -> Acts:
        before = self._before()
        lapse, stop = self._take("acts", "lapse") is not None, self._take("acts", "stop") is not None
        negated = self._take("acts", "nothing") is not None or self._negated()
        more, less = self._compared("more"), self._compared("less")
        days, times = self._count("days"), self._count("times")
        if times is None:
            times = next(
                (n for pattern, n in self.language.at("acts", "times_words").items() if self._cut(re.compile(pattern))), None
            )
        share = self._share()
        first, returned = self._take("acts", "first") is not None, self._take("acts", "returned")
        again = self._take("acts", "again") is not None
        is_total, is_once = self._take("acts", "total") is not None, self._take("acts", "once") is not None
        value, affinity = self._take("acts", "value") is not None, self._take("acts", "affinity") is not None
        history: Literal["first", "again"] | None = "first" if first else "again" if again else None
        active = self._take("acts", "active") is not None
        if before is None and (lapse or stop or active):
            before = Before("", None)
        every = self._every()
        is_anything = self._find("acts", "at_all") is not None
        acts = Acts(
            negated=lapse or stop or negated,
            times=times,
            days=days,
            is_total=is_total,
            is_once=is_once,
            share=share,
            more=more,
            less=less,
            every=every,
            history=history if not (lapse or stop or negated) else None,
            returned=returned is not None,
            before=before,
            rank="value" if value else "affinity" if affinity else None,
            lapse=lapse or stop,
        )
        if acts.is_empty:
            return acts
        self._take("acts", "at_all")
        return replace(acts, is_anything=is_anything)

    def _compared(self, name: str) -> Literal["times", "total"] | None:
        """Which quantity is to be more, or less, than before."""
        if self._take("acts", name, "total"):
            return "total"
        return "times" if self._take("acts", name, "times") else None

    def _every(self) -> int | None:
        """The days of each of which it is to be done."""
        days = self.language.at("days")
        if match := self._take("acts", "every"):
            return days[match["unit"]]
        words = self.language.at("acts", "every_words")
        return next((days[unit] for pattern, unit in words.items() if self._cut(re.compile(pattern))), None)

    def _find(self, *path: str) -> re.Match[str] | None:
        node = self.language.at(*path)
        patterns = self.language.patterns(*path) if isinstance(node, list) else [self.language.pattern(*path)]
        return next((match for pattern in patterns if (match := pattern.search(self.text))), None)

    def _take(self, *path: str) -> re.Match[str] | None:
        """The first match of a pattern, which is taken out of the text; what it calls `object` stays."""
        match = self._find(*path)
        if match:
            groups = match.groupdict()
            kept = groups.get("object") or groups.get("object2") or ""
            self.text = f"{self.text[: match.start()]} {kept} {self.text[match.end() :]}"
        return match

    def _cut(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.search(self.text)
        if match:
            self.text = f"{self.text[: match.start()]} {self.text[match.end() :]}"
        return match is not None

    def _before(self) -> Before | None:
        """The clause that says what the users did before."""
        match = self._find("acts", "before")
        if not match:
            return None
        starts = list(self.language.pattern("acts", "clause_start").finditer(self.text[: match.start()]))
        if not starts:
            return None
        start = starts[-1]
        clause, rest = self.text[start.end() : match.start()].strip(), self.text[match.end() :]
        joint = self.language.pattern("acts", "clause_joint").match(rest)
        after = rest[joint.end() if joint else 0 :].strip()
        if not after:  # nothing is said of the future: the clause is all there is
            return None
        self.text = f"{self.text[: start.start()]} {self.language.at('pronoun')} {after}"
        negated = self.language.pattern("acts", "clause_not").search(clause) is not None
        clause = self.language.pattern("acts", "clause_not").sub(" ", clause)
        groups = match.groupdict()
        unit, number = groups.get("unit"), groups.get("number")
        days = (self.language.value(number) if number else 1) * self.language.at("days")[unit] if unit else None
        return Before(clause, days, negated)

    def _negated(self) -> bool:
        """Whether all that is said of the people is that they will not."""
        match = self._find("acts", "not")
        if not match or self._names_something(match["who"]):
            return False
        self.text = f"{match['who']} {match['pronoun']} {self.text[match.end() :]}"
        return True

    def _names_something(self, text: str) -> bool:
        content = self.language.content
        dull = {*content["audience"], *content["grammar"], *content["acts"]["general"][""]}
        return any(word not in dull for word in re.findall(r"[\w'-]+", text))

    def _count(self, name: str) -> int | None:
        match = self._take("acts", name)
        if not match:
            return None
        more = self.language.pattern("acts", "more_than").match(match.groupdict().get("over") or match[0].strip())
        return self.language.value(match["number"].strip()) + bool(more)

    def _share(self) -> float | None:
        match = self._take("acts", "share")
        if not match:
            return None
        if match["percent"]:
            return min(1.0, max(0.01, int(match["percent"]) / 100))
        return 0.5 if match["half"] else 1 / 3 if match["third"] else 0.25
