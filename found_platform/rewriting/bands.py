"""Numbers that a profile holds as texts: `15-24K`, `Under 15K`, `250K+`, `3+`, `2`.

What belongs here: which of them a limit takes in. What does not: ages, which have words of their own (`outcome`), and the words
of a demand (`traits`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

FIGURE = r"(\d+(?:[.,]\d+)?)\s*(k|m)?"
SHAPES = {
    "range": re.compile(rf"^[$€£]?{FIGURE}\s*(?:-|–|to|bis)\s*[$€£]?{FIGURE}$"),
    "from": re.compile(rf"^(?:over|above|more than|über|ab)?\s*[$€£]?{FIGURE}\s*\+?$"),
    "below": re.compile(rf"^(?:under|below|less than|up to|<|unter|bis)\s*[$€£]?{FIGURE}$"),
}
COUNTED, BEYOND = 100, 1.1
"""Below so much numbers count something."""
SCALES = {"k": 1e3, "m": 1e6}


@dataclass(frozen=True)
class Band:
    """A value of an attribute and the numbers that it stands for, both included."""

    value: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """Where most of it lies; an open band of amounts lies beyond what it begins with, one of counts may be that."""
        if math.isinf(self.high):
            return self.low if self.low < COUNTED else BEYOND * self.low
        return (self.low + self.high) / 2


def of(values: Sequence[str]) -> list[Band]:
    """The bands of an attribute; none where a value of it is none."""
    bands = [_band(value) for value in values]
    return [band for band in bands if band] if all(bands) and len(bands) > 1 else []


def _band(value: str) -> Band | None:
    text = value.strip().lower()
    if match := SHAPES["range"].match(text):
        low, scale, high, scale_of_both = match.groups()
        return Band(value, _number(low, scale or scale_of_both), _number(high, scale_of_both))
    if match := SHAPES["below"].match(text):
        return Band(value, 0.0, _number(*match.groups()))
    if match := SHAPES["from"].match(text):
        number = _number(*match.groups())
        is_open = text.endswith("+") or not text[0].isdigit()
        return Band(value, number, math.inf if is_open else number)
    return None


def _number(figure: str, scale: str | None) -> float:
    return float(figure.replace(",", ".")) * SCALES.get(scale or "", 1.0)


def within(bands: Sequence[Band], low: float | None, high: float | None) -> list[str]:
    """The values that lie mostly between two numbers, either of them open, both included."""
    lowest, highest = -math.inf if low is None else low, math.inf if high is None else high
    return [band.value for band in bands if lowest <= band.middle <= highest]
