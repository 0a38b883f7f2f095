"""`found alerts`: tells people what is wrong with a home, once, or again and again."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json

if TYPE_CHECKING:
    from found_platform.app.operations import Sent

EVERY = 30.0
"""Seconds between two looks: with the 75 after which a daemon is taken for dead, a person hears of it within two minutes."""


def alerts(
    place: Place,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until it is stopped.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks, with --watch.")] = EVERY,
    trial: Annotated[bool, typer.Option("--trial", help="Send an alert that says it is a trial, and look for nothing.")] = False,
) -> None:
    """Send what is wrong with a home to the channels of its settings, each thing once. Exit status 1 where one is not taken."""
    from found_platform.app import operations

    sent = ask(operations.try_channels if trial else operations.alert, place.home)
    _show(sent, place)
    while watch:
        time.sleep(every)
        try:
            sent = ask(operations.alert, place.home)
        except Exception as problem:  # the next look may do; a watch that ends tells nobody
            print(f"found: looking for what is worth an alert failed: {problem}", file=sys.stderr, flush=True)
            continue
        if sent:
            _show(sent, place)
    if any(alert.error for alert in sent):
        raise typer.Exit(1)


def _show(sent: "list[Sent]", place: Place) -> None:
    if place.as_json:
        print_json(sent)
        return
    for alert in sent:
        how = f"not sent by {alert.channel} ({alert.error})" if alert.error else f"sent by {alert.channel}"
        print(f"{alert.finding.check}: {alert.finding.problem}: {how}.", flush=True)
    if not sent:
        print("Nothing new to tell.", flush=True)
