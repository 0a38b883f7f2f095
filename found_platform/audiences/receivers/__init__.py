"""Receivers: the kinds of places that members can be sent to, one file each.

What belongs here: what all kinds have in common, and which of them an address asks for. What does not: destinations by name and the
rows of deliveries (`deliveries`). A new kind is one file and one line of `_module`.
"""

import datetime as dt
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from found_platform import credentials
from found_platform.errors import BadInput
from found_platform.sources.addresses import A_FILE, expand, holds_secret, is_variable

WHOLE, CHANGES = "whole", "changes"


@dataclass(frozen=True)
class Place:
    """An address, with what opens it.

    `options` may name variables of the environment as `${NAME}`; `secret` (hex) signs what is sent; nothing is written into `home`.
    """

    address: str
    options: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    home: Path | None = None

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def scheme(self) -> str:
        """Of the store behind the address: `s3` of `csv+s3://bucket/folder`."""
        return self.address.partition("://")[0].rpartition("+")[2]

    @property
    def store(self) -> str:
        """The address of the store: without the kind before it."""
        return f"{self.scheme}://{self.address.partition('://')[2]}"

    def opened(self) -> dict[str, str]:
        """The options with the environment's values. Raises BadInput for a variable that is not set."""
        return {name: expand(value, self.address) for name, value in self.options.items()}

    def local_folder(self) -> Path:
        """The folder of a `file://` address. Raises BadInput where it is none, or within the home."""
        folder = Path("/" + self.address.partition("://")[2].lstrip("/"))
        if not folder.is_dir():
            raise BadInput(f"{folder} is no folder: make it first.")
        if self.home is not None and folder.resolve().is_relative_to(self.home.resolve()):
            raise BadInput(f"{folder} lies within the home: members are sent to a folder outside of it.")
        return folder


@dataclass(frozen=True)
class Shipment:
    """Members on their way. `rows` has user_id, score and probability, the best first; `removed` the ids of who left.

    With `content` changes, `rows` holds only who joined since the last delivery to the same place.
    """

    delivery: str
    audience: str
    refresh: int
    content: str
    as_of: dt.date
    model_version: str
    index_version: str
    rows: pa.Table
    removed: list[str]

    def about(self) -> dict[str, Any]:
        """What is said of it beside the users."""
        return {
            "delivery": self.delivery,
            "audience": self.audience,
            "refresh": self.refresh,
            "content": self.content,
            "as_of": str(self.as_of),
            "model_version": self.model_version,
            "index_version": self.index_version,
        }


class NotTaken(Exception):
    """A receiver did not take a shipment; the message says why, without a secret."""


class Receiver(Protocol):
    """A kind of place: a module with these two functions."""

    def check(self, place: Place) -> None:
        """Raises BadInput for an address or an option that cannot be."""
        ...

    def send(self, place: Place, shipment: Shipment) -> str:
        """Sends it whole or raises NotTaken; sent again, it leaves the same behind. Returns a note for the row, mostly empty."""
        ...


def _module(address: str) -> str:
    kind = re.match(r"(https?|delta|csv|parquet|ads)(?=[:+])", address)
    names = {"https": "webhook", "http": "webhook", "delta": "table", "csv": "files", "parquet": "files", "ads": "ads"}
    return names[kind[1]] if kind else "database"


def of(address: str) -> Receiver:
    """The receiver that an address asks for."""
    receiver: Any = importlib.import_module(f"{__name__}.{_module(address)}")
    return receiver


def check(place: Place) -> None:
    """Raises BadInput for an address that nothing can be sent to, and for a secret that stands in an option as it is."""
    if "://" not in place.address:
        raise BadInput(
            f"{place.address!r} is no address: write https://host/path for a webhook, csv+file:///folder, delta+s3://bucket/table, "
            "or the address of a database."
        )
    if (secret := _secret_in(place)) is not None:
        raise BadInput(
            f"The address of {place.scheme}:// holds {secret}, and addresses are kept and shown: put that into the environment and "
            "write its variable, ${NAME}, in the address of a webhook or a database, or as an option."
        )
    for name, value in place.options.items():
        if holds_secret(name) and not is_variable(value):
            raise BadInput(f"The option {name} holds a secret: put it into the environment and write its variable: ${{NAME}}.")
    of(place.address).check(place)


def _secret_in(place: Place) -> str | None:
    """What of an address opens something, in words; a database's is read as such, and SFTP's names a user."""
    if _module(place.address) == "database":
        return None
    return credentials.kind(re.sub(r"//[^/?#:@]*@", "//", place.address) if place.scheme == "sftp" else place.address)


def check_options(place: Place, *names: str) -> None:
    """Raises BadInput for an option that is none of these."""
    unknown = sorted(set(place.options) - set(names))
    if unknown:
        takes = f"it takes {', '.join(names)}" if names else "it takes none"
        raise BadInput(f"{place.address.partition('://')[0]} has no option {unknown[0]!r}: {takes}.")


def hidden(text: str, secrets: Mapping[str, str]) -> str:
    """A text of one line that holds none of the values of these options, but names of files."""
    line = " ".join(text.split())
    for name, value in secrets.items():
        if len(value) > 3 and not A_FILE.search(name):
            line = line.replace(value, "***")
    return line.rstrip(".")
