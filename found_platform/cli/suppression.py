"""`found suppress`: who may never be targeted."""

from typing import TYPE_CHECKING

from found_platform.cli.asking import ask
from found_platform.cli.options import Place, Reason, UsersFile
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.users import Change

SHOWN = 20
"""Users in the table; the JSON has them all."""
COLUMNS = ("user key", "since", "by", "reason")


def add(file: UsersFile, place: Place, reason: Reason = "") -> None:
    """Suppress users: no audience holds them from now on. A column `reason` of the file outranks --reason."""
    from found_platform.app import users

    _say(ask(users.suppress, place.home, users.Suppress(file, reason)), place, "Suppressed", "Were so already")


def lift(file: UsersFile, place: Place, reason: Reason = "") -> None:
    """Lift the suppression of users."""
    from found_platform.app import users

    change = ask(users.lift_suppression, place.home, users.Suppress(file, reason))
    _say(change, place, "No longer suppressed", "Were not suppressed")


def _say(change: "Change", place: Place, verb: str, otherwise: str) -> None:
    if place.as_json:
        print_json(change)
        return
    print(f"{verb}: {change.changed:,}. {otherwise}: {change.unchanged:,}.")
    if change.unknown:
        print(f"Never seen in this home: {change.unknown:,} of them. Check that the file has the ids as the source writes them.")


def list_suppressed(place: Place) -> None:
    """Say who is suppressed, by pseudonym, why and since when."""
    from found_platform.app import users

    suppressed = ask(users.list_suppressed, place.home)
    if place.as_json:
        print_json(suppressed)
        return
    console = terminal()
    if not suppressed.users:
        console.print("Nobody is suppressed.")
        return
    rows = [(u.user_key, f"{u.since:%Y-%m-%d %H:%M}", u.by, u.reason) for u in suppressed.users[:SHOWN]]
    console.print(table(*COLUMNS, left=COLUMNS, rows=rows))
    count = suppressed.count
    console.print(f"Suppressed: {count:,}" + (f", the newest {SHOWN} of them shown." if count > SHOWN else "."))
