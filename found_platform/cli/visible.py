"""Text on a terminal: signs that would steer it, clear it or turn the order of letters are shown in place of taking effect.

Names of items, users and audiences come from elsewhere and may hold any sign. What belongs here: which signs those are. What does
not: files and pipes, where every byte stays what it is.
"""

import io
import re

STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
"""Control characters but tab and line feed, and those that change the direction of writing."""

STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
"""A colour or weight, as tables have them for their titles."""

HIDDEN = "\x1b[8m"
"""The style that no table has: it makes text unseen."""


def visible(text: str) -> str:
    """A text with the names of its signs that steer in place of them, such as `\\x1b`."""
    return STEERS.sub(lambda sign: repr(sign[0])[1:-1], text)


class Terminal(io.TextIOWrapper):
    """Stdout where it is a terminal: everything visible but styles."""

    def write(self, text: str, /) -> int:
        """See `io.TextIOWrapper.write`."""
        parts = STYLE.split(text)
        super().write("".join(part if place % 2 and part != HIDDEN else visible(part) for place, part in enumerate(parts)))
        return len(text)
