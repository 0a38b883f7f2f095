"""`found backfill` and `found status`: days made again, and what is there, missing and stale."""

from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from found_platform.cli.app import existing_home, print_json
from found_platform.contract import parse_day
from found_platform.errors import BadInput
from found_platform.settings import Settings


def backfill(
    first: str,
    last: str,
    *,
    assets: list[str],
    each_day: bool,
    force: bool,
    removed: Literal["keep", "drop"] | None,
    home: Path,
    as_json: bool,
) -> None:
    """Makes the days, with a bar an asset on stderr, and prints what was made and what is stale now."""
    from dagster_defs import run as graph

    settings = Settings.load(existing_home(home))
    start, end = parse_day(first, "--from"), parse_day(last, "--to")
    if end < start:
        raise BadInput(f"--to {end} lies before --from {start}: both days are included.")
    if unknown := [a for a in assets if a not in graph.BACKFILLED]:
        raise BadInput(f"There is no daily asset {unknown[0]!r}: choose of {', '.join(graph.BACKFILLED)}.")
    wanted = [a for a in graph.BACKFILLED if a in assets] or list(graph.BACKFILLED)
    done: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}
        for filled in graph.backfill(settings, start, end, assets=wanted, each_day=each_day, force=force, removed=removed):
            if filled.asset not in tasks:
                tasks[filled.asset] = progress.add_task(filled.asset, total=filled.total, visible=filled.total > 0)
                done[filled.asset] = {"made": 0, "up_to_date": filled.up_to_date, "rows": 0, "runs": 0, "seconds": 0.0}
            row = done[filled.asset]
            row["made"] += len(filled.keys)
            row["rows"] += filled.rows
            row["runs"] += bool(filled.keys)
            row["seconds"] = round(row["seconds"] + filled.seconds, 2)
            progress.update(tasks[filled.asset], completed=row["made"])
    states = graph.states(settings)
    days = graph.days_of(settings, start, end)
    absent = (end - start).days + 1 - len(days)
    if as_json:
        stale = {s.asset: s.stale for s in states if s.stale}
        print_json({"from": days[0], "to": days[-1], "days_not_in_the_home": absent, "assets": done, "stale": stale})
        return
    console = Console(highlight=False, markup=False)
    if absent:
        console.print(
            f"{absent:,} of the days from {start} to {end} are not in this home, whose source has no events there: "
            f"only {days[0]} to {days[-1]} were looked at.",
            soft_wrap=True,
        )
    table = _table("asset", "days made", "up to date", "runs", "rows", "seconds")
    for asset, row in done.items():
        table.add_row(asset, *(f"{row[k]:,}" for k in ("made", "up_to_date", "runs", "rows")), f"{row['seconds']:.1f}")
    console.print(table)
    _say_stale(console, states, home)


def status(*, home: Path, as_json: bool) -> None:
    """Prints a line an asset: how much of it is there, how much is stale, the newest key."""
    from dagster_defs import run as graph

    states = graph.states(Settings.load(existing_home(home)))
    if as_json:
        rows = [{"asset": s.asset, "partitions": s.kind, "possible": s.possible, "made": s.made, "stale": s.stale} for s in states]
        print_json({"home": str(home.resolve()), "assets": rows})
        return
    console = Console(highlight=False, markup=False)
    table = _table("asset", "partitions", "made", "stale", "newest")
    for s in states:
        newest = (s.made[-1] or "whole") if s.made else "-"
        made = f"{len(s.made):,} of {s.possible:,}" if s.kind == "daily" else f"{len(s.made):,}"
        table.add_row(s.asset, {"daily": "by day", "none": "-"}.get(s.kind, f"by {s.kind}"), made, f"{len(s.stale):,}", newest)
    console.print(table)
    _say_stale(console, states, home)


def _say_stale(console: Console, states: list[Any], home: Path) -> None:
    stale = [s for s in states if s.stale]
    if not stale:
        console.print("Nothing is stale.")
        return
    console.print("Stale, since what they read has changed:")
    for s in stale:
        days = (
            ""
            if s.stale == [""]
            else f"{len(s.stale):,} of its {'days' if s.kind == 'daily' else f'{s.kind}s'}, {s.stale[0]} to {s.stale[-1]}"
        )
        console.print(f"  {s.asset:<18} {days}")
    daily = [s for s in stale if s.kind == "daily" and s.asset != "feature_drift"]
    if daily:
        first, last = min(s.stale[0] for s in daily), max(s.stale[-1] for s in daily)
        console.print(f"To make the days again: found backfill --from {first} --to {last} --home {home}", soft_wrap=True)
    if any(s.asset == "audience_members" for s in stale):
        console.print(f"To find the members of saved audiences again: found audience refresh --all --home {home}", soft_wrap=True)
    if any(s.kind != "daily" and s.asset != "audience_members" for s in stale):
        console.print(f"To make everything of a cutoff again: found demo --home {home}", soft_wrap=True)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
