"""`found gc`, `found doctor`, `found backup`, `found restore`: a home kept in order."""

from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal

MEGABYTE = 1e6


def gc(
    place: Place, dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False
) -> None:
    """Remove what is old and asked for by nothing: runs, ticks, earlier versions, what models out of service left."""
    from found_platform.app import housekeeping

    collection = ask(housekeeping.collect, place.home, housekeeping.Collect(dry_run))
    if place.as_json:
        print_json(collection)
        return
    console = terminal()
    rows = [
        (k.kind, k.about, f"{k.pieces:,}", f"{k.in_use:,}", f"{k.before / MEGABYTE:,.1f}", f"{k.after / MEGABYTE:,.1f}")
        for k in collection.kinds
    ]
    goes = "would go" if dry_run else "gone"
    console.print(table("kind", "what", goes, "in use", "MB before", "MB after", left=("kind", "what"), wrap="what", rows=rows))
    verb = "would be" if dry_run else "is"
    console.print(f"The home {verb} {collection.after / MEGABYTE:,.1f} MB, from {collection.before / MEGABYTE:,.1f} MB.")
