"""The command line: what it prints, and one clear sentence with exit status 2 for every kind of bad input."""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Outcome, at, call_found, write_source

from found_platform.settings import Settings

EVENTS = [
    {"user_id": f"u{i}", "event_time": at(f"2024-01-{d:02d}"), "text": f"thing {i}", "channel": c}
    for d in range(1, 29)
    for i, c in enumerate(("pay_bill", "spm", "search"))
]


def refused(outcome: Outcome, *words: str) -> None:
    """Exit status 2, one sentence on stderr, nothing on stdout, no traceback."""
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("found: ")
    assert lines[0].endswith(".")
    for word in words:
        assert word in lines[0]


def change(path: Path, edit: Callable[[dict], None]) -> Path:
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content))
    return path


def missing_file(path: Path) -> None:
    change(path, lambda c: c["channels"]["spm"][0].update(path="gone.parquet"))


def wrong_column(path: Path) -> None:
    change(path, lambda c: c["channels"]["spm"][0]["columns"].update(text="headline"))


def empty_channel(path: Path) -> None:
    change(path, lambda c: c["channels"]["search"][0].update(where="channel = 'nothing'"))


SOURCE_FAULTS = [
    (missing_file, ["gone.parquet", "No file"]),
    (wrong_column, ["'headline'", "'spm'", "it has user_id"]),
    (empty_channel, ["'search'", "is empty"]),
]


@pytest.mark.parametrize(("fault", "words"), SOURCE_FAULTS, ids=[f.__name__ for f, _ in SOURCE_FAULTS])
def test_a_source_that_cannot_be_used_makes_no_home(tmp_path: Path, fault: Callable[[Path], None], words: list[str]) -> None:
    source = write_source(tmp_path, EVENTS)
    fault(source)
    refused(call_found("demo", "--source", source, "--profile", "tiny", "--home", tmp_path / "home"), *words)
    assert not (tmp_path / "home").exists()
    refused(call_found("source", "check", source), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cutoff", "next week"], ["--cutoff", "'next week'", "YYYY-MM-DD"]),
        (["--cutoff", "2023-05-01"], ["2023-05-01", "does not fit the data", "2024-01-01 to 2024-01-28"]),
        (["--cutoff", "2024-01-05"], ["choose a day from 2024-01-09"]),
        (["--cutoff", "2024-03-01"], ["2024-03-01", "does not fit"]),
        (["--users", "50"], ["--source", "leave them out"]),
    ],
)
def test_a_demo_that_cannot_work_makes_no_home(tmp_path: Path, options: list[str], words: list[str]) -> None:
    source = write_source(tmp_path, EVENTS)
    refused(call_found("demo", "--source", source, "--profile", "tiny", "--home", tmp_path / "home", *options), *words)
    assert not (tmp_path / "home").exists()


def test_a_missing_source_file_and_a_home_that_is_a_file_are_named(tmp_path: Path) -> None:
    refused(call_found("demo", "--source", tmp_path / "no.yaml", "--home", tmp_path / "home"), "no.yaml", "cannot be read")
    (tmp_path / "file").write_text("")
    refused(call_found("demo", "--profile", "tiny", "--home", tmp_path / "file"), "is a file: choose another --home")


def test_settings_and_homes_that_cannot_be_used_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = ["demo", "--profile", "tiny", "--home"]
    (tmp_path / "file").write_text("")
    refused(call_found(*demo, tmp_path / "file" / "home"), "cannot be a home")
    monkeypatch.setenv("FOUND_LOOKBACK_DAYS", "abc")
    refused(call_found(*demo, tmp_path / "home"), "FOUND_LOOKBACK_DAYS", "'abc'")
    monkeypatch.delenv("FOUND_LOOKBACK_DAYS")
    monkeypatch.setenv("FOUND_ENCODER", str(tmp_path / "no_model"))
    refused(call_found(*demo, tmp_path / "home"), "no_model")
    assert not (tmp_path / "home").exists()


def test_an_edited_source_file_is_told_from_another_source(tmp_path: Path) -> None:
    from found_platform.sources import config, staging

    source = write_source(tmp_path, EVENTS)
    settings = Settings.load(tmp_path / "home")
    staging.open_home(settings, staging.discover(settings, config.load(source)))
    change(source, lambda c: c["channels"]["spm"][0]["columns"].pop("category"))
    edited = staging.open_home(settings, staging.discover(settings, config.load(source)))
    assert "category" not in edited.channels["spm"][0].columns
    other = write_source(tmp_path / "other", EVENTS)
    change(other, lambda c: c.update(name="another"))
    refused(
        call_found("demo", "--source", other, "--home", settings.home), "belongs to another source, 'by_hand'", "--another-source"
    )


def test_the_environment_outranks_what_a_home_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(tmp_path, profile="tiny", quarantine_threshold=0.2)
    settings.keep()
    assert Settings.load(tmp_path).quarantine_threshold == 0.2
    monkeypatch.setenv("FOUND_QUARANTINE_THRESHOLD", "0.4")
    assert (Settings.load(tmp_path).quarantine_threshold, Settings.load(tmp_path).profile) == (0.4, "tiny")


def test_words_that_look_like_markup_are_printed_as_they_are(settings: Settings) -> None:
    assert "people [/who] buy [gold]" in call_found("audience", "find", "people [/who] buy [gold]", "--home", settings.home).out


def test_too_many_bad_rows_stop_before_a_home_is_made_and_say_so_again(tmp_path: Path) -> None:
    source = write_source(tmp_path, [*EVENTS, *[{**e, "text": " "} for e in EVENTS[:30]]])
    for _ in range(2):
        outcome = call_found("demo", "--source", source, "--profile", "tiny", "--home", tmp_path / "home", "--format", "json")
        assert outcome.status == 2
        assert outcome.out == ""
        last = outcome.err.strip().splitlines()[-1]
        assert last.startswith("found: 26.3% of the source's rows are bad, over the threshold of 5.0%")
        assert "empty text, 10 rows" in last
        assert "Traceback" not in outcome.err
    assert not (tmp_path / "home").exists()


def test_another_source_in_the_same_home_is_refused_and_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    before = (settings.home / "source.yaml").read_bytes()
    source = write_source(tmp_path, EVENTS)
    refused(call_found("demo", "--source", source, "--home", settings.home), "belongs to another source, 'simulated'")
    refused(call_found("demo", "--users", 77, "--home", settings.home), "belongs to another source")
    assert (settings.home / "source.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], ["The demand is empty"]),
        (["x" * 10_000], ["10,000 characters"]),
        (["gold", "--where", "height > 3"], ["'height'", "age_band"]),
        (["gold", "--where", "balance = 'rich'"], ["'balance'", "a number"]),
        (["gold", "--where", "balance >"], ["cannot be read"]),
        (["gold", "--top", "0"], ["--top is 0"]),
    ],
)
def test_a_look_up_that_cannot_work_is_refused(settings: Settings, arguments: list[str], words: list[str]) -> None:
    refused(call_found("audience", "find", *arguments, "--home", settings.home), *words)


def test_commands_on_an_empty_home_say_where_to_start(tmp_path: Path) -> None:
    for command in (["audience", "find", "gold"], ["benchmark", "run"]):
        refused(call_found(*command, "--home", tmp_path / "home"), "Nothing has run", "found demo --home")
    assert not (tmp_path / "home").exists()


def test_a_benchmark_that_cannot_work_is_refused(settings: Settings, tmp_path: Path) -> None:
    run = ["benchmark", "run", "--home", settings.home]
    refused(call_found(*run, "--labels", tmp_path / "x.parquet"), "belong together")
    refused(call_found(*run, "--cutoff", "1999-01-01"), "There is no 1999-01-01 in this home")
    refused(call_found(*run, "--labels", tmp_path / "x.parquet", "--scenarios", tmp_path / "x.json"), "x.json")


def test_an_unknown_option_is_exit_status_2(tmp_path: Path) -> None:
    outcome = call_found("demo", "--colour", "red", "--home", tmp_path / "home")
    assert outcome.status == 2
    assert "Traceback" not in outcome.err


def test_find_prints_one_json_document_with_the_promised_keys(settings: Settings) -> None:
    outcome = call_found(
        "audience", "find", "people who will soon buy gold", "--top", 4, "--home", settings.home, "--format", "json"
    )
    document = json.loads(outcome.out)
    assert list(document) == [
        "query", "rewriting", "mode", "reason", "exact", "as_of", "model_version", "index_version", "count", "users", "note",
        "outcome", "asked", "warning",
    ]  # fmt: skip
    assert document["count"] == len(document["users"]) == 4
    assert list(document["users"][0]) == ["user_id", "score", "probability", "expected", "evidence"]
    assert all(u["user_id"].startswith("user-0-") for u in document["users"])


def test_find_prints_csv_and_a_table_of_the_same_users(settings: Settings) -> None:
    find = ["audience", "find", "people who will soon buy gold", "--mode", "aligned", "--top", 3, "--home", settings.home]
    rows = list(csv.DictReader(io.StringIO(call_found(*find, "--format", "csv").out)))
    table = call_found(*find).out
    assert len(rows) == 3
    assert all(r["user_id"] in table for r in rows)
    assert "answered by the index" in table
    assert "every" not in table


def test_the_audience_is_shown_before_what_nobody_waits_for(settings: Settings) -> None:
    lines = call_found("demo", "--home", settings.home).out.splitlines()
    first = {word: next(i for i, line in enumerate(lines) if word in line) for word in ("user_index", "“", "benchmark_results")}
    assert list(first) == sorted(first, key=lambda word: first[word])
    output = " ".join(lines)
    assert "in this profile of 2 scenarios alone (`found benchmark run` takes all)" in output, "what is left out is said"
    assert "has random weights (profile tiny)" in output, "and that the answer knows no meaning"


def test_benchmark_prints_a_table_that_fits_and_the_documented_json(
    apart: Settings, cutoff: dt.date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    demands = {"gold": "people who will soon buy gold", "pets": "pet owners"}
    rows = [
        {"user_id": f"user-0-{i:06d}", "scenario": name, "cutoff": at(str(cutoff), "00:00:00"), "label": int(i % 3 == 0)}
        for name in demands
        for i in range(90)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "labels.parquet")
    scenarios = [{"scenario": name, "demand": demand, "paraphrases": [demand.upper()]} for name, demand in demands.items()]
    (tmp_path / "scenarios.json").write_text(json.dumps({"scenarios": scenarios}))
    files = ["--labels", tmp_path / "labels.parquet", "--scenarios", tmp_path / "scenarios.json"]
    refused(call_found("benchmark", "run", "--home", apart.home, *files), "training files", "take --training-seeds 1")
    named = "activity_count,late,replay,auto,found,cpc,few_shot"  # cpc is trained for it, as all rivals are
    part = ("--only-scenarios", "pets", "--training-seeds", "1", "--methods", named)
    table = call_found("benchmark", "run", "--home", apart.home, *files, *part)
    assert table.status == 0, table.err
    assert max(map(len, table.out.splitlines())) <= 80
    for word in ("replay", "reworded", "AUC, zero-shot", "AUC, few-shot", "AUC, probes", "prec 50"):
        assert word in table.out
    assert call_found("benchmark", "show", "--home", apart.home).out == table.out
    some = "activity_count,auto,activity,frozen_text,found,labelled_ceiling"  # all of them: tests/found_platform/evaluation
    quick = ("--quick", "--methods", some)
    document = json.loads(call_found("benchmark", "run", *quick, "--home", apart.home, "--format", "json").out)
    assert {r["scenario"] for r in document["results"]} == {"gold", "pets", "mean"}
    assert {r["task"] for r in document["results"]} == {"zero_shot", "linear_probe", "most_labels"}
    compared = call_found("benchmark", "compare", "--against", "found", "--home", apart.home)
    assert "to found" in compared.out
    pairs = json.loads(call_found("benchmark", "compare", "--home", apart.home, "--format", "json").out)["pairs"]
    assert {p["verdict"] for p in pairs} <= {"ahead", "behind", "chance"}
    assert {p["scenario"] for p in pairs} == {"gold", "pets", "mean"}
    refused(call_found("benchmark", "compare", "--against", "fund", "--home", apart.home), "--against 'fund' has no rows")
    part = ["--methods", "activity_count,recency", "--only-scenarios", "pets", "--format", "json"]
    document = json.loads(call_found("benchmark", "run", "--home", apart.home, *part).out)
    assert {r["method"] for r in document["results"]} == {"activity_count", "recency"}
    assert {r["scenario"] for r in document["results"]} == {"pets", "mean"}
    refused(call_found("benchmark", "run", "--home", apart.home, "--methods", "fund"), "There is no method 'fund'")
    refused(call_found("benchmark", "run", "--home", apart.home, "--only-scenarios", "gould"), "There is no scenario 'gould'")


def test_source_check_says_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    events = [*EVENTS, {**EVENTS[0], "text": ""}, {**EVENTS[0], "text": "push", "channel": "mini_program", "exposure": True}]
    source = write_source(tmp_path, events, [{"user_id": "u0", "age": 4}])
    table = call_found("source", "check", source)
    assert table.status == 0
    for word in ("pay_bill", "1 empty text", "age (int)", "may leak", "'mini_program' holds exposures only"):
        assert word in table.out
    document = json.loads(call_found("source", "check", source, "--format", "json").out)
    assert {c["channel"]: c["rows"] for c in document["channels"]} == {"pay_bill": 29, "spm": 28, "search": 28, "mini_program": 1}
    del events[1::3]
    pq.write_table(pa.table({"x": [1]}), tmp_path / "profile.parquet")
    missing = call_found("source", "check", write_source(tmp_path, [e for e in EVENTS if e["channel"] == "spm"]))
    assert "channel 'search' is missing" in missing.out
    assert "no profile" in missing.out
