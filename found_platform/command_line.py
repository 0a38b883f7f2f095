"""A command line in a few words, as others read it who wait for its process.

What belongs here: the name of a command, its arguments without paths, and sentences of one line. What does not: who waits for whom.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 80
"""Of a terminal's line."""

INTERPRETER = "python"
PLACES = ("--home",)
"""Options whose values are folders, however they are written."""


def own() -> str:
    """The command of this process."""
    return words(sys.argv)


def words(arguments: Sequence[str]) -> str:
    """The name of a command and its arguments, such as `found demo --profile tiny`.

    Left out are paths, with the option that names one, and structured data that programs hand each other. An interpreter's name
    gives way to that of its module or script.
    """
    name, rest = _name([argument for argument in arguments if argument])
    parts: list[str] = []
    for argument in rest:
        if _is_path(argument) or parts[-1:] in ([place] for place in PLACES) or argument.startswith(("{", "[")):
            if parts and parts[-1].startswith("-") and "=" not in parts[-1]:
                parts.pop()
        else:
            parts.append(argument)
    return " ".join([name, *parts])


def line(sentence: str, columns: int = COLUMNS) -> str:
    """A sentence in one line of so many columns: what does not fit is cut off, and a bracket that was open is closed."""
    sentence = " ".join(sentence.split())
    if len(sentence) <= columns:
        return sentence
    end = "…)" if sentence.count("(") > sentence.count(")") - sentence.endswith(")") else "…"
    cut = sentence[: columns - len(end)]
    whole = cut if sentence[len(cut)] == " " else cut.rpartition(" ")[0]
    return (whole if len(whole) > columns / 2 else cut).rstrip(" ,(") + end


def _name(arguments: list[str]) -> tuple[str, list[str]]:
    """The name of a program, and its arguments."""
    if not arguments:
        return INTERPRETER, []
    program, rest = arguments[0], arguments[1:]
    name = _file(program)
    if name.startswith(INTERPRETER):
        options = 0
        while options < len(rest) and rest[options].startswith("-") and rest[options] not in ("-m", "-c"):
            options += 1
        rest = rest[options:]
        if rest[:1] == ["-c"] or not rest:  # code, which is no name
            return INTERPRETER, []
        return (rest[1], rest[2:]) if rest[0] == "-m" and rest[1:] else (_file(rest[0]), rest[1:])
    return (INTERPRETER, rest) if name in ("-c", "-m") else (name, rest)


def _file(program: str) -> str:
    """The name of a program's file; of a package that is run, the package's."""
    path = Path(program)
    return path.parent.name if path.name == "__main__.py" else path.name


def _is_path(argument: str) -> bool:
    value = argument.partition("=")[2] if argument.startswith("-") else argument
    return os.sep in value or value.startswith("~") or argument.startswith(tuple(f"{place}=" for place in PLACES))
