"""`found suppress`: who may never be targeted."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform.cli.app import existing_home, print_json
from found_platform.privacy import suppression
from found_platform.privacy.suppression import Change
from found_platform.settings import Settings

SHOWN = 20
"""Users in the table; the JSON has them all."""


def add(file: Path, *, reason: str, home: Path) -> None:
    """Suppresses the users of a file and says how many."""
    settings = Settings.load(existing_home(home))
    _say(suppression.add(settings, file, reason), "Suppressed", "Were so already")


def lift(file: Path, *, reason: str, home: Path) -> None:
    """Lifts the suppression of the users of a file and says how many."""
    settings = Settings.load(existing_home(home))
    _say(suppression.lift(settings, file, reason), "No longer suppressed", "Were not suppressed")


def _say(change: Change, done: str, otherwise: str) -> None:
    print(f"{done}: {change.changed:,}. {otherwise}: {change.unchanged:,}.")
    if change.unknown:
        print(f"Never seen in this home: {change.unknown:,} of them. Check that the file has the ids as the source writes them.")


def show(*, home: Path, as_json: bool) -> None:
    """Prints who is suppressed now."""
    rows = suppression.current(Settings.load(existing_home(home))).to_pylist()
    if as_json:
        print_json({"count": len(rows), "users": rows})
        return
    console = Console(highlight=False, markup=False)
    if not rows:
        console.print("Nobody is suppressed.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("user key", "since", "by", "reason"):
        table.add_column(name)
    for row in rows[:SHOWN]:
        table.add_row(row["user_key"], f"{row['since']:%Y-%m-%d %H:%M}", row["by"], row["reason"])
    console.print(table)
    console.print(f"Suppressed: {len(rows):,}" + (f", the newest {SHOWN} of them shown." if len(rows) > SHOWN else "."))
