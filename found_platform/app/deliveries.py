"""Members sent to where they are used: destinations, and deliveries to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case

if TYPE_CHECKING:
    from found_platform.audiences.deliveries import Delivery, Destination


@dataclass(frozen=True)
class NewDestination:
    """A place to name: an address as `audiences.receivers` reads it, and what opens it.

    `after` is the version that it was edited from, "" for a new one; None takes the place of whatever there is.
    """

    name: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None


@dataclass(frozen=True)
class Named:
    """A destination; `secret` is shown this once, for a webhook to check signatures with."""

    destination: "Destination"
    secret: str


@use_case(Effect.CHANGES, "destination add")
def add_destination(context: Context, request: NewDestination) -> Named:
    """Names a place that members may be sent to; another one of the name is replaced."""
    from found_platform.audiences import deliveries
    from found_platform.privacy import audit

    named = Named(*deliveries.add(context.settings, request.name, request.address, request.options, request.after))
    audit.record(context.settings, "destination add", question={"destination": request.name, "address": request.address})
    return named


@use_case(Effect.READS)
def list_destinations(context: Context) -> "list[Destination]":
    """Where members may be sent."""
    from found_platform.audiences import deliveries

    return deliveries.destinations(context.settings)


@use_case(Effect.READS)
def destination(context: Context, name: str) -> "Destination":
    """One place that members may be sent to. Raises NotFound where there is none of that name."""
    from found_platform.audiences import deliveries

    return deliveries.destination(context.settings, name)


@dataclass(frozen=True)
class RemoveDestination:
    """A place to forget; `after` as of `NewDestination`."""

    name: str
    after: str | None = None


@use_case(Effect.CHANGES, "destination remove")
def remove_destination(context: Context, request: RemoveDestination) -> None:
    """Forgets a destination."""
    from found_platform.audiences import deliveries
    from found_platform.privacy import audit

    deliveries.remove(context.settings, request.name, request.after)
    audit.record(context.settings, "destination remove", question={"destination": request.name})


@dataclass(frozen=True)
class Deliver:
    """Members of an audience to a destination: all of them, or the `changes` since the last delivery there."""

    audience: str
    to: str
    changes: bool = False


@use_case(Effect.NAMES, "deliver")
def deliver(context: Context, request: Deliver) -> "Delivery":
    """Sends the members; what was delivered already is not sent again. The row in the audit comes before the sending."""
    from found_platform.audiences import deliveries

    return deliveries.deliver(context.settings, request.audience, request.to, changes=request.changes)


@use_case(Effect.READS)
def history(context: Context, audience: str) -> "list[Delivery]":
    """The deliveries of an audience, newest first."""
    from found_platform.audiences import deliveries

    return deliveries.history(context.settings, audience)
