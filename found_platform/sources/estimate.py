"""What a run will take, from what is known before it: how many events, over how many days.

What belongs here: a rough guess of time and disk, and its constants. What does not: measuring a run (the graph's steps do).
"""

import shutil
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import pace
from found_platform.sources.config import SourceConfig

# A run from an empty home to the end of `found demo`, by what its steps took on two cores (docs/benchmarks.md):
SECONDS = 20  # libraries, the first scan, MLflow, the index: whatever the source holds
SECONDS_A_DAY = 0.02  # a commit and an event for each day and table
SECONDS_AN_EVENT = 0.00008  # scanned, sorted into three tables, matched by look-ups
SECONDS_A_USER = 0.002  # a row of features for each day, a dozen moments in the training set, states of past days
SECONDS_A_TEXT = 0.0028  # through a text encoder of 22 million weights; words that are only hashed cost nothing
SECONDS_A_STEP = 0.065  # of training, all stages alike, with what is read and judged beside it
# What that comes to, and what runs took by the clock, on two quiet cores that take .75 of the time of the reference (`pace`):
#   2,000 simulated users, 120 days, 204,000 events, 9,300 texts, with a benchmark:  131 for 137
#   the same in the profile `tiny`, with two scenarios:                              50 for 46
# And of earlier code, which took 1.45 times as long in `tiny`, seconds by the clock or of the processor, whichever was less:
#   6,000 users over 60 days, 324,000 events, in `tiny`:                             83 for 101
#   4,338 users, 374 days, 408,000 events, 3,600 texts:                              121 for 173
#   1,000 users, 1,825 days, 38,000 events, 3,600 texts:                             118 for 126
#   4,338 users, 374 days, 12,000 events, 3,400 texts:                               88 for 111
STEPS = 650  # of training in the profile `cpu`
BYTES, BYTES_A_DAY, BYTES_AN_EVENT, BYTES_A_USER = 9e6, 0.08e6, 250, 15e3
BENCHMARK, BENCHMARK_BYTES = 5, 20e6  # where a source brings labels
SECONDS_A_SCENARIO, SCENARIOS = 6, 10  # of the quick benchmark, which takes all of the simulator's unless a profile says fewer
EVENTS_A_USER_AND_DAY = 0.85  # of the simulator
EVENTS_A_USER, MOST_USERS = 10, 5000  # where nobody has counted users yet
EVENTS_A_TEXT, MOST_TEXTS = 4, 5000  # where nobody has counted texts yet
SIMULATED_TEXTS = 9300
ROUGHLY = 1.5  # how far a machine, a profile or a source may be off, either way

SLOW = 2.0  # times the usual: from here on a person is told

SAMPLE = 1 << 18  # bytes of a CSV file whose lines are counted


@dataclass(frozen=True)
class Estimate:
    """A rough guess: seconds of a run, and bytes on disk when it is done. Both may be off by a factor of `ROUGHLY`, either way.

    `users` and `texts` are None where nobody has counted them; `labelled` where a benchmark follows; `steps` are of training, all
    stages together; `encoded` is false where a profile has no trained text encoder; `scenarios` are those of the benchmark;
    `slowness` is how many times as long this machine takes as the one that the constants come from; `off` how many times as long
    the last run of the same home took as was expected.
    """

    events: int
    days: int
    users: int | None = None
    labelled: bool = False
    texts: int | None = None
    steps: int = STEPS
    encoded: bool = True
    scenarios: int = SCENARIOS
    slowness: float = 1.0
    off: float = 1.0

    @property
    def _users(self) -> float:
        return min(self.events / EVENTS_A_USER, MOST_USERS) if self.users is None else self.users

    @property
    def _texts(self) -> float:
        return min(self.events / EVENTS_A_TEXT, MOST_TEXTS) if self.texts is None else self.texts

    @property
    def seconds(self) -> float:
        own = SECONDS + self.days * SECONDS_A_DAY + self.events * SECONDS_AN_EVENT + self._users * SECONDS_A_USER
        learning = self.steps * SECONDS_A_STEP + self.encoded * self._texts * SECONDS_A_TEXT
        return self.off * self.slowness * (own + learning + self.labelled * (BENCHMARK + self.scenarios * SECONDS_A_SCENARIO))

    @property
    def bytes(self) -> float:
        own = BYTES + self.days * BYTES_A_DAY + self.events * BYTES_AN_EVENT + self._users * BYTES_A_USER
        return own + self.labelled * BENCHMARK_BYTES

    def sentence(self, home: Path) -> str:
        """The range of both, for the person who waits."""
        time, size = (self.seconds, TIMES), (self.bytes, SIZES)
        slow = f", on a machine that takes {self.slowness:.0f} times as long as usual now" if self.slowness >= SLOW else ""
        return (
            f"Expect {range_of(*time)} and {range_of(*size)} in {home}: a rough guess from about {_two_digits(self.events):,} "
            f"events over {self.days:,} days{slow}"
        )


TIMES = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
SIZES = {"TB": 1e12, "GB": 1e9, "MB": 1e6}


def range_of(middle: float, units: dict[str, float]) -> str:
    """From so much to so much, `ROUGHLY` either way, in the largest unit of which there are two."""
    low, high = middle / ROUGHLY, middle * ROUGHLY
    unit, size = next(((u, n) for u, n in units.items() if low >= 2 * n), list(units.items())[-1])  # "1 to 3" would promise less
    return f"{_two_digits(low / size):,} to {_two_digits(high / size):,} {unit}"


def _two_digits(value: float) -> int:
    """Rounded to two digits: more would promise too much."""
    return int(round(value, min(0, 2 - len(str(round(value))))))


def of_source(config: SourceConfig, users: int | None = None) -> Estimate:
    """The estimate of a source whose span is known, in the profile `cpu`. Reads Parquet footers and the beginnings of CSV files."""
    first, end = config.days
    days = (end - first).days
    if config.simulator:
        events = round(config.simulator.users * days * EVENTS_A_USER_AND_DAY)
        return Estimate(events, days, config.simulator.users, labelled=True, texts=SIMULATED_TEXTS)
    files = {file for entries in config.channels.values() for entry in entries for file in entry.files()}
    return Estimate(sum(map(_rows, files)), days, users)


def in_profile(estimate: Estimate, settings: Settings, *, trains: bool) -> Estimate:
    """The estimate with the training and the text encoder that a home has."""
    stages = (settings.sizes.behavior, settings.sizes.tabular, settings.sizes.align)
    steps = sum(stage.options["steps"] for stage in stages) if trains else 0
    scenarios = settings.sizes.benchmark_scenarios or SCENARIOS
    return replace(estimate, steps=steps, encoded=not settings.random_text_encoder, scenarios=scenarios)


def on_this_machine(estimate: Estimate) -> Estimate:
    """The estimate for the machine that this runs on, as busy as it is now."""
    return replace(estimate, slowness=pace.slowness())


def of_events(config: SourceConfig) -> Estimate:
    """The part of it that does not depend on the days, which a slip in a few rows may stretch."""
    return Estimate(of_source(config).events, 0)


def _rows(file: Path) -> int:
    """Rows of a file: those of a Parquet footer, or lines of a CSV file as its beginning has them."""
    if file.name.endswith(".parquet"):
        return pq.read_metadata(file).num_rows
    with file.open("rb") as opened:
        sample = opened.read(SAMPLE)
    text = zlib.decompressobj(wbits=31).decompress(sample) if file.name.endswith(".gz") else sample
    return round(text.count(b"\n") * file.stat().st_size / max(1, len(sample)))


def check_disk(estimate: Estimate, home: Path) -> None:
    """Raises BadInput where the disk of a home, which may not exist yet, has less room than the estimate asks for."""
    folder_on_disk = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(folder_on_disk).free
    if free < estimate.bytes:
        raise BadInput(
            f"{home} is expected to take about {estimate.bytes / 1e6:,.0f} MB, and its disk has {free / 1e6:,.0f} MB left: "
            "make room, or choose another --home."
        )
