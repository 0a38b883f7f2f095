"""Documents that a person wrote, in YAML or JSON: read within bounds, so that none can hang the process or fill its memory.

What belongs here: how long, how deep and how far unfolded a document may be, and its errors of syntax. What does not: what a
document means (`sources.config`, `outcomes`, `evaluation.scenarios`).

An alias of YAML repeats what an anchor names without writing it again: ten lines can stand for a thousand million words. So the
size that counts is that of the document with each alias written out.
"""

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from found_platform.errors import BadInput

MOST_BYTES = 1_000_000
"""Of a document. A source file of every recipe has a few thousand."""
MOST_VALUES = 20_000
"""Keys and values, each alias written out."""
DEEPEST = 40
"""Lists and mappings within each other."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader of libyaml where the library has it: ten times as fast."""

NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""No name of a file and no query can hold these characters, which YAML writes as \\0 and \\ud800."""

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 2
_BRIEF.maxstring = _BRIEF.maxother = 80


def brief(value: Any) -> str:
    """A value in a message: shortened, for an alias may stand for more than anybody reads."""
    return _BRIEF.repr(value)


def load(path: Path, title: str, *, most_bytes: int = MOST_BYTES) -> Any:
    """The content of a document. `title` is what the file is called in errors: the source file, the outcome file.

    Raises BadInput where the file cannot be read, is no UTF-8, no YAML, or is out of bounds.
    """
    try:
        with path.open("rb") as file:  # no more than the bound, for a device has no end
            data = file.read(most_bytes + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"The {title} {path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise BadInput(
            f"The {title} {path} is not UTF-8 text: save it as UTF-8."
            if isinstance(error, UnicodeDecodeError)
            else f"The {title} {path!s} cannot be read: {error}."
        ) from None
    if len(data) > most_bytes:
        raise BadInput(f"The {title} {path} has more than {most_bytes:,} bytes: leave out what does not belong to it.")
    return parse(text, str(path))


def parse(text: str, where: str) -> Any:
    """The content of a text in YAML, of which JSON is a part; `where` is named in errors. Raises BadInput."""
    try:
        _check_bounds(text, where)
        return yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{where}{_line(error, text)} is not YAML: {_problem(error)}.") from None


def _line(error: Exception, text: str) -> str:
    """The line of an error of syntax, where the library says one; at the end of a text it says the line behind it."""
    mark = getattr(error, "problem_mark", None)
    return f", line {min(mark.line + 1, len(text.splitlines()))}" if mark and text else ""


def _problem(error: Exception) -> str:
    """What the library says, without its drawing of the place."""
    return str(getattr(error, "problem", None) or " ".join(str(error).split()))


def _check_bounds(text: str, where: str) -> None:
    """Raises BadInput for a document that is out of bounds, from its events alone, so that nothing of it is built."""
    anchored: dict[str, int] = {}
    """By anchor, how many values it stands for; 0 while it is being read."""
    within: list[tuple[int, str | None]] = []  # of what is open: values before it, and its anchor
    values = 0
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.AliasEvent):
            size = anchored.get(event.anchor, 1)
            if not size:
                raise BadInput(f"{where}: the alias *{event.anchor} stands within what it names: write that out.")
            values += size
        elif isinstance(event, yaml.ScalarEvent):
            if NO_TEXT.search(event.value):
                raise BadInput(f"{where}, line {event.start_mark.line + 1} holds a character that is no text: leave it out.")
            values += 1
            if event.anchor:
                anchored[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((values, event.anchor))
            values += 1
            if event.anchor:
                anchored[event.anchor] = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            before, anchor = within.pop()
            if anchor:
                anchored[anchor] = values - before
        if len(within) > DEEPEST:
            raise BadInput(f"{where} has more than {DEEPEST} lists and mappings within each other: write it flatter.")
        if values > MOST_VALUES:
            raise BadInput(f"{where} holds more than {MOST_VALUES:,} values, each alias written out: make it shorter.")
