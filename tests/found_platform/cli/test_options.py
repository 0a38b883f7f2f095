"""How commands take their options, whose home they take, and what reaches stdout."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from conftest import call_found

from found_platform import home
from found_platform.app.lookups import Size
from found_platform.cli.app import app
from found_platform.cli.options import QuestionOptions, SizeOptions
from found_platform.errors import BadInput


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(path, command)]
    return [each for name, sub in inner.items() for each in commands(sub, (*path, name))]


def test_every_command_says_what_it_does_and_takes_a_home() -> None:
    every = commands(typer.main.get_command(app))
    assert len(every) > 20
    for path, command in every:
        assert command.help, path
        common = {("source", "init"): {"format"}, ("serve",): {"home"}}.get(
            path, {"home", "format"}
        )  # a server ends with no answer
        assert {p.name for p in command.params} >= common, path
        assert all(getattr(p, "help", None) for p in command.params), path


def test_options_that_travel_together_are_one_object() -> None:
    every = dict(commands(typer.main.get_command(app)))
    for name in ("find", "preview", "save"):
        assert {p.name for p in every["audience", name].params} >= set(QuestionOptions.__dataclass_fields__)
    assert SizeOptions().size() == Size(level="balanced")
    assert SizeOptions(top=3).size() == Size(top=3)
    with pytest.raises(BadInput, match="only one of them"):
        SizeOptions(top=3, min_score=0.5).size()


def test_a_command_takes_the_home_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call_found("status").err == "found: Nothing has run in .found yet: start with `found demo`.\n"
    monkeypatch.setenv("FOUND_HOME", str(tmp_path / "mine"))
    assert call_found("status").err == f"found: Nothing has run in {tmp_path / 'mine'} yet: start with `found demo`.\n"
    other = call_found("status", "--home", "other")
    assert other.err == "found: Nothing has run in other yet: start with `found demo --home other`.\n"


def test_a_next_command_names_a_home_only_where_it_has_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home.option(Path(".found")) == home.option(tmp_path / ".found") == ""
    assert home.option(Path("my homes/one")) == " --home 'my homes/one'"
    monkeypatch.setenv("FOUND_HOME", "my homes/one")
    assert home.option(Path("my homes/one")) == ""
    assert home.option(Path(".found")) == " --home .found"


CHATTER = """
import os, subprocess, sys
from pathlib import Path
from found_platform.cli.asking import ask, stdout_for_answers
def loud(context):
    print("a library prints")
    os.write(1, b"a library writes\\n")
    subprocess.run(["echo", "a child prints"])
    return str(context.actor)
with stdout_for_answers():
    print(ask(loud, Path("home")))
print("after", flush=True)
"""


def test_nothing_but_the_answer_reaches_stdout() -> None:
    completed = subprocess.run([sys.executable, "-c", CHATTER], capture_output=True, text=True, check=True)
    first, last = completed.stdout.splitlines()
    assert first.startswith("cli:")
    assert last == "after"


def test_a_program_reads_json_of_commands_that_change_something(tmp_path: Path) -> None:
    from conftest import at, lake_of, write_source

    events = [{"user_id": "ann", "event_time": at("2024-01-01"), "text": "tea"}]
    settings = lake_of(tmp_path / "home", write_source(tmp_path / "source", events))
    (tmp_path / "users.txt").write_text("ann\n")
    added = call_found("suppress", "add", tmp_path / "users.txt", "--home", settings.home, "--format", "json")
    assert json.loads(added.out) == {"changed": 1, "unchanged": 0, "unknown": 0}


def test_bytes_on_the_command_line_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for command in (("user", "show", "\udcff"), ("audience", "find", "people who buy \udcff"), ("source", "check", "\udcff.yaml")):
        outcome = call_found(*command, "--home", tmp_path / "home")
        assert outcome.status == 2
        assert "on the command line is not UTF-8" in outcome.err
