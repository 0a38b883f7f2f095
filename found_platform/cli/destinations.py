"""`found destination add|list|remove`: where members may be sent."""

from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal
from found_platform.errors import BadInput

DestinationName = Annotated[str, typer.Argument(help="Small letters, digits, - and _.")]


def add(
    name: DestinationName,
    address: Annotated[
        str,
        typer.Argument(
            help="https://… (a webhook), csv+ or parquet+ or ads+ or delta+ before file://, s3://, az://, gs:// or sftp://, or a "
            "database's address with #TABLE."
        ),
    ],
    place: Place,
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, as the kind of place takes it; may be repeated.")] = None,
) -> None:
    """Name a place that members may be sent to: a webhook, files, a table, or the hashes that ad platforms take."""
    from found_platform.app import deliveries

    named = ask(deliveries.add_destination, place.home, deliveries.NewDestination(name, address, _pairs(option or [])))
    if place.as_json:
        print_json(named)
    elif address.startswith("http"):
        print(named.secret)
        print(f"The secret of {name}, for the receiver: it signs what is sent to {address}, and is not shown again.")
    else:
        print(f"Members may be sent to {name}: {address}.")


def list_destinations(place: Place) -> None:
    """List where members may be sent."""
    from found_platform.app import deliveries

    places = ask(deliveries.list_destinations, place.home)
    if place.as_json:
        print_json(places)
        return
    rows = [(d.name, d.address, d.by, f"{d.at:%Y-%m-%d}") for d in places]
    terminal().print(table("name", "address", "by", "since", left=("name", "address", "by", "since"), rows=rows))


def remove(name: DestinationName, place: Place) -> None:
    """Forget a destination; its deliveries stay listed."""
    from found_platform.app import deliveries

    ask(deliveries.remove_destination, place.home, deliveries.RemoveDestination(name))
    if place.as_json:
        print_json({"removed": name})
    else:
        print(f"Nothing is sent to {name} any more.")


def _pairs(options: list[str]) -> dict[str, str]:
    """Options by their names. Raises BadInput for one without a value."""
    pairs = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign or not name:
            raise BadInput(f"--option {option!r} has no value: write KEY=VALUE.")
        pairs[name] = value
    return pairs
