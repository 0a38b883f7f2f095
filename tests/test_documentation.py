"""What the documentation tells a person to type: every command is one that there is, and runs, or is named here with what runs it.

The commands of a page run in its order, in a copy of the demo's home called `my_home`, beside the files that the page speaks of.
"""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer.main
from conftest import Outcome, call_found, copy_of
from documented_commands import ROOT, Command, commands

from dagster_defs import graph
from found_platform import lake
from found_platform.cli.app import app
from found_platform.privacy import keys
from found_platform.settings import Settings

COMMANDS = commands()
FOUND = [command for command in COMMANDS if command.program == "found"]

NOT_RUN = {
    "found demo": "the whole graph takes minutes: `demo` in conftest.py, and of a source file test_growing_home.py",
    "found backfill": "it plans a month for every asset, half a minute: test_backfill.py",
    "found benchmark run": "it trains and asks every method: test_cli.py",
    "found rewrite … --llm": "it needs a language model: test_rewriter_language_model.py",
    "found rewrite … --endpoint": "it needs a server: test_rewriter_language_model.py",
    "found serve": "it stays until it is stopped: tests/found_platform/serving",
    "found move-database": "it needs a server of PostgreSQL: test_postgres.py",
    "found move-lake": "it needs object storage: test_lake_on_objects.py",
    "pip": "it installs from the network",
    "docker": "Docker is not on the machines that run the tests; what it starts is: tests/deploy",
    "found alerts": "it needs a receiver, or stays until it is stopped: test_alerts.py",
    "found audience deliver": "it needs a receiver: test_deliveries.py",
    "found destination add ads": "its folder and its contacts have to be there: test_receivers.py",
    "found rewriter train": "it needs a language model: test_rewriter_lessons.py",
    "make": "it installs, or runs all of this: the target is looked up in the Makefile",
    "python": "tests within a test: the file, and the name that is looked for, have to be there",
    "dagster": "a program of another project, twenty seconds to start: its module and assets are looked up",
    "feast": "a program of another project, twenty seconds to start, which the documentation only points at",
    "mlflow": "a server of another project that stays, which the documentation only points at",
}
"""Beginnings of commands that are not run, and what runs or checks them; `…` stands for any words."""

WORDS = {
    "HOME": "my_home",
    "…": "people who will soon buy gold",
    "2026-05-01": "CUTOFF",
    "2026-03-01": "CUTOFF",
    "1234": "USER",
    "USER_ID": "USER",
}
"""What stands for a value of the person's own; CUTOFF and USER are of the home."""

SENTENCES = {
    "people who will buy a tent": "people who will soon buy gold",
    "households that shopped in the last two months and are about to stop": (
        "households that shopped in the last month and are about to stop"  # the past of the home is 53 days long
    ),
}
"""Demands that the demo's data answer, in place of those of the data that the page speaks of."""

EARLIER = {
    "docs/audiences.md": [["audience", "save", "pet-food", "pet owners who will buy food for their cat or dog"]],
    "docs/targeting.md": [["audience", "tune", "vip", "--demand", "people who will soon buy gold", "--seeds", "seeds.csv"]],
}
"""What a page takes for granted, since it says itself where that comes from."""

REFUSED = {
    "found audience lift gold": "Too little time has passed",  # the page shows it
    "found rollback model": "no earlier champion",  # one model has served in this home; with two: test_rollback.py
    "found rollback index": "no earlier index",
}
"""Beginnings of commands that this home refuses, and a part of the sentence."""


FINDS = ("found doctor",)
"""Commands that end with 1 where they find something, as they may on the machine of a test."""


def matches(command: Command, beginning: str) -> bool:
    words, (first, _, last) = " ".join([command.program, *command.arguments]), beginning.partition(" … ")
    return words == beginning or (words.startswith(f"{first} ") and (not last or f" {last}" in words))


def reason_not_to_run(command: Command) -> str | None:
    return next((reason for beginning, reason in NOT_RUN.items() if matches(command, beginning)), None)


RUN = [command for command in COMMANDS if reason_not_to_run(command) is None]


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


@pytest.mark.parametrize("command", FOUND, ids=lambda command: command.line)
def test_a_command_of_the_documentation_is_one_that_there_is(command: Command) -> None:
    values = {"D": "2026-05-01", "LAST": "2026-05-31", "V": "3", "N": "5"}
    parse([values.get(word, word) for word in command.arguments])


def test_a_command_that_there_is_not_would_be_found() -> None:
    for line in ("audience save tents --sentence x", "no-such-command", "backfill --from 2026-01-01"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parse(shlex.split(line))


def test_the_documentation_has_commands_of_every_group() -> None:
    groups = {command.arguments[0] for command in FOUND}
    assert {"demo", "source", "audience", "backfill", "status", "user", "rollback", "benchmark", "rewrite"} <= groups


def test_every_command_is_run_or_is_named_with_what_runs_it() -> None:
    assert all(command.program == "found" for command in RUN), "programs of others are named in NOT_RUN"
    unused = [beginning for beginning in NOT_RUN if not any(matches(command, beginning) for command in COMMANDS)]
    assert not unused, f"no page has these any more: {unused}"
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    for reason in NOT_RUN.values():
        assert set(re.findall(r"\w+\.py", reason)) <= tests, reason


def test_the_other_programs_are_asked_for_what_they_have(tmp_path: Path) -> None:
    makefile, names = (ROOT / "Makefile").read_text(), {}
    for command in COMMANDS:
        names.setdefault(command.program, []).append(command.arguments)
    for target, *_ in names["make"]:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for arguments in names["python"]:
        (file,) = [word for word in arguments if word.endswith(".py")]
        assert (ROOT / file).is_file(), file
        if "-k" in arguments:
            assert re.search(rf"def test_\w*{arguments[arguments.index('-k') + 1]}", (ROOT / file).read_text()), arguments
    assets = graph.table(Settings.load(tmp_path))
    for arguments in names["dagster"]:
        assert arguments[arguments.index("-m") + 1] == "dagster_defs.definitions"
        assert arguments[arguments.index("--select") + 1] in assets


@pytest.fixture
def reader(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A folder in which a person reads along: `my_home`, and every file that a page speaks of."""
    home = copy_of(settings, tmp_path).home
    for folder in ("staging", "simulated"):
        shutil.copytree(settings.home / folder, home / folder)
    home.rename(tmp_path / "my_home")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOUND_HOME", "my_home")
    return Settings.load(tmp_path / "my_home")


def ids_of(settings: Settings, count: int) -> list[str]:
    user_keys = sorted(set(lake.read(settings.lake, "user_embeddings")["user_key"].to_pylist()))[:count]
    return list(keys.user_ids(settings, user_keys).values())


def write_files(settings: Settings) -> None:
    ids = ids_of(settings, 40)
    lists = {
        "seeds.csv": ids[:10],
        "wrong.csv": ids[10:20],
        "optout.csv": ids[20:25],
        "gone.csv": ids[25:30],
        "held.csv": ids[32:35],
        "opted_out.csv": [*ids[30:32], "nobody-we-know"],
        "back.txt": ids[30:31],
        "bad.csv": [ids[0], ""],
    }
    for name, users in lists.items():
        Path(name).write_text("user_id\n" + "".join(f'"{user}"\n' for user in users))
    lines = [f"u{i % 20},2026-0{3 + i // 28 % 3}-{1 + i % 28:02d} 10:00,tent {i % 4},{i}" for i in range(336)]
    Path("exports").mkdir()
    for path in (Path("orders.csv"), Path("exports", "orders.csv")):
        path.write_text("customer,paid_at,item_name,price\n" + "\n".join(lines) + "\n")


def typed(command: Command, settings: Settings, cutoff: object) -> list[str]:
    values = {"CUTOFF": str(cutoff), "USER": ids_of(settings, 1)[0]}
    words = [WORDS.get(word, word) for word in command.arguments]
    return [values.get(word, SENTENCES.get(word, word)) for word in words]


def judged(command: Command, outcome: Outcome) -> str | None:
    """What is wrong with the outcome of a documented command."""
    words = re.sub(r"\s+", " ", outcome.out + outcome.err)
    refusal = next((sentence for beginning, sentence in REFUSED.items() if matches(command, beginning)), "")
    status = 2 if refusal or any(line.startswith("found: ") for line in command.output) else 0
    statuses = {status, 1} if any(matches(command, beginning) for beginning in FINDS) else {status}
    if "Traceback" in words or outcome.status not in statuses:
        return f"`{command.line}`: status {outcome.status}: {outcome.err[-600:]}"
    absent = [line for line in (refusal, *command.output) if re.sub(r"\s+", " ", line) not in words]
    return f"`{command.line}` does not say {absent[0]!r}, but {words[-600:]!r}" if absent else None


@pytest.mark.parametrize("page", dict.fromkeys(command.page for command in RUN))
def test_the_commands_of_a_page_run_in_its_order(page: str, reader: Settings, cutoff: object) -> None:
    write_files(reader)
    for arguments in EARLIER.get(page, []):
        assert call_found(*arguments).status == 0
    faults = []
    for command in (command for command in RUN if command.page == page):
        outcome = call_found(*typed(command, reader, cutoff))
        if command.target:
            Path(command.target).write_text(outcome.out)
        faults.append(judged(command, outcome))
    assert not any(faults), "\n".join(filter(None, faults))
