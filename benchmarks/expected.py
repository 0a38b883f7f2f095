"""What runs are expected to take, and what they took: a whole run of each source, and a forced backfill of its last days.

    .venv/bin/python benchmarks/expected.py [--profile PROFILE] [--days N] [SOURCE ...]

Without a source file it is the simulated demo. Each source gets a home of its own, which is removed in the end. Seconds are by the
clock, so nothing else should be at work. A second backfill is expected from what the first one took. Exit status 1 where one is off
by more than the range that was said.
"""

import argparse
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SAID = re.compile(r"Expect ([\d,]+) to ([\d,]+) (hours|minutes|seconds)")
SECONDS = {"hours": 3600, "minutes": 60, "seconds": 1}


class Row(NamedTuple):
    """A run: the range of seconds that was said before it, and the seconds that it took."""

    of: str
    run: str
    low: float
    high: float
    took: float

    @property
    def verdict(self) -> str:
        """Seconds are said in two digits at most, so a tenth more or less is no miss."""
        return "within" if 0.9 * self.low <= self.took <= 1.1 * self.high else "**off**"


def said(words: str) -> tuple[float, float]:
    """The range of seconds in a command's words. Raises ValueError where there is none."""
    match = SAID.search(words)
    if match is None:
        raise ValueError(f"nothing was expected in {words!r}")
    low, high = (float(number.replace(",", "")) * SECONDS[match[3]] for number in match.groups()[:2])
    return low, high


def timed(*arguments: str) -> tuple[float, dict[str, Any], str]:
    """Seconds of a command by the clock, its answer, and what it said beside that."""
    command = [sys.executable, "-m", "found_platform.cli", *arguments, "--format", "json"]
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"`found {' '.join(arguments)}` ended with exit status {ran.returncode}: {ran.stderr}")
    return time.perf_counter() - began, json.loads(ran.stdout), " ".join(ran.stderr.split())


def runs(source: Path | None, profile: str, days: int) -> Iterator[Row]:
    """A whole run of a source, and two backfills of its last days before the cutoff."""
    name = source.stem if source else "simulated"
    with tempfile.TemporaryDirectory() as folder:
        home = ("--home", f"{folder}/home")
        took, answer, words = timed("demo", "--profile", profile, *(("--source", str(source)) if source else ()), *home)
        yield Row(name, "found demo", *said(words), took)
        last = answer["cutoff"]
        first = str(dt.date.fromisoformat(last) - dt.timedelta(days=days - 1))
        for turn in ("first", "second"):
            _, filled, words = timed("backfill", "--from", first, "--to", last, "--force", *home)
            filled_seconds = sum(asset["seconds"] for asset in filled["assets"].values())
            yield Row(name, f"found backfill, {turn}", *said(words), filled_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--days", type=int, default=30, help="of the backfill")
    options = parser.parse_args()
    rows = []
    print("| source | run | expected, s | took, s | of the middle | |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for source in options.sources or [None]:
        for row in runs(source, options.profile, options.days):
            rows.append(row)
            share = row.took / (row.low * row.high) ** 0.5
            expected = f"{row.low:.0f} to {row.high:.0f}"
            print(f"| {row.of} | {row.run} | {expected} | {row.took:.1f} | {share:.2f} | {row.verdict} |", flush=True)
    raise SystemExit(any(row.verdict != "within" for row in rows))


if __name__ == "__main__":
    main()
