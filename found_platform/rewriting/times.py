"""Times that a demand states in other ways than "in the next N days": dates, feasts, quarters, hours, "this year", "since March".

What belongs here: writing them as the days that they are from the cutoff, and saying of those that no outcome can ask that they are
not heeded. What does not: reading days (`reading`, `acts`); weekdays and times of day (`language.heeded`).
"""

import calendar
import datetime as dt
import math
import re
from dataclasses import dataclass, field
from functools import cache

from found_platform.rewriting.language import Language, alternatives, languages

FARTHEST = 3650
"""Days ahead that an outcome can ask."""
UNITS = {"week": 7, "month": 30, "quarter": 91, "year": 365}
"""Days of a unit of the calendar, where none of it is behind the cutoff."""


@dataclass(frozen=True)
class Period:
    """Days of the calendar, the last one included."""

    first: dt.date
    last: dt.date


@dataclass
class Times:
    """A demand in lower case as its times are written anew, and what is to be said of them."""

    text: str
    notes: list[str] = field(default_factory=list)


def in_usual_words(text: str, spoken: Language) -> str:
    """A demand in lower case with spans of time as `reading` and dates as `resolved` know them: "48 hours" are two days."""
    for pattern, other in spoken.at("times", "rewrites"):
        text = re.sub(spoken.expand(pattern), other, text)
    return spoken.pattern("times", "hours").sub(lambda match: _in_days(match, spoken), text)


def resolved(text: str, spoken: Language, today: dt.date | None, first: dt.date | None = None) -> Times:
    """A demand in usual words, with its dates as days that `reading` knows.

    Args:
        today: the cutoff, from which days are counted; without it dates are left as they are.
        first: the day of the first event.
    """
    times = Times(text)
    if today is not None:
        _Calendar(times, spoken, today, first or today).write()
    return times


def day_range(text: str, spoken: Language, today: dt.date) -> tuple[dt.date | None, dt.date | None, int] | None:
    """The first and the last day of what a time at the beginning of a text names, either open, and how long its words are; None
    where it begins with none."""
    if match := re.match(rf"\s*(?:{spoken.expand(spoken.at('times', 'lately'))})", text):
        days = (spoken.value(match["number"].strip()) if match["number"] else 1) * spoken.at("days")[match["unit"]]
        return (today - dt.timedelta(days), None, match.end()) if days <= 10 * FARTHEST else None
    begun = re.match(rf"\s*(?P<after>(?:{spoken.at('times', 'after')})\s+)", text)
    replaced = f"{spoken.at('times', 'since')} {text[begun.end() :]}" if begun else text.lstrip()
    writer = _Calendar(Times(replaced), spoken, today, today)
    match = writer.pattern.match(replaced)
    period = writer.period(match, True) if match else None
    if match is None or period is None:
        return None
    length = match.end() + len(text) - len(replaced)
    if begun:
        return period.last + dt.timedelta(1), None, length
    if match["since"]:
        return period.first, None, length
    return (None, period.first - dt.timedelta(1), length) if match["before"] else (period.first, period.last, length)


def left_over(text: str, spoken: Language) -> tuple[str, list[str]]:
    """A demand without the times that nothing has read, and notes on them."""
    notes = []
    pattern = _pattern(spoken.code, "left_over")
    while match := pattern.search(text):
        notes.append(f"“{match[0].strip(' ,')}” is not heeded: {spoken.at('times', 'reason')}")
        text = f"{text[: match.start()]} {text[match.end() :]}"
    return text, notes


def _in_days(match: re.Match[str], spoken: Language) -> str:
    """Hours and minutes as days, at least one."""
    hours = spoken.value(match["number"].strip()) / (60 if match["minutes"] else 1)
    return f"{match['before'] or ''}{max(1, math.ceil(hours / 24))} {spoken.at('times', 'day_words')}"


class _Calendar:
    """Writes dates of a demand as days from the cutoff."""

    def __init__(self, times: Times, spoken: Language, today: dt.date, first: dt.date):
        self.times, self.spoken, self.today, self.first = times, spoken, today, first
        self.words: dict[str, str] = spoken.at("times", "words")
        self.months: dict[str, int] = spoken.at("times", "months")
        self.feasts: dict[str, list[int]] = spoken.at("times", "feasts")
        self.pattern = _pattern(spoken.code, "point")

    def write(self) -> None:
        """Every point or period that is said with a word such as "by", "since" or "in"."""
        at = 0
        while match := self.pattern.search(self.times.text, at):
            text = self.times.text
            written = self._written(match, self._is_past(match))
            if written is None:
                at = match.end()
                continue
            self.times.text = f"{text[: match.start()]}{written}{text[match.end() :]}"
            at = match.start() + len(written)

    def _is_past(self, match: re.Match[str]) -> bool:
        """Whether the clause around a match speaks of the past."""
        text = self.times.text
        before = re.split(self.words["clause"], text[: match.start()])[-1]
        after = re.split(self.words["clause"], text[match.end() :])[0] if self.spoken.at("verb_last") else ""
        clause = f"{before} {after}"
        return re.search(self.words["past"], clause) is not None and re.search(self.words["future"], clause) is None

    def _written(self, match: re.Match[str], is_past: bool) -> str | None:
        """What is written in the place of a match; None where it stays as it is."""
        word = next(name for name in ("until", "by", "before", "since", "within") if match[name])
        is_backwards = word == "since" or (is_past and word == "within")
        period = self.period(match, is_backwards)
        if period is None:
            return None
        is_backwards = is_backwards or (word == "within" and period.last < self.today)
        phrase = match[0].strip(" ,").removeprefix("within " if match["this"] else "")
        for name, words in self.spoken.at("times", "shown").items():
            phrase = re.sub(rf"\b{name}\b", words, phrase)
        if is_backwards:
            return self._back(period, phrase, match)
        if is_past:
            return self._unheeded(phrase, f"what was done before {period.first} and not later cannot be asked")
        if word == "within":
            if not period.first <= self.today <= period.last:
                return self._unheeded(phrase, "a window that begins later cannot be asked, say a number of days")
            return self._ahead(period.last + dt.timedelta(1), phrase)
        edge = period.first if word == "before" or (word == "by" and period.last > period.first) else period.last + dt.timedelta(1)
        return self._ahead(edge, phrase)

    def _ahead(self, edge: dt.date, phrase: str) -> str:
        """Up to a day, which is left out."""
        days = (edge - self.today).days
        if days < 1:
            return self._unheeded(phrase, f"it does not lie ahead of {self.today}")
        self.times.notes.append(f"“{phrase}” is read as the next {days} days, up to {edge}")
        return " " + self.words["next"].format(days=days) + " "

    def _back(self, period: Period, phrase: str, match: re.Match[str]) -> str:
        """From a day on, up to the cutoff."""
        days = (self.today - period.first).days
        if days < 1 and match["unit"]:
            days = UNITS[self._unit(match["unit"])]
        if days < 1:
            return self._unheeded(phrase, f"it is not before {self.today}")
        whole = max(1, (self.today - self.first).days)
        note = f"“{phrase}” is read as the last {min(days, whole)} days"
        if days > whole:
            note += ", which is all of the past there is"
        elif match["since"] is None and period.last < self.today - dt.timedelta(1):
            note += ", since a window that ended before cannot be asked"
        self.times.notes.append(note)
        return " " + self.words["last"].format(days=min(days, whole)) + " "

    def _unheeded(self, phrase: str, reason: str) -> str:
        self.times.notes.append(f"“{phrase}” is not heeded: {reason}")
        return " "

    def _unit(self, word: str) -> str:
        return next(unit for unit, words in self.spoken.at("times", "units").items() if word in words)

    def period(self, match: re.Match[str], is_backwards: bool) -> Period | None:
        """The days that a match names; where it says no year, the next such days, or the last ones before the cutoff."""
        groups = match.groupdict()
        try:
            if groups["iso"]:
                day = dt.date.fromisoformat(groups["iso"])
                return Period(day, day)
            if groups["unit"] and not (groups["end"] or groups["this"] or (groups["coming"] and not match["within"])):
                return None  # "in the week", "in the next month": a number of days
            if groups["unit"]:
                return self._of_unit(self._unit(groups["unit"]), groups)
            year = next(
                (int(groups[name]) for name in ("dmy_year", "dm_year", "md_year", "m_year", "q_year") if groups[name]), None
            )
            year = year + 2000 if year is not None and year < 100 else year
            if groups["year"]:
                return _at_end(_months(int(groups["year"]), 1, 12), groups)
            years = [year] if year else [self.today.year + step for step in (-1, 0, 1)]
            periods = [self._in_year(groups, one) for one in years]
        except ValueError:
            return None
        if is_backwards:
            return next((period for period in reversed(periods) if period.first < self.today), periods[0])
        return next((period for period in periods if period.last >= self.today), periods[-1])

    def _in_year(self, groups: dict[str, str], year: int) -> Period:
        """The days that are named without their year, in a year."""
        if groups["dmy_day"]:
            day = dt.date(year, int(groups["dmy_month"]), int(groups["dmy_day"]))
        elif groups["dm_day"] or groups["md_day"]:
            month = self.months[groups["dm_month"] or groups["md_month"]]
            day = dt.date(year, month, int(groups["dm_day"] or groups["md_day"]))
        elif groups["feast"]:
            day = dt.date(year, *self.feasts[re.sub(r"\s+", " ", groups["feast"])])
        elif groups["quarter"]:
            return _at_end(_months(year, 3 * int(groups["quarter"]) - 2, 3), groups)
        elif groups["half"]:
            return _at_end(_months(year, 1 if groups["half"] in self.spoken.at("times", "firsts") else 7, 6), groups)
        else:
            month = self.months[groups["month"]]
            return _at_end(_months(year, month, 1), groups)
        return Period(day, day)

    def _of_unit(self, unit: str, groups: dict[str, str]) -> Period:
        """This week, month, quarter or year, or the next one; its end alone, where that is said."""
        first, step = self._start(unit), 1 if groups["coming"] else 0
        for _ in range(step):
            first = self._after(first, unit)
        return _at_end(Period(first, self._after(first, unit) - dt.timedelta(1)), groups)

    def _start(self, unit: str) -> dt.date:
        today = self.today
        if unit == "week":
            return today - dt.timedelta(today.weekday())
        month = {"month": today.month, "quarter": (today.month - 1) // 3 * 3 + 1, "year": 1}[unit]
        return dt.date(today.year, month, 1)

    def _after(self, first: dt.date, unit: str) -> dt.date:
        if unit == "week":
            return first + dt.timedelta(7)
        return _months(first.year, first.month, {"month": 1, "quarter": 3, "year": 12}[unit]).last + dt.timedelta(1)


def _months(year: int, month: int, count: int) -> Period:
    """So many months from one on."""
    end_year, end_month = year + (month + count - 2) // 12, (month + count - 2) % 12 + 1
    return Period(dt.date(year, month, 1), dt.date(end_year, end_month, calendar.monthrange(end_year, end_month)[1]))


def _at_end(period: Period, groups: dict[str, str]) -> Period:
    """The last day of a period, where a demand says "the end of"."""
    return Period(period.last, period.last) if groups["end"] else period


@cache
def _pattern(code: str, name: str) -> re.Pattern[str]:
    """A pattern of times, with the names of months and the like in it."""
    spoken = languages()[code]
    at = spoken.content["times"]
    pattern = re.sub(r"\s*\n\s*", "", at[name]).replace("<date>", at.get("date", ""))
    unit = f"(?:{alternatives(spoken.content['days'])}){spoken.content['plural']}"
    count = rf"(?:\d+|{alternatives(spoken.content['numbers'])})"
    names = {
        "months": alternatives(at["months"]),
        "feasts": alternatives(at["feasts"]),
        "units": alternatives(word for words in at["units"].values() for word in words),
        "unit": unit,
        "span": rf"{count}[\s-]*{unit}",
    }
    for key, filled in names.items():
        pattern = re.sub(rf"(?<!\?P)<{key}>", lambda _, filled=filled: f"(?:{filled})", pattern)
    return re.compile(pattern)
