"""What the documentation tells a person to type is what the command line takes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from found_platform.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = {"D": "2026-05-01", "LAST": "2026-05-31", "V": "3", "N": "5", "HOME": "my_home"}
"""Words that stand for a value of the person's own, where any text would not do."""


def commands() -> list[str]:
    """Lines of code blocks that call `found`, as one line each."""
    lines: set[str] = set()
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.match(r"\s*(?:\$ )?(?:FOUND_\w+=\S+ )*(?:\.venv/bin/)?found (.+)", line)
                if match:
                    lines.add(match[1].strip())
    return sorted(lines)


def words(line: str) -> list[str]:
    """The arguments, without comments and redirections; of alternatives in brackets the first one is given."""
    line = re.sub(r"\[([^\]|]*)(?:\|[^\]]*)?\]", r"\1", line)
    arguments = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(arguments) if word in (">", "|")]
    return [PLACEHOLDERS.get(word, word) for word in arguments[: min(ends, default=len(arguments))]]


def parse(arguments: list[str]) -> None:
    """Finds the command and reads its options, as the program would before it runs."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    name = "found"
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, list(arguments), parent=context)
        arguments = [*context._protected_args, *context.args]
        name, command, arguments = command.resolve_command(context, arguments)
        if command is None:
            raise LookupError(f"No such command: {name}")
    command.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_documentation_is_one_that_there_is(line: str) -> None:
    parse(words(line))


def test_a_command_that_there_is_not_would_be_found() -> None:
    for line in ("audience save tents --sentence x", "no-such-command", "backfill --from 2026-01-01"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parse(words(line))


def test_the_documentation_has_commands_of_every_group() -> None:
    groups = {line.split()[0] for line in commands()}
    assert {"demo", "source", "audience", "backfill", "status", "user", "rollback", "benchmark", "rewrite"} <= groups
