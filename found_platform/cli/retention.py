"""`found expire`, `found hold`: what is too old goes, and what is under a legal hold stays."""

from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place, Reason
from found_platform.cli.tables import print_json, table, terminal

EXPIRED = ("what", "kept from", "table or folder")
HOLDS = ("hold", "tables", "since", "by", "reason")

HoldName = Annotated[str, typer.Argument(help="Small letters, digits, dots, - and _.")]


def expire(
    place: Place, dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False
) -> None:
    """Let go of rows that are older than the setting retention lets them be, with the files that held them."""
    from found_platform.app import retention

    expiry = ask(retention.expire, place.home, retention.Expire(dry_run))
    if place.as_json:
        print_json(expiry)
        return
    if not expiry.expired:
        print("Everything is kept as long as the home: FOUND_RETENTION sets days, for example events=730,members=180.")
        return
    rows = [
        (each.name, str(each.before), name, f"{count:,}")
        for each in expiry.expired
        for name, count in (each.rows or {"nothing is older": 0}).items()
    ]
    goes = "would go" if dry_run else "gone"
    console = terminal()
    console.print(table(*EXPIRED, goes, left=EXPIRED, rows=rows))
    for each in expiry.expired:
        if each.why_not:
            console.print(f"{each.name} stays: {each.why_not}.", soft_wrap=True)
        elif each.held:
            console.print(f"{each.name}: {each.held:,} rows stay, of persons under a legal hold.", soft_wrap=True)


def add_hold(
    name: HoldName,
    place: Place,
    ids: Annotated[Path | None, typer.Option(help="A file of users: a column user_id, or nothing but ids, one a line.")] = None,
    table_names: Annotated[
        list[str] | None, typer.Option("--table", help="A table of which nothing is erased or expires; may be repeated.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Keep persons and tables from being erased and from expiring, until the hold is removed."""
    from found_platform.app import retention

    placed = ask(retention.place_hold, place.home, retention.PlaceHold(name, ids, tuple(table_names or ()), reason))
    if place.as_json:
        print_json(placed)
        return
    tables = f" and {', '.join(placed.hold.tables)}" if placed.hold.tables else ""
    print(f"Under the hold {name}: {_persons(placed.hold.persons)}, {placed.added:,} of them new{tables}.")
    if placed.unknown:
        print(f"Never seen in this home: {placed.unknown:,} of them. Check that the file has the ids as the source writes them.")


def remove_hold(name: HoldName, place: Place) -> None:
    """End a hold: what it kept may be erased, and goes with the next expiry where it is old enough."""
    from found_platform.app import retention

    hold = ask(retention.remove_hold, place.home, name)
    if place.as_json:
        print_json(hold)
        return
    print(f"The hold {name} has ended: {', '.join([_persons(hold.persons), *hold.tables])}.")


def _persons(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} persons"


def list_holds(place: Place) -> None:
    """Say which holds stand; of their persons, how many there are."""
    from found_platform.app import retention

    holds = ask(retention.list_holds, place.home)
    if place.as_json:
        print_json(holds)
        return
    if not holds:
        print("Nothing is under a legal hold.")
        return
    rows = [(h.name, ", ".join(h.tables), h.since, h.by, h.reason, f"{h.persons:,}") for h in holds]
    terminal().print(table(*HOLDS, "persons", left=HOLDS, rows=rows))
