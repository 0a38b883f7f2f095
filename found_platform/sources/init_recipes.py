"""Recipes: exports that are known by their columns, and the source file that reads each.

What belongs here: which recipe fits which files, and filling its text in. What does not: the recipes (`recipes/*.yaml`, one file
each), and files that none of them knows (`init_guess`).

A recipe's text is a source file with places to fill:
  {{orders}}            the files of the table `orders`, with the options they need
  {{orders.placed}}     the options of the times in its column `placed`
  <<CustomerID>>        a column by the name that this export has for it, of those in `CustomerID | Customer ID`
  #if orders.Vendor     at the end of a line: the line stands only where the table has the column; `#if !…` only where not
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from found_platform.lake import quote
from found_platform.sources.init_columns import columns_of
from found_platform.sources.init_sample import Table
from found_platform.sources.init_text import flow, located, option_lines

CONDITION = re.compile(r"\s*#if (!?)(\w+)(?:\.(.+))?$")
PLACE = re.compile(r"\{\{(\w+)(?:\.(.+?))?\}\}")
NAME = re.compile(r'<<("?)([^<>"]+)\1>>')


@dataclass(frozen=True)
class Recipe:
    """A known export. `tables` maps each table to the columns that tell it; alternatives of a column are cut by `|`."""

    name: str
    title: str
    tables: dict[str, dict[str, Any]]
    source: str

    def match(self, tables: Sequence[Table]) -> dict[str, Table] | None:
        """Which of the tables is which table of the recipe; None where one that it needs is missing."""
        matches: dict[str, Table] = {}
        for name, signature in self.tables.items():
            fitting = [t for t in tables if t not in matches.values() and _has(t, signature["columns"])]
            if fitting:
                matches[name] = fitting[0]
            elif not signature.get("optional"):
                return None
        return matches

    def specificity(self) -> int:
        """Columns that had to be there: of two recipes that fit, the one that asks for more is meant."""
        return sum(len(s["columns"]) for s in self.tables.values() if not s.get("optional"))


def all_recipes() -> list[Recipe]:
    """Every recipe, by name."""
    folder = resources.files("found_platform.sources") / "recipes"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return [Recipe(f.name.removesuffix(".yaml"), **yaml.safe_load(f.read_text("utf-8"))) for f in files]


def best(tables: Sequence[Table]) -> tuple[Recipe, dict[str, Table]] | None:
    """The recipe that fits these tables, and which table is which."""
    files = [table for table in tables if not table.is_in_database]
    fitting = [(recipe, matches) for recipe in all_recipes() if (matches := recipe.match(files)) is not None]
    return max(fitting, key=lambda pair: pair[0].specificity(), default=None)


def _has(table: Table, columns: Sequence[str]) -> bool:
    return all(_actual(table, column) is not None for column in columns)


def _actual(table: Table, alternatives: str) -> str | None:
    """The name that a table has for a column, or for a field with parts of its own."""
    names = [*table.columns, *table.lists]
    for name in (a.strip() for a in alternatives.split("|")):
        if name in names or any(n.startswith(f"{name}.") for n in names):
            return name
    return None


def filled(recipe: Recipe, matches: Mapping[str, Table], paths: Mapping[str, str]) -> str:
    """The recipe's text for these tables; `paths` has the pattern of each."""
    lines = []
    for line in recipe.source.splitlines():
        if match := CONDITION.search(line):
            table = matches.get(match[2])
            present = table is not None and (match[3] is None or _actual(table, match[3].strip()) is not None)
            if present == bool(match[1]):
                continue
            line = line[: match.start()]
        lines += _filled_line(NAME.sub(lambda m: _named(recipe, matches, m), line), matches, paths)
    return "\n".join(lines) + "\n"


def _named(recipe: Recipe, matches: Mapping[str, Table], match: re.Match[str]) -> str:
    for name, signature in recipe.tables.items():
        for alternatives in signature["columns"]:
            if name in matches and match[2] in (a.strip() for a in alternatives.split("|")):
                actual = _actual(matches[name], alternatives) or match[2]
                return quote(actual) if match[1] else actual
    return match[2]


def _filled_line(line: str, matches: Mapping[str, Table], paths: Mapping[str, str]) -> list[str]:
    places = list(PLACE.finditer(line))
    if not places:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    first = places[0]
    if first[2]:  # the options of a column of times
        time = columns_of(matches[first[1]])[first[2]].time
        return [indent + option for option in option_lines(time.options)] if time else []
    options = located(matches[first[1]], paths[first[1]])
    if line.strip().startswith("path:"):
        return [indent + option for option in option_lines(options)]
    if line.rstrip().endswith("}}") and len(places) == 1 and "{" not in line[: first.start()]:  # a table of a query
        inline = options["path"] if len(options) == 1 else options
        return [line[: first.start()] + flow(inline)]
    return [PLACE.sub(lambda m: flow(located(matches[m[1]], paths[m[1]]))[1:-1].removeprefix("path: "), line)]
