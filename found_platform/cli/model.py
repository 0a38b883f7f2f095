"""`found model list` and `found model show`: the registered versions, what they are made from and what the gate said."""

from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import Document, print_json, table, terminal

COLUMNS = ("version", "kind", "cutoff", "registered (UTC)", "gate", "is")


def list_versions(place: Place) -> None:
    """List the model versions, newest first."""
    from found_platform.app import models

    versions = ask(models.list_versions, place.home)
    if place.as_json:
        print_json(versions)
        return
    rows = []
    for row in versions:
        v = row.version
        gate = v.tags.get("gate", "-")
        created = f"{v.created:%Y-%m-%d %H:%M}"
        rows.append((v.version, v.tags.get("kind", ""), v.tags.get("cutoff", ""), created, gate, ", ".join(row.roles)))
    console = terminal()
    console.print(table(*COLUMNS, left=COLUMNS, wrap="is", rows=rows))
    for row in versions:
        if row.unjudged:
            console.print(f"Version {row.version.version} was not judged: {row.unjudged}.", soft_wrap=True)
        if row.about_erased:
            console.print(f"Version {row.version.version}: {row.about_erased}.", soft_wrap=True)


def show(
    place: Place, version: Annotated[str, typer.Argument(help="A version's number, or an alias such as champion.")] = "champion"
) -> None:
    """Show a model version: its card, its verdict, what it was made from."""
    from found_platform.app import models

    page = ask(models.show, place.home, version)
    if place.as_json:
        print_json(page)
        return
    v, console = page.row.version, terminal()
    console.print(Document(page.card))
    console.print(f"\nversion {v.version}; aliases: {', '.join(v.aliases) or 'none'}")
    if page.row.about_erased:
        console.print(f"{page.row.about_erased}.")
    console.print(f"gate: {v.tags.get('gate', 'not judged')}: {v.tags.get('gate_reason', '')}", soft_wrap=True)
    for key in sorted(set(v.tags) - {"gate", "gate_reason", "gate_figures"}):
        console.print(f"  {key:<24} {v.tags[key]}", soft_wrap=True)
