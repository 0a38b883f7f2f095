"""The text of a source file: keys, values and comments, as a person would write them.

What belongs here: YAML with comments, paths and their options. What does not: what goes into it (`init_guess`, `init_recipes`).
"""

import glob
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from found_platform.sources.init_sample import Table

QUESTION = re.compile(r"^\s*(?:[^#'\"]*\s)?# \? (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """A key with its value, what explains it and what is asked about it. A value may be a list of further lines."""

    key: str
    value: Any
    comment: str | None = None
    questions: tuple[str, ...] = ()


def text_of(lines: Iterable[Line], indent: int = 0) -> str:
    """Lines as YAML: questions above the key, the comment behind the value."""
    space = "  " * indent
    parts = []
    for line in lines:
        parts += [f"{space}# ? {question}" for question in line.questions]
        comment = f"  # {line.comment}" if line.comment else ""
        if isinstance(line.value, str) and "\n" in line.value:
            parts += [f"{space}{line.key}: |{comment}", *(f"{space}  {row}" for row in line.value.splitlines())]
        elif isinstance(line.value, list) and line.value and isinstance(line.value[0], Line):
            parts += [f"{space}{line.key}:{comment}", text_of(line.value, indent + 1).rstrip("\n")]
        else:
            parts.append(f"{space}{line.key}: {flow(line.value)}{comment}")
    return "\n".join(parts) + "\n"


def flow(value: Any) -> str:
    """A value on one line."""
    style = '"' if isinstance(value, str) and value.startswith("'") else None  # else each quote would be written twice
    dumped = yaml.safe_dump(value, default_flow_style=True, default_style=style, width=10**6, sort_keys=False, allow_unicode=True)
    return dumped.removesuffix("...\n").strip()


def questions(text: str) -> list[str]:
    """What a source file asks: its comments that begin with a question mark."""
    return list(dict.fromkeys(match[1].strip() for match in QUESTION.finditer(text)))


def option_lines(options: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {flow(value)}" for key, value in options.items()]


def located(table: Table, path: str) -> dict[str, Any]:
    """The options that say where a table is and how its text is written."""
    if table.is_in_database:
        file, _, name = path.rpartition("/")
        return {"url": f"sqlite:///{file}", "table": name}
    options: dict[str, Any] = {"path": path}
    if table.kind == "csv" and not table.files[0].name.lower().split(".", 1)[-1].startswith("tsv"):
        options |= {"delimiter": table.delimiter} if table.delimiter else {}
    options |= {"skip": table.skip} if table.skip else {}
    return options | ({"encoding": table.encoding} if table.encoding else {})


def patterns(table: Table, folder: Path) -> list[str]:
    """The files of a table as paths from `folder`: one pattern where it matches these files and no others, else each of them."""
    files = [_relative(f.resolve(), folder.resolve()) for f in table.files]
    if len(files) > 1 and len({len(f.parts) for f in files}) == 1:
        # without the digits of a date, so that the file of the next month is matched too
        for shorten in (True, False):
            parts = [_pattern(names, shorten=shorten) for names in zip(*(f.parts for f in files), strict=True)]
            pattern = os.path.join(*parts)
            if {Path(p).resolve() for p in glob.glob(str(folder / pattern))} == {f.resolve() for f in table.files}:
                return [pattern]
    return [str(f) for f in files]


def _pattern(names: Sequence[str], *, shorten: bool) -> str:
    """What names have in common at their beginning and end, with a star between; `shorten` leaves digits before the star out."""
    if len(set(names)) == 1:
        return names[0]
    start, end = _common(names), _common([name[::-1] for name in names])[::-1]
    start = re.sub(r"[\d\W_]+$", "", start) if shorten else start
    return f"{start}*{end[-max(1, min(map(len, names)) - len(start)) :]}"


def _relative(file: Path, folder: Path) -> Path:
    """The path as a person would write it: absolute where it leads through more than one folder above."""
    relative = os.path.relpath(file, folder)
    return file if relative.startswith(os.path.join("..", "..")) else Path(relative)


def _common(names: Sequence[str]) -> str:
    """What all names begin with."""
    return "".join(signs[0] for signs in itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))
