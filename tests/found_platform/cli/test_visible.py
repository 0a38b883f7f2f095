"""What is printed to a terminal steers nothing there, and a pipe gets every byte as it is."""

import io

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
