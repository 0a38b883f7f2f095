"""What a run is expected to take is said before it, and a disk without room for it is refused."""

import datetime as dt
import gzip
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import at, call_found, write_source

from found_platform.app import process
from found_platform.errors import JobFailed
from found_platform.settings import Settings
from found_platform.sources import config, estimate, pace

COLUMNS = {"user_id": "id", "event_time": "when", "text": "what"}


@pytest.mark.parametrize(
    ("guess", "seconds", "megabytes"),
    [
        (estimate.Estimate(204_155, 120, 2000, labelled=True, texts=9302), 229, 176),
        (estimate.Estimate(204_155, 120, 2000, labelled=True, texts=9302, steps=100, encoded=False, scenarios=2), 88, 154),
        (estimate.Estimate(323_875, 60, 6000, labelled=True, texts=9302, steps=100, encoded=False, scenarios=2), 101, 239),
        (estimate.Estimate(407_848, 374, 4338), 173, 216),
        (estimate.Estimate(407_848, 374), 173, 216),
        (estimate.Estimate(38_492, 1825, 1000), 126, 191),
        (estimate.Estimate(38_492, 1825), 126, 191),
        (estimate.Estimate(12_242, 374, 4338), 111, 154),
        (estimate.Estimate(36, 29, 8), 78, 8),
    ],
)
def test_the_measured_homes_lie_within_what_is_expected(guess: estimate.Estimate, seconds: float, megabytes: float) -> None:
    assert 1 / estimate.ROUGHLY < seconds / guess.seconds < estimate.ROUGHLY
    assert 1 / estimate.ROUGHLY < megabytes * 1e6 / guess.bytes < estimate.ROUGHLY


def test_the_profile_decides_how_much_is_trained_and_encoded(tmp_path: Path) -> None:
    guess = estimate.Estimate(200_000, 120, 2000)
    tiny, cpu = (
        estimate.in_profile(guess, Settings.load(tmp_path / name, profile=name), trains=True).seconds for name in ("tiny", "cpu")
    )
    assert cpu == guess.seconds
    assert tiny < 0.7 * cpu
    labelled = replace(guess, labelled=True)
    few = estimate.in_profile(labelled, Settings.load(tmp_path / "tiny", profile="tiny"), trains=True).seconds
    assert few - tiny == pytest.approx(estimate.BENCHMARK + 2 * estimate.SECONDS_A_SCENARIO), "a benchmark of two scenarios"
    untrained = estimate.in_profile(guess, Settings.load(tmp_path / "cpu", profile="cpu"), trains=False)
    assert untrained.seconds == pytest.approx(cpu - estimate.STEPS * estimate.SECONDS_A_STEP)


def test_a_slower_machine_is_expected_to_take_longer_and_to_write_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    guess = estimate.Estimate(200_000, 120, 2000)
    monkeypatch.setattr(pace, "_seconds", lambda: 2 * pace.REFERENCE)
    slower = estimate.on_this_machine(guess)
    assert slower.seconds == pytest.approx(2 * guess.seconds)
    assert slower.bytes == guess.bytes
    assert slower.sentence(Path("home")).endswith("over 120 days, on a machine that takes 2 times as long as usual now")


def test_a_machine_that_is_busy_for_a_moment_is_not_taken_to_be_so_for_hours() -> None:
    assert (pace.bounded(100.0), pace.bounded(1e-6)) == (pace.SLOWEST, pace.FASTEST)
    assert pace.FASTEST <= pace.slowness() <= pace.SLOWEST


def test_the_machine_that_is_measured_is_the_one_before_others_work_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds", lambda: pace.REFERENCE)
    with process.training_beside():
        monkeypatch.setattr(pace, "_seconds", lambda: 3 * pace.REFERENCE)
        assert pace.slowness() == 1.0
    assert pace.slowness() == 3.0


@pytest.mark.parametrize(
    ("events", "days", "words"),
    [
        (0, 14, "42 to 94 seconds and 7 to 15 MB"),
        (204_155, 120, "70 to 160 seconds and 96 to 220 MB"),
        (50_000_000, 700, "46 to 100 minutes and 8 to 19 GB"),
    ],
)
def test_the_sentence_rounds_to_what_is_known(events: int, days: int, words: str) -> None:
    sentence = estimate.Estimate(events, days).sentence(Path("my_home"))
    assert sentence.startswith(f"Expect {words} in my_home: a rough guess from about ")
    assert sentence.endswith(f"events over {days} days")


def test_events_are_counted_from_footers_and_first_lines_each_file_once(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["u"] * 700, "when": ["2024-01-05"] * 700, "what": ["tea"] * 700}), tmp_path / "a.parquet")
    lines = "id,when,what\n" + "".join(f"user{i},2024-01-05 10:00:00,tea number {i % 50}\n" for i in range(40_000))
    (tmp_path / "b.csv").write_text(lines)
    with gzip.open(tmp_path / "c.csv.gz", "wt") as file:
        file.write(lines)
    span = {"start": dt.date(2024, 1, 1), "end": dt.date(2024, 3, 1)}

    def events(*paths: str) -> int:
        entries = [{"path": str(tmp_path / path), "columns": COLUMNS} for path in paths]
        guess = estimate.of_source(config.parse({"name": "s", "channels": {"spm": entries}, "span": span}, "here"))
        assert guess.days == 60
        return guess.events

    assert events("a.parquet", "a.parquet") == 700
    assert events("b.csv") == pytest.approx(40_000, rel=0.1)
    assert events("c.csv.gz") == pytest.approx(40_000, rel=0.2)


def test_a_first_run_says_what_to_expect_and_a_disk_without_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is not run: what is said comes before it."""
    events = [{"user_id": "u", "event_time": at(f"2024-01-{d:02d}"), "text": "tea"} for d in range(1, 31)]

    def end(*_: object, **__: object) -> None:
        raise JobFailed("it ends here.")

    monkeypatch.setattr("dagster_defs.runs.run", end)
    monkeypatch.setattr(pace, "slowness", lambda: 1.0)
    demo = [
        "demo",
        "--source",
        write_source(tmp_path, events),
        "--profile",
        "tiny",
        "--home",
        tmp_path / "home",
        "--format",
        "json",
    ]
    Usage = namedtuple("Usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(estimate.shutil, "disk_usage", lambda path: Usage(1e6))
        refused = call_found(*demo)
    assert refused.status == 2
    assert "is expected to take about 9 MB, and its disk has 1 MB left: make room, or choose another --home." in refused.err
    assert not (tmp_path / "home").exists()
    outputs = [call_found(*demo, *more).err.splitlines() for more in ([], [], ["--force"])]
    expected = f"Expect 14 to 31 seconds and 8 to 17 MB in {tmp_path / 'home'}: a rough guess from about 30 events over 30 days"
    assert [lines[1] == expected for lines in outputs] == [True, False, True]
    assert all(lines[0].startswith("Source by_hand") for lines in outputs)
