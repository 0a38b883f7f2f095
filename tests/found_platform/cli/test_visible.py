"""What is printed to a terminal steers nothing there, and a pipe gets every byte as it is."""

import io
import os
import subprocess
import sys

import pytest

from found_platform.cli import main
from found_platform.cli.visible import Terminal

RED = "\x1b[31m"
NAMES = {
    "clears the screen": ("a\x1b[2Jb", r"a\x1b[2Jb"),
    "another title": ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
    "eight bits": ("\x9b2J", r"\x9b2J"),
    "overwrites its line": ("good\rbad", r"good\rbad"),
    "backwards": ("\u202egpj.exe", r"\u202egpj.exe"),
    "unseen": ("\x1b[8mhidden", r"\x1b[8mhidden"),
    "words": ("Bücher, 本\t🔥\n", "Bücher, 本\t🔥\n"),
    "the style of a title": (f"{RED}a\x1b[0m", f"{RED}a\x1b[0m"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_signs_that_would_steer_it(name: str) -> None:
    text, shown = NAMES[name]
    raw = io.BytesIO()
    stream = Terminal(raw, encoding="utf-8", newline="")
    assert stream.write(text) == len(text)
    stream.flush()
    assert raw.getvalue().decode() == shown


def test_a_refused_demand_is_repeated_without_what_steers(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["found", "source", "check", str(tmp_path / f"{RED}a.yaml")])
    with pytest.raises(SystemExit):
        main()
    message = capsys.readouterr().err
    assert "\x1b" not in message
    assert r"\x1b[31ma.yaml" in message


PRINTS = """
from found_platform.cli.asking import stdout_for_answers
from found_platform.cli.tables import write_utf_8
with stdout_for_answers():
    print("Bücher ─")
    write_utf_8("Bücher\\n".encode())
"""
STOPPED = """
import builtins, sys
load = builtins.__import__
def stop(name, *rest):
    if name == "found_platform.app.process":
        raise KeyboardInterrupt
    return load(name, *rest)
from found_platform.cli import main
builtins.__import__ = stop
main()
"""


def test_words_that_an_encoding_lacks_are_spelt_out_and_documents_stay_as_they_are() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, check=True, env=environment).stdout
    assert printed.decode().splitlines() == [r"B\xfccher \u2500", "Bücher"]


def test_a_command_that_is_stopped_while_it_loads_says_so_in_a_sentence() -> None:
    stopped = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True)
    assert stopped.returncode == 130
    assert stopped.stderr == "found: stopped; run the same command again to go on.\n"


def test_a_command_that_is_stopped_at_its_work_says_so() -> None:
    """Typer takes Ctrl-C for itself within a command, and would end without a word."""
    program = (
        "import signal, sys; from found_platform.app import graph; from found_platform.cli import main\n"
        "graph.status = lambda *_: signal.raise_signal(signal.SIGINT); sys.argv = ['found', 'status']; main()"
    )
    stopped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (stopped.returncode, stopped.stderr) == (130, "found: stopped; run the same command again to go on.\n")
