"""How long the last runs of a home took, kept in it, and what that says of the next one.

What belongs here: seconds by asset, and how far an estimate was off. What does not: estimates of a source that nobody has run yet
(`estimate`), which this one scales.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from found_platform.home import write_whole
from found_platform.settings import Settings
from found_platform.sources import estimate, pace

FEWEST_DAYS = 5
"""A run of fewer days of an asset says how long a run takes, not a day in it: one day is computed in another way than a range."""

SECONDS_A_RUN = 0.5
"""Of an asset, whatever it makes: Dagster's events, a commit."""

SECONDS_A_DAY, SECONDS_AN_EVENT = 0.003, 0.00001
"""Of a daily asset that no run of the home has made yet, by the measured runs in docs/benchmarks.md."""

OFF = 4.0
"""Bound of what one run may have been off by: it may have waited for something else."""


@dataclass(frozen=True)
class Durations:
    """What a home keeps. `days` are those of an asset's last run over several, with its seconds; `off` is what the last whole run
    took, divided by what had been expected of it."""

    days: Mapping[str, tuple[int, float]]
    off: float = 1.0

    @classmethod
    def of_home(cls, settings: Settings) -> "Durations":
        path = _path(settings)
        if not path.exists():
            return cls({})
        content: dict[str, Any] = json.loads(path.read_text())
        return cls({asset: (days, seconds) for asset, (days, seconds) in content["days"].items()}, content["off"])

    def _write(self, settings: Settings) -> None:
        write_whole(_path(settings), json.dumps({"days": self.days, "off": self.off}))

    def seconds(self, asset: str, days: int, runs: int, events_a_day: float) -> float:
        """Of so many days of an asset, in so many runs."""
        if not days:
            return 0.0
        last_run = self.days.get(asset)
        if last_run is None:
            return pace.slowness() * (runs * SECONDS_A_RUN + days * (SECONDS_A_DAY + events_a_day * SECONDS_AN_EVENT))
        last_days, took = last_run
        a_run = min(took, SECONDS_A_RUN)
        return runs * a_run + days * (took - a_run) / last_days


def keep_days(settings: Settings, asset: str, days: int, seconds: float) -> None:
    """Keeps how long one run over these days of an asset took."""
    if days >= FEWEST_DAYS:
        before = Durations.of_home(settings)
        Durations({**before.days, asset: (days, round(seconds, 3))}, before.off)._write(settings)


def keep_whole(settings: Settings, guess: estimate.Estimate, seconds: float) -> None:
    """Keeps what a run of everything took, against what was expected of it by the source alone.

    On a machine that was busier than an estimate allows for, the run says nothing of the next one.
    """
    if guess.slowness < pace.SLOWEST:
        before = Durations.of_home(settings)
        Durations(before.days, round(min(OFF, max(1 / OFF, seconds / guess.seconds)), 3))._write(settings)


def expected(settings: Settings, days: Mapping[str, tuple[int, int]], events_a_day: float) -> float:
    """Seconds of so many (days, runs) of each asset."""
    durations = Durations.of_home(settings)
    return sum(durations.seconds(asset, number, runs, events_a_day) for asset, (number, runs) in days.items())


def sentence(seconds: float) -> str:
    """What a person is told who waits for them."""
    return f"Expect {estimate.range_of(seconds, estimate.TIMES)}"


def _path(settings: Settings) -> Path:
    return settings.dagster_home / "durations.json"
