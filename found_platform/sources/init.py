"""`found source init`: looks at files and writes the source file that reads them, with what is not sure as questions.

What belongs here: the order of the work and its result. What does not: how a command prints it (`cli`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from found_platform.errors import BadInput
from found_platform.sources import config, init_files, init_guess, init_recipes, init_sample, init_text, init_trial
from found_platform.sources.init_sample import Table

HEADER = """# Written by `found source init`. Lines with `# ?` ask something: answer by changing what stands below or beside them.
# What each key can say: docs/sources.md. Next: found source check {file}
"""


@dataclass(frozen=True)
class Draft:
    """A source file that was written: its text, what was recognised, and what is asked."""

    file: Path
    text: str
    recipe: str | None  # the title of a known export
    tables: dict[str, str]  # what each file, or pattern of files, was taken for
    questions: list[str]
    not_used: dict[str, str]  # files of folders that could not be looked at, and why


def write(paths: Sequence[Path], *, out: Path, name: str | None = None, force: bool = False) -> Draft:
    """Writes a source file for these files, or for the files of folders.

    Raises:
        BadInput: `out` is there already and `force` is not set, a file cannot be read, or no events were recognised.
    """
    if out.exists() and not force:
        raise BadInput(f"{out} is there already: choose another --out, or overwrite it with --force.")
    if not out.parent.is_dir():
        raise BadInput(f"{out} cannot be written: there is no folder {out.parent}.")
    tables, other = init_files.tables(paths)
    recipe = init_recipes.best(tables)
    body, roles = _of_recipe(*recipe, tables, out.parent) if recipe else _guessed(tables, out.parent)
    title = f"# Recognised: {recipe[0].title}.\n" if recipe else ""
    text = f"{HEADER.format(file=out)}{title}name: {init_text.flow(name or _name(paths))}\n{body}"
    config.parse_text(text, str(out))
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{out} cannot be written ({error.strerror}): choose another --out.") from None
    return Draft(out, text, recipe[0].title if recipe else None, roles, init_text.questions(text), other)


def _of_recipe(
    recipe: init_recipes.Recipe, matches: dict[str, Table], tables: Sequence[Table], folder: Path
) -> tuple[str, dict[str, str]]:
    several = {name: init_text.patterns(table, folder) for name, table in matches.items()}
    roles = {paths[0]: name.replace("_", " ") for name, paths in several.items()}
    for name, paths in several.items():
        for path in paths[1:]:
            roles[path] = (
                f"not used: only {paths[0]} is read as {name.replace('_', ' ')}; name files so that one pattern matches them"
            )
    for table in tables:
        if table not in matches.values():
            roles[init_text.patterns(table, folder)[0]] = "not used: this export does not need it"
    text = init_recipes.filled(recipe, matches, {name: paths[0] for name, paths in several.items()})
    return init_trial.without_empty_entries(text, recipe, matches), roles


def _guessed(tables: Sequence[Table], folder: Path) -> tuple[str, dict[str, str]]:
    guess = init_guess.guess(tables, folder)
    first = {str(table.files[0]): init_text.patterns(table, folder) for table in tables}
    return guess.text, {path: role for file, role in guess.roles.items() for path in first[file]}


def _name(paths: Sequence[Path]) -> str:
    """A name for the source: that of the folder or of the first file."""
    first = paths[0].resolve()
    stem = first.name if first.is_dir() else init_sample.plain_name(first)
    return re.sub(r"\W+", "_", stem).strip("_").lower() or "my_source"
