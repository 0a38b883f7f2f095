"""`found backfill` and `found status`: days made again, and what is there, missing and stale."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from found_platform.cli.asking import ask, home_option
from found_platform.cli.options import Place, RemovedRows
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.graph import AssetState
    from found_platform.app.progress import Event


def backfill(
    place: Place,
    first: Annotated[str, typer.Option("--from", help="First day (YYYY-MM-DD).")],
    last: Annotated[str, typer.Option("--to", help="Last day, included.")],
    asset: Annotated[list[str] | None, typer.Option(help="A daily asset; may be repeated. Default: all of them.")] = None,
    each_day: Annotated[bool, typer.Option("--each-day", help="A run a day instead of a run for up to 30 days.")] = False,
    force: Annotated[bool, typer.Option(help="Redo what is up to date.")] = False,
    removed: RemovedRows = None,
) -> None:
    """Make days of events and features again, and say what is stale after it."""
    from found_platform.app import graph

    request = graph.Backfill(first, last, tuple(asset or ()), each_day, force, removed.value if removed else None)
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn())
    with Progress(*columns, console=terminal(stderr=True), redirect_stdout=False) as progress:
        bars: dict[str, Any] = {}

        def show(event: "Event") -> None:
            from found_platform.app.progress import DaysDone, Expected

            if isinstance(event, Expected):
                days = ", ".join(f"{number:,} of {asset}" for asset, number in event.days.items() if number)
                about = f"{event.sentence} for the days to make: at most {days}." if days else "No day is to be made."
                progress.console.print(about, soft_wrap=True)
            if isinstance(event, DaysDone):
                if event.asset not in bars:
                    bars[event.asset] = progress.add_task(event.asset, total=event.total, visible=event.total > 0)
                progress.update(bars[event.asset], completed=event.materialized)

        filled = ask(graph.backfill, place.home, request, tell=show)
    if place.as_json:
        print_json(filled)
        return
    console = terminal()
    if filled.absent:
        console.print(
            f"{filled.absent:,} of the days from {first} to {last} are not in this home, whose source has no events there: "
            f"only {filled.first} to {filled.last} were looked at.",
            soft_wrap=True,
        )
    rows = [
        (asset, *(f"{n:,}" for n in (row.materialized, row.up_to_date, row.runs, row.rows)), f"{row.seconds:.1f}")
        for asset, row in filled.assets.items()
    ]
    console.print(table("asset", "days made", "up to date", "runs", "rows", "seconds", rows=rows))
    _say_stale(console, filled.states, place.home)


def status(place: Place) -> None:
    """Say what is there of every asset, and what is stale."""
    from found_platform.app import graph

    status = ask(graph.status, place.home)
    if place.as_json:
        print_json(status)
        return
    console = terminal()
    assets = table("asset", "partitions", "made", "stale", "newest")
    for s in status.assets:
        newest = (s.materialized[-1] or "whole") if s.materialized else "-"
        materialized = f"{len(s.materialized):,} of {s.possible:,}" if s.partitions == "daily" else f"{len(s.materialized):,}"
        kind = {"daily": "by day", "none": "-"}.get(s.partitions, f"by {s.partitions}")
        assets.add_row(s.asset, kind, materialized, f"{len(s.stale):,}", newest)
    console.print(assets)
    _say_stale(console, status.assets, place.home)


def _say_stale(console: Console, states: "Sequence[AssetState]", home: Path) -> None:
    stale = [s for s in states if s.stale]
    if not stale:
        console.print("Nothing is stale.")
        return
    at = home_option(home)
    console.print("Stale, since what they read has changed:")
    for s in stale:
        kind = "days" if s.partitions == "daily" else f"{s.partitions}s"
        days = "" if s.stale == [""] else f"{len(s.stale):,} of its {kind}, {s.stale[0]} to {s.stale[-1]}"
        console.print(f"  {s.asset:<18} {days}")
    daily = [s for s in stale if s.partitions == "daily" and s.asset != "feature_drift"]
    if daily:
        first, last = min(s.stale[0] for s in daily), max(s.stale[-1] for s in daily)
        console.print(f"To make the days again: found backfill --from {first} --to {last}{at}", soft_wrap=True)
    if any(s.asset == "audience_members" for s in stale):
        console.print(f"To find the members of saved audiences again: found audience refresh --all{at}", soft_wrap=True)
    if any(s.partitions != "daily" and s.asset != "audience_members" for s in stale):
        console.print(f"To make everything of a cutoff again: found demo{at}", soft_wrap=True)
