"""What a run will take, from what is known before it: how many events, over how many days.

What belongs here: a rough guess of time and disk, and its constants. What does not: measuring a run (the graph's steps do).
"""

import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from found_platform.errors import BadInput
from found_platform.sources.config import SourceConfig

# Measured on two cores that others used too, profile `cpu`, from an empty home to the end of `found demo`:
#   2,000 simulated users, 120 days, 204,000 events, with a benchmark:  255 s, 176 MB
#   4,338 users, 374 days, 408,000 events:                              260 s, 216 MB
#   1,000 users, 1,825 days, 38,000 events:                             167 s, 191 MB
#   4,338 users, 374 days, 12,000 events:                               150 s, 154 MB
SECONDS, SECONDS_A_DAY, SECONDS_AN_EVENT, SECONDS_A_USER = 60, 0.04, 0.0003, 0.012
BYTES, BYTES_A_DAY, BYTES_AN_EVENT, BYTES_A_USER = 9e6, 0.08e6, 250, 15e3
BENCHMARK = (70, 20e6)  # where a source brings labels
EVENTS_A_USER_AND_DAY = 0.85  # of the simulator
EVENTS_A_USER, MOST_USERS = 10, 5000  # where nobody has counted users yet
ROUGHLY = 1.5  # how far a machine, a profile or a source may be off, either way

SAMPLE = 1 << 18  # bytes of a CSV file whose lines are counted


@dataclass(frozen=True)
class Estimate:
    """A rough guess: seconds of a run, and bytes on disk when it is done. Both may be off by a factor of `ROUGHLY`, either way.

    `users` is None where nobody has counted them; `labelled` where a benchmark follows.
    """

    events: int
    days: int
    users: int | None = None
    labelled: bool = False

    @property
    def _users(self) -> float:
        return min(self.events / EVENTS_A_USER, MOST_USERS) if self.users is None else self.users

    @property
    def seconds(self) -> float:
        own = SECONDS + self.days * SECONDS_A_DAY + self.events * SECONDS_AN_EVENT + self._users * SECONDS_A_USER
        return own + self.labelled * BENCHMARK[0]

    @property
    def bytes(self) -> float:
        own = BYTES + self.days * BYTES_A_DAY + self.events * BYTES_AN_EVENT + self._users * BYTES_A_USER
        return own + self.labelled * BENCHMARK[1]

    def sentence(self, home: Path) -> str:
        """The range of both, for the person who waits."""
        time, size = (self.seconds, TIMES), (self.bytes, SIZES)
        return (
            f"Expect {_range(*time)} and {_range(*size)} in {home}: a rough guess from about {_two_digits(self.events):,} events "
            f"over {self.days:,} days"
        )


TIMES = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
SIZES = {"TB": 1e12, "GB": 1e9, "MB": 1e6}


def _range(middle: float, units: dict[str, float]) -> str:
    low, high = middle / ROUGHLY, middle * ROUGHLY
    unit, size = next(((u, n) for u, n in units.items() if low >= n), list(units.items())[-1])
    return f"{_two_digits(low / size):,} to {_two_digits(high / size):,} {unit}"


def _two_digits(value: float) -> int:
    """Rounded to two digits: more would promise too much."""
    return int(round(value, min(0, 2 - len(str(round(value))))))


def of_source(config: SourceConfig, users: int | None = None) -> Estimate:
    """The estimate of a source whose span is known. Reads Parquet footers and the beginnings of CSV files."""
    first, end = config.days
    days = (end - first).days
    if config.simulator:
        events = round(config.simulator.users * days * EVENTS_A_USER_AND_DAY)
        return Estimate(events, days, config.simulator.users, labelled=True)
    files = {file for entries in config.channels.values() for entry in entries for file in entry.files()}
    return Estimate(sum(map(_rows, files)), days, users)


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
