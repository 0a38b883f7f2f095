"""Where the lake of a home lies: in a folder of it, or on object storage by one setting (`FOUND_LAKE_URI`).

What belongs here: the place, and whether a home and the setting belong together. What does not: how a store is read and written
(`objects`), and how a lake moves there (`housekeeping.moving_lake`).

Many homes share a bucket: the lake of each lies below its number (`tenancy`). `HOME/lake.json` says that the lake lies there, and
where: it is written last when a lake moves, and holds no secret. A home that is restored from a backup has its lake in its folder.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from found_platform import tenancy
from found_platform.errors import BadInput
from found_platform.home import lock, make_private, option, write_whole

SETTING = "FOUND_LAKE_URI"
MARKER = "lake.json"
FOLDER = "lake"
ARTIFACTS, ARTIFACTS_FOLDER = "_artifacts", "mlflow/artifacts"
"""Where the files of MLflow's runs and models lie below a lake on object storage, and in the home (`registry.artifacts`)."""

ADDRESS = r"^s3://[a-z0-9][a-z0-9.-]+(/[\w.=-]+)*/?$"
"""What the setting may be: a bucket, and a folder of it."""


@dataclass(frozen=True)
class Away:
    """A place on object storage. `home` has the locks of who writes there, `what` says what it is."""

    uri: str
    home: Path
    what: str = "lake"

    def __truediv__(self, name: str) -> "Away":
        return Away(f"{self.uri}/{name}", self.home, self.what)

    def __str__(self) -> str:
        return self.uri


Place = Path | Away
"""Where Delta tables lie."""


def parse(text: str) -> Place:
    """A place by what stands in a configuration, for who reads there."""
    return Away(text, Path()) if "://" in text else Path(text)


def locks_of(place: Place) -> Path:
    """The home whose locks the writers of a lake take."""
    return place.home if isinstance(place, Away) else place.parent


def address(home: Path, uri: str) -> str:
    """Where the lake of a home lies below what the setting says."""
    return f"{uri.rstrip('/')}/found_{tenancy.number(home)}"


def of_home(home: Path, uri: str | None) -> Place:
    """The lake of a home. A new home gets its place on object storage where the setting says one."""
    at = marked(home)
    if at is None and uri is not None and not in_files(home):
        with lock(make_private(home), FOLDER):
            at = marked(home)
            if at is None:
                at = mark(home, address(home, uri))
    return Away(at, home) if at is not None else home / FOLDER


def check(home: Path, uri: str | None, engine: str) -> None:
    """Raises BadInput where the lake of a home is not where the setting says. Asks no store."""
    at = marked(home)
    if at is None:
        if uri is not None and in_files(home):
            raise BadInput(
                f"{SETTING} is set, and the lake of the home {home} lies in its folder: `found move-lake{option(home)}` moves it "
                f"to {uri}."
            )
    elif in_files(home):
        raise BadInput(
            f"The lake of the home {home} lies at {at}, and its move there was broken off before the files of before were gone: "
            f"`found move-lake{option(home)}` ends it."
        )
    elif uri is not None and at.rpartition("/")[0] != uri.rstrip("/"):
        raise BadInput(
            f"{SETTING} is {uri}, and the lake of the home {home} lies at {at}: unset it, the home knows where its lake is. To "
            "take it elsewhere, bring a backup back as a new home with the setting unset, and move that."
        )
    elif at.rpartition("/found_")[2] != tenancy.existing_number(home):
        raise BadInput(
            f"The lake at {at} is that of the home that {home} was copied from, and two homes must not write into one lake: remove "
            f"this copy, or bring a backup back (`found backup`, `found restore`). {MARKER} and {tenancy.FILE} tell them apart."
        )
    if engine != "duckdb" and (at or uri) is not None:
        raise BadInput(
            f"The lake of {home} lies on object storage, and the engine {engine} reads and writes files of the home: set "
            "FOUND_ENGINE=duckdb, or keep the lake in the home."
        )


def in_files(home: Path) -> bool:
    """Whether a home has a lake in its folder."""
    folder = home / FOLDER
    return any(folder.glob("*/_delta_log"))


def marked(home: Path) -> str | None:
    """The address of a lake that lies on object storage."""
    path = home / MARKER
    try:
        at = str(json.loads(path.read_text())["uri"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        at = ""
    if not re.fullmatch(ADDRESS, at) or "/found_" not in at:
        raise BadInput(f'{path} is damaged: write {{"uri": "s3://BUCKET/…/found_NUMBER"}}, where the lake of the home lies.')
    return at


def has_artifacts(home: Path) -> bool:
    """Whether the files of MLflow lie with a lake on object storage: not where it moved before these did."""
    return marked(home) is not None and json.loads((home / MARKER).read_text()).get("artifacts") is True


def mark(home: Path, at: str) -> str:
    """From here on the lake of a home and the files of MLflow lie on object storage, and an erasure has to reach them.

    Returns the address.
    """
    tenancy.note(home, tenancy.LAKE, at)
    write_whole(home / MARKER, json.dumps({"uri": at, "artifacts": True}) + "\n")
    return at
