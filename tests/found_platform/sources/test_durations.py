"""What the last runs of a home took says what the next ones are expected to take."""

from dataclasses import replace
from pathlib import Path

import pytest

from found_platform.settings import Settings
from found_platform.sources import durations, pace
from found_platform.sources.estimate import Estimate


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings.load(tmp_path)
    settings.dagster_home.mkdir(parents=True)
    monkeypatch.setattr(pace, "slowness", lambda: 2.0)
    return settings


def test_days_that_nobody_made_are_expected_by_their_events_on_this_machine(home: Settings) -> None:
    few, many = (durations.expected(home, {"raw_events": (100, 4)}, events) for events in (10, 10_000))
    assert few == pytest.approx(
        2 * (4 * durations.SECONDS_A_RUN + 100 * (durations.SECONDS_A_DAY + 10 * durations.SECONDS_AN_EVENT))
    )
    assert many > 5 * few
    assert durations.expected(home, {"raw_events": (0, 0)}, 10) == 0


def test_days_are_expected_to_take_what_the_last_run_over_several_took(home: Settings) -> None:
    durations.keep_days(home, "user_tabular", 100, 50.5)
    durations.keep_days(home, "raw_events", 100, 10.5)
    durations.keep_days(home, "raw_events", durations.FEWEST_DAYS - 1, 99.0)  # says nothing of a range
    assert durations.expected(home, {"user_tabular": (100, 1)}, 1.0) == pytest.approx(50.5)
    assert durations.expected(home, {"user_tabular": (20, 2), "raw_events": (20, 2)}, 1.0) == pytest.approx(11.0 + 3.0)


def test_a_whole_run_says_how_far_the_next_estimate_would_be_off_within_bounds(home: Settings) -> None:
    assert durations.Durations.of_home(home).off == 1
    durations.keep_days(home, "raw_events", 100, 10.0)
    guess = Estimate(100_000, 100)
    durations.keep_whole(home, guess, 1.5 * guess.seconds)
    assert durations.Durations.of_home(home) == durations.Durations({"raw_events": (100, 10.0)}, 1.5)
    durations.keep_whole(home, replace(guess, slowness=pace.SLOWEST), 10.0)  # nobody knows how busy it was
    assert durations.Durations.of_home(home).off == 1.5
    durations.keep_whole(home, guess, 100 * guess.seconds)
    assert durations.Durations.of_home(home).off == durations.OFF


def test_the_sentence_of_a_backfill_has_the_range_of_every_estimate() -> None:
    assert durations.sentence(30) == "Expect 20 to 45 seconds"
    assert durations.sentence(1800) == "Expect 20 to 45 minutes"
