"""The format of a home: what lies where in it, by number, and how a home of an older format is brought up to date.

What belongs here: the check when a home is opened, and one function for each step from a format to the next. What does not: what a
table holds (`lake` refuses a table of another schema).

The number is `format` in `HOME/settings.yaml`. Format 1 had no number; MLflow's database held the absolute path of the home, and
files could be read by everybody. Since format 2 everything in a home is relative to it and only its owner can read it. Since format
3 daily tables of the lake have no folder a day (`docs/adr/0017`): each is converted when it is written next, and read as it is till
then.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import yaml

from found_platform import documents
from found_platform.errors import BadInput
from found_platform.home import is_private, lock, make_all_private, make_private, write_whole

FORMAT = 3

SETTINGS = "settings.yaml"
ARTIFACTS = "mlflow-artifacts:/"
"""Where MLflow's artifacts of a home lie, for MLflow: below what its server is started with, `HOME/mlflow/artifacts`."""


def open_home(home: Path) -> dict[str, Any]:
    """The settings that a home keeps, once it is private and of this format; nothing where there is no home yet.

    Raises BadInput where the home was made by a newer version, or by an older one and cannot be brought up to date here.
    """
    if not (home / SETTINGS).is_file():
        return {}
    kept = _read(home)
    number = kept.pop("format", 1)
    if isinstance(number, int) and number < 1:
        raise BadInput(f"{home / SETTINGS} has the format {number!r}, and a format is a number from 1: restore that file.")
    if not isinstance(number, int) or number > FORMAT:
        raise BadInput(
            f"The home {home} was made by a newer version of the platform (format {number}, this one knows {FORMAT}): "
            "install that version, or choose another --home."
        )
    try:
        if number < FORMAT:
            _bring_up_to_date(home)
        if not is_private(home):  # as after `cp -r`
            with contextlib.suppress(PermissionError):  # somebody else's home, which they let us use
                make_all_private(home)
    except (OSError, sqlite3.Error) as error:
        raise BadInput(
            f"The home {home} cannot be brought up to date ({error}): let no other command work in it and open it as its owner."
        ) from None
    return kept


def keep(home: Path, settings: dict[str, Any]) -> None:
    """Writes the settings that a home keeps, and makes the home where it is missing."""
    make_private(home)
    write_whole(home / SETTINGS, yaml.safe_dump({"format": FORMAT, **settings}, sort_keys=False))


def _read(home: Path) -> dict[str, Any]:
    path = home / SETTINGS
    kept = documents.load(path, "settings file")
    if kept is not None and not (isinstance(kept, dict) and all(isinstance(name, str) for name in kept)):
        raise BadInput(f"{path} holds no mapping of settings: write one setting a line, such as `profile: cpu`.")
    return kept or {}


def _bring_up_to_date(home: Path) -> None:
    with lock(home, "format"):
        kept = _read(home)
        number = kept.pop("format", 1)
        if number == 1:
            _make_mlflow_relative(home)
            make_all_private(home)
        if number < FORMAT:  # nobody else did it meanwhile
            keep(home, kept)


def _make_mlflow_relative(home: Path) -> None:
    """Format 1 to 2: addresses of MLflow that name the folder a home was made in become relative to the home."""
    database, artifacts = home / "mlflow" / "mlflow.db", home / "mlflow" / "artifacts"
    if not database.exists():
        return
    if (home / "mlflow" / "prompts").exists() and not (artifacts / "prompts").exists():
        artifacts.mkdir(parents=True, exist_ok=True)
        (home / "mlflow" / "prompts").rename(artifacts / "prompts")
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        query = "SELECT artifact_location FROM experiments WHERE name IN ('found', 'found-prompts')"
        folders = [place.rstrip("/") for (place,) in db.execute(query) if place.startswith("file:")]
        for table, column in ADDRESSES:
            rows = db.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} LIKE 'file:%'").fetchall()
            changes = [(new, row) for row, address in rows if (new := _relative(address, folders))]
            db.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changes)


def _relative(address: str, folders: list[str]) -> str | None:
    """An address in the folder `…/artifacts` or `…/prompts` as one that moves with the home; None where it is in neither."""
    for folder in folders:
        if address == folder or address.startswith(folder + "/"):
            name = "prompts" if folder.endswith("/prompts") else ""
            return ARTIFACTS + (name + address.removeprefix(folder)).lstrip("/")
    return None


ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database holds the address of a file."""
