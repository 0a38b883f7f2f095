"""The check of a source and a run of it say one and the same sentence for the same fault, and the run says it before any work."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import call_found
from reading import COLUMNS, csv, examined, source

from found_platform import lake
from found_platform.app import graph, sources
from found_platform.app.context import Actor, Context
from found_platform.app.progress import Opened
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import stage_report, staging

Entry = dict[str, Any]


def rows(users: int = 20, days: int = 60, when: Callable[[int], str] = lambda d: f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}") -> str:
    """A user acts every tenth day."""
    lines = [f"u{u},{when(d)},tea {u % 3},{d}" for u in range(users) for d in range(u % 10, days, 10)]
    return "id,at,what,price\n" + "\n".join(lines) + "\n"


FAULTS: dict[str, tuple[str, Entry, str]] = {
    "a missing column": (rows(), {"columns": {**COLUMNS, "text": "product"}}, "has no column 'product'"),
    "no readable time": (rows(when=lambda d: f"{1 + d % 28}.{1 + d // 28}.2024"), {}, "`day_first: true`"),
    "a bad expression": (rows(), {"where": "price >"}, "is no expression"),
    "an expression of the wrong kind": (rows(), {"where": "price + 1"}, "neither true nor false"),
    "an unknown option": (rows(), {"delimeter": ";"}, "delimeter"),
    "an empty file": ("id,at,what,price\n", {}, "is empty"),
    "nothing left by a filter": (rows(), {"where": "price > 1000"}, "has no rows where"),
    "half the log of nobody": (rows() + "guest,2024-01-05,tea,1\n" * 200, {}, "user_id 'guest' holds"),
    "a span before the data": (rows(), {"span": {"start": "2025-01-01"}}, "the last event is of"),
    "a span beside the data": (rows(), {"span": {"start": "2021-01-01", "end": "2022-01-01"}}, "no event is within it"),
    "a span of too few days": (rows(), {"span": {"start": "2024-01-01", "end": "2024-01-08"}}, "too few for a past"),
    "a day far from the others": (rows() + "u1,1970-01-01,tea,1\n", {}, "dated far from all others"),
    "consent without its column": (rows(), {}, "consent"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_and_the_run_refuse_in_the_same_words(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "consent" in fault:
        monkeypatch.setenv("FOUND_CONSENT_COLUMN", "newsletter")
    content, entry, words = FAULTS[fault]
    file = written(tmp_path, content, entry)
    try:
        (sentence,) = sources.check(context(tmp_path / "home"), file).refusals
    except BadInput as error:
        sentence = str(error)
    assert words in sentence
    checked = call_found("source", "check", file, "--home", tmp_path / "home")
    assert (checked.status, checked.err) == (2, f"found: {sentence}\n")
    with pytest.raises(BadInput) as refused:
        run(tmp_path / "home", file)
    assert str(refused.value) == sentence
    assert not (tmp_path / "home" / "source.yaml").exists()


BAD_PROFILE = "id,age\n" + "".join(f"u{u},{u}\n" for u in range(20)) + ",3\n" * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "profile", "words"),
    [
        (rows() + ",2024-01-05,tea,1\n" * 30, None, "of the source's rows are bad, over the threshold of 5.0%"),
        (rows() + "u1,2024-01-05,tea,1,2,3\n" * 30, None, "wrong number of columns, 30 rows"),
        (re.sub(r"tea \d", "", rows()), None, "100.0% of the source's rows are bad"),
        (rows(), BAD_PROFILE, "20.0% of the profile's rows are bad, over the threshold of 5.0%"),
    ],
    ids=["rows of nobody", "rows that cannot be split", "every row", "a profile of nobody"],
)
def test_too_many_bad_rows_are_refused_in_the_same_words_before_a_home_is_made(
    tmp_path: Path, content: str, profile: str | None, words: str
) -> None:
    entry: Entry = {}
    if profile:
        entry = {"profile": {"path": csv(tmp_path, profile, "people.csv"), "key": "id"}}
    file = written(tmp_path, content, entry)
    (sentence,) = sources.check(context(tmp_path / "none"), file).refusals
    assert words in sentence
    with pytest.raises(BadInput) as refused:
        run(tmp_path / "home", file)
    assert str(refused.value) == sentence
    assert not (tmp_path / "home").exists()
    csv(tmp_path, rows())  # mended, it is taken up as if nothing had been
    csv(tmp_path, "id,age\nu1,3\n", "people.csv")
    run(tmp_path / "home", file)
    assert staging.stage(Settings.load(tmp_path / "home")).staged


@pytest.mark.slow
def test_a_home_keeps_what_it_has_where_a_new_file_has_too_many_bad_rows(tmp_path: Path) -> None:
    file = written(tmp_path, rows(), {})
    run(tmp_path / "home", file)
    settings = Settings.load(tmp_path / "home")
    good = staging.stage(settings)
    csv(tmp_path, rows() + ",2024-01-05,tea,1\n" * 30)
    run(tmp_path / "home", file)
    report = staging.stage(settings)
    assert (report.staged, lake.read(settings.lake, "quarantine").num_rows) == (False, 30)
    assert stage_report.threshold_sentence(settings, report) in sources.check(context(tmp_path / "none"), file).refusals
    assert staging.is_staged(settings)
    csv(tmp_path, rows())
    run(tmp_path / "home", file)
    assert staging.stage(settings).channels == good.channels


def test_the_check_shows_a_row_of_every_kind_of_fault(tmp_path: Path) -> None:
    bad = {
        "amount is not a number": b"u1,2024-01-05,tea,cheap",
        "empty text": b"u1,2024-01-05,,1",
        "no event_time": b"u1,,tea,1",
        "no user_id": b",2024-01-05,tea,1",
        "not UTF-8": b"u1,2024-01-05,caf\xe9,1",
        "unparsable event_time": b"u1,soon,tea,1",
        "wrong number of columns": b"u1,2024-01-05,tea,1,2",
    }
    content = rows().encode() + b"\n".join(bad.values()) + b"\n"
    first = len(rows().splitlines())
    columns = {**COLUMNS, "amount": "price"}
    profile = {"path": csv(tmp_path, "id,age\nu1,3\n,4\n", "people.csv"), "key": "id"}
    report = examined(tmp_path, {"path": csv(tmp_path, content), "columns": columns}, profile)
    for number, reason in enumerate(bad, first):
        (note,) = [note for note in report.notes if f"{reason}, once" in note and "pay_bill" in note]
        assert f"events.csv, row {number}" in note
    assert any(
        note.startswith("profile: no user_id, once: first in ") and note.endswith("people.csv, row 2") for note in report.notes
    )


def test_too_few_users_to_judge_a_model_are_told_in_the_same_words(tmp_path: Path) -> None:
    file = written(tmp_path, rows(users=8), {})
    notes = sources.check(context(tmp_path / "none"), file).notes
    (sentence,) = [note for note in notes if "held-out and" in note]
    assert "the frozen-text model with replay serves" in sentence
    assert sentence in run(tmp_path / "home", file)


def written(folder: Path, content: str, entry: Entry) -> Path:
    """A source file over one file of rows; `span` stands beside the channels."""
    entry = dict(entry)
    span = entry.pop("span", None)
    profile = entry.pop("profile", None)
    path = source(folder, {"path": csv(folder, content), **entry}, profile)
    if span:
        path.write_text(path.read_text() + f"span: {span}\n")
    return path


def context(home: Path, tell: Callable[[Any], None] = lambda event: None) -> Context:
    return Context(home, Actor("tester", "cli"), tell)


class Enough(Exception):
    """Stops a run once it has said what it is about to do."""


def run(home: Path, file: Path) -> tuple[str, ...]:
    """What a run says before it begins to work; raises what it refuses with."""
    opening: list[Opened] = []

    def stop(event: Any) -> None:
        if isinstance(event, Opened):
            opening.append(event)
            raise Enough

    try:
        graph.run(context(home, stop), graph.Run(source=file))
    except Enough:
        return opening[0].notes
    raise AssertionError("the run did not say that it begins")


FILES: dict[str, tuple[str, bytes, str]] = {
    "nothing in it": ("events.csv", b"", "events.csv is empty: a text file starts with its column names"),
    "Excel under another name": ("events.csv", b"PK\x03\x04" + bytes(range(256)), "is an Excel or ZIP file, whatever its name"),
    "Parquet under another name": ("events.csv", b"PAR1" + bytes(9), "is a Parquet file, whatever its name"),
    "no Parquet": ("events.parquet", b"hello", "events.parquet cannot be read: Parquet file size is 5 bytes"),
    "a folder": ("folder/events.csv", rows().encode(), "name the files, for example"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_something_else_is_said_to_be_that(tmp_path: Path, case: str) -> None:
    name, content, words = FILES[case]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    outcome = call_found("source", "check", source(tmp_path, {"path": name.split("/")[0]}))
    assert (outcome.status, words in outcome.err, " Error:" in outcome.err) == (2, True, False), outcome.err
    assert "folder" not in name or outcome.err.endswith("/*.csv.\n")


def test_a_column_name_that_yaml_takes_for_something_else_is_asked_for_in_quotes(tmp_path: Path) -> None:
    file = source(tmp_path, {"path": csv(tmp_path, rows())})
    file.write_text(file.read_text().replace("text: what", "text: yes"))
    outcome = call_found("source", "check", file)
    assert (outcome.status, "stands in quotes" in outcome.err) == (2, True), outcome.err


def test_a_profile_without_a_row_is_said_to_have_none(tmp_path: Path) -> None:
    profile = {"path": csv(tmp_path, "id,age\n", "people.csv"), "key": "id"}
    notes = examined(tmp_path, {"path": csv(tmp_path, rows())}, profile).notes
    assert "the profile has no rows: nothing is known of anybody" in notes
