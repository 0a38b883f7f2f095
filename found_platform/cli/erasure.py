"""`found erase`: forgets users for good, and shows it."""

from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place, Reason
from found_platform.cli.tables import print_json, table, terminal

COLUMNS = ("step", "what", "removed")


def erase(
    ids: Annotated[Path, typer.Option(help="A file of users: a column user_id, or nothing but ids, one a line.")],
    place: Place,
    reason: Reason = "",
) -> None:
    """Erase users from every store of the home, search every byte of it for them, and write a certificate."""
    from found_platform.app import users

    certificate = ask(users.erase, place.home, users.Erase(ids, reason))
    if place.as_json:
        print_json(certificate)
        return
    console = terminal()
    rows = [(step, what, f"{count:,}") for step, counts in certificate.steps.items() for what, count in counts.items()]
    console.print(table(*COLUMNS, left=COLUMNS[:2], rows=rows))
    searched = certificate.searched
    console.print(
        f"Erased: {certificate.persons:,}. Searched afterwards: {searched['files']:,} files, {searched['bytes'] / 1e6:,.1f} MB "
        f"and {searched['unpacked'] / 1e6:,.1f} MB unpacked; nothing of them was found."
    )
    if searched["servers"]:
        console.print("And on servers: " + ", ".join(f"{count:,} {what}" for what, count in searched["servers"].items()) + ".")
    console.print(f"Certificate: {certificate.path}", soft_wrap=True)
    console.print("Not covered: " + "; ".join(certificate.not_covered) + ".")
