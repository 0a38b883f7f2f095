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

# Measured on two cores with the profile `cpu`, from an empty home to an audience:
#   2,000 simulated users over 120 days, 204,000 events:  200 s, 182 MB
#   a grocer's 2,400 users over 414 days, 84,000 events:  240 to 300 s, 188 MB
# These two give the constants. 500 users over 60 days, 25,000 events, took 115 s and 73 MB, which they guess as 97 s and 67 MB.
# Texts, users and training rows count too, but grow with events and days.
SECONDS, SECONDS_A_DAY, SECONDS_AN_EVENT = 60, 0.45, 0.0004
BYTES, BYTES_A_DAY, BYTES_AN_EVENT = 40e6, 0.25e6, 500
EVENTS_A_USER_AND_DAY = 0.85  # of the simulator
ROUGHLY = 2  # how far a machine, a profile or a source may be off, either way

SAMPLE = 1 << 18  # bytes of a CSV file whose lines are counted


@dataclass(frozen=True)
class Estimate:
    """A rough guess: seconds of a run, and bytes on disk when it is done. Both may be off by a factor of `ROUGHLY`, either way."""

    events: int
    days: int

    @property
    def seconds(self) -> float:
        return SECONDS + self.days * SECONDS_A_DAY + self.events * SECONDS_AN_EVENT

    @property
    def bytes(self) -> float:
        return BYTES + self.days * BYTES_A_DAY + self.events * BYTES_AN_EVENT

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


def of_source(config: SourceConfig) -> Estimate:
    """The estimate of a source whose span is known. Reads Parquet footers and the beginnings of CSV files."""
    first, end = config.days
    days = (end - first).days
    if config.simulator:
        return Estimate(round(config.simulator.users * days * EVENTS_A_USER_AND_DAY), days)
    files = {file for entries in config.channels.values() for entry in entries for file in entry.files()}
    return Estimate(sum(map(_rows, files)), days)


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
