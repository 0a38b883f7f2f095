"""A webhook: members as signed JSON, in parts."""

import json

from found_platform import webhook
from found_platform.audiences.receivers import NotTaken, Place, Shipment, check_options
from found_platform.errors import BadInput
from found_platform.sources.addresses import expand

PART = 10_000
"""Users in one request."""


def check(place: Place) -> None:
    """An address on this machine, or one with https; without a name and password in it."""
    check_options(place)
    webhook.check_address(place.address, "members are sent there by their ids")


def send(place: Place, shipment: Shipment) -> str:
    """One request for each part; who left is in the last one."""
    try:
        address = expand(place.address, place.address)
    except BadInput as problem:
        raise NotTaken(str(problem).rstrip(".")) from None
    starts = list(range(0, max(shipment.rows.num_rows, 1), PART))
    for number, start in enumerate(starts, 1):
        users = shipment.rows.slice(start, PART).to_pylist()
        left = shipment.removed if number == len(starts) else []
        body = json.dumps({**shipment.about(), "part": number, "parts": len(starts), "users": users, "removed": left}).encode()
        try:
            webhook.post(address, place.secret, body, {"Found-Delivery": f"{shipment.delivery}-{number}"})
        except (OSError, ValueError) as problem:
            raise NotTaken(webhook.why(problem)) from None
    return ""
