"""`found destination add|list|remove`: where members may be sent."""

from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal

DestinationName = Annotated[str, typer.Argument(help="Small letters, digits, - and _.")]


def add(name: DestinationName, place: Place, webhook: Annotated[str, typer.Option(help="Address that takes signed JSON.")]) -> None:
    """Name a webhook that members may be sent to."""
    from found_platform.app import deliveries

    named = ask(deliveries.add_destination, place.home, deliveries.NewDestination(name, webhook))
    if place.as_json:
        print_json(named)
        return
    print(named.secret)
    print(f"The secret of {name}, for the receiver: it signs what is sent to {webhook}, and is not shown again.")


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

    ask(deliveries.remove_destination, place.home, name)
    if place.as_json:
        print_json({"removed": name})
    else:
        print(f"Nothing is sent to {name} any more.")
