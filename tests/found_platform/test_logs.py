"""Structured logs: a line is one object, with the run, the partition and the request it was written for."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from conftest import call_found

from found_platform import logs

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What a process writes whose variable asks for JSON."""
    monkeypatch.setenv(logs.VARIABLE, logs.JSON)
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    levels = {name: logging.getLogger(name).level for name in logs.OWN}
    logs.install()
    yield lambda: capsys.readouterr().err.splitlines()
    root.handlers[:] = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_says_what_it_was_written_for(lines: Lines) -> None:
    log = logging.getLogger("found_platform.somewhere")
    with logs.bound(run="r1", asset="user_tabular", partition="2026-03-01"), logs.bound(request="q1", asset=""):
        log.info("%d rows", 7, extra={"fields": {"seconds": 0.5}})
    log.info("outside")
    first, second = map(json.loads, lines())
    assert {k: v for k, v in first.items() if k != "at"} == {
        "level": "info",
        "logger": "found_platform.somewhere",
        "message": "7 rows",
        "run": "r1",
        "asset": "user_tabular",
        "partition": "2026-03-01",
        "request": "q1",
        "seconds": 0.5,
    }
    assert "run" not in second


def test_an_error_keeps_its_trace_on_the_same_line(lines: Lines) -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        logging.getLogger("found.serving").exception("it failed")
    (line,) = lines()
    assert "two\nlines" in json.loads(line)["trace"]


def test_libraries_say_warnings_alone(lines: Lines) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)  # as a library may do when it is loaded
    try:
        logging.getLogger("deltalake").info("a detail")
        logging.getLogger("deltalake").warning("a worry")
    finally:
        root.setLevel(before)
    assert [json.loads(line)["message"] for line in lines()] == ["a worry"]


def test_it_is_installed_once_and_another_value_is_refused(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.install()
    logging.getLogger("found").warning("once")
    assert len(lines()) == 1
    monkeypatch.setenv(logs.VARIABLE, "xml")
    outcome = call_found("gc", "--help")
    assert outcome.status == 2
    assert "FOUND_LOG_FORMAT is 'xml': set it to text or json." in outcome.err
