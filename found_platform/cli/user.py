"""`found user show`, `consent` and `export`: what the platform knows of one user, to look at, and all of it as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.users import UserPage

SHOWN = 10
"""Events and searches in the table; the JSON has them all."""


def show(
    user: Annotated[str, typer.Argument(help="The user's id, as the source has it.")],
    place: Place,
    as_of: Annotated[str | None, typer.Option(help="Day (YYYY-MM-DD) before which things were known. Default: the newest.")] = None,
    online: Annotated[bool, typer.Option("--online", help="What the online store says instead of the history.")] = False,
) -> None:
    """Show the features of a user."""
    from found_platform.app import users

    page = ask(users.show, place.home, users.Show(user, as_of, online))
    if place.as_json:
        print_json(page)
    else:
        _show(terminal(), page)


def _show(console: Console, page: "UserPage") -> None:
    console.print(f"User {page.user_id} as of {page.as_of:%Y-%m-%d %H:%M} UTC, from the {page.source}")
    console.print("Profile: " + (", ".join(f"{k} {_written(v)}" for k, v in page.profile.items()) or "none"), soft_wrap=True)
    rows = [(measure.replace("_", " "), *map(_written, windows.values())) for measure, windows in page.by_window.items()]
    lengths = next(iter(page.by_window.values()))
    console.print(table("last days", *map(str, lengths), rows=rows))
    console.print(", ".join(f"{k.replace('_', ' ')}: {_written(v)}" for k, v in page.overall.items()))
    events = [
        (f"{e.time:%Y-%m-%d %H:%M}", e.channel, e.text + (" (done to the user)" if e.exposure else ""), e.amount or "-")
        for e in page.events
    ]
    searches = [(f"{s.time:%Y-%m-%d %H:%M}", s.text) for s in page.searches]
    _show_last(console, "events", ("time", "channel", "text", "amount"), events)
    _show_last(console, "searches", ("time", "text"), searches)


def export(
    user: Annotated[str, typer.Argument(help="The user's id, as the source has it.")],
    out: Annotated[Path, typer.Option(help="A .json file; a page is written beside it, as .html.")],
    place: Place,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write everything that the home keeps on a user: rows of tables, and which files name them."""
    from found_platform.app import users

    written = ask(users.export, place.home, users.ExportOf(user, out, force))
    if place.as_json:
        print_json(written)
        return
    print(f"{written.rows:,} rows of {written.tables} tables; {written.files:,} files of the home hold or name this user.")
    print(f"Written: {written.document}, {written.page}")


def consent(
    user: Annotated[str, typer.Argument(help="The user's id, as the source has it.")],
    place: Place,
    at: Annotated[str | None, typer.Option(help="A moment (ISO 8601, UTC), such as that of an export. Default: now.")] = None,
) -> None:
    """Show what a user agrees to, or agreed to at a moment, and since when."""
    from found_platform.app import users

    stated = ask(users.consent, place.home, users.ConsentOf(user, at))
    if place.as_json:
        print_json(stated)
        return
    console = terminal()
    console.print(f"User {stated.user_id} at {stated.at:%Y-%m-%d %H:%M} UTC, by the profile of {stated.source}")
    if not stated.consents:
        console.print(
            "This home asks for no consent: consent_column and consent_purposes (docs/filters.md) name what it would ask for."
        )
        return
    words = {True: "yes", False: "no", None: "not said"}
    rows = [
        (c.purpose or "anything", c.attribute, words[c.value], f"{c.since:%Y-%m-%d}" if c.since else "-") for c in stated.consents
    ]
    console.print(table("purpose", "attribute", "agrees", "since", left=("purpose", "attribute", "agrees", "since"), rows=rows))


def _show_last(console: Console, what: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    console.print(f"\nLast {what}" + (f", {min(SHOWN, len(rows))} of {len(rows)}, newest first" if rows else ": none"))
    if rows:
        console.print(table(*columns, left=columns, rows=reversed(rows[-SHOWN:])))


def _written(value: Any) -> str:
    return "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)
