"""Files that are damaged, closed or missing, and a machine without room: what an error of a library means for a home.

What belongs here: which errors of libraries and of the system mean that, told by their class. What does not: errors of our own,
which are sentences already, and faults of the code, which no backup mends.

The text of a library is repeated only where it speaks of files: that of others may hold values of users.
"""

import errno
import json
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import yaml

from found_platform import command_line, home

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
OTHERWISE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.EIO}
TOO_MANY = {errno.EMFILE, errno.ENFILE}

OF_DELTA = {"DeltaError", "DeltaProtocolError", "CommitFailedError", "TableNotFoundError"}
PACKAGES = {"safetensors": "a file of a model", "google": "the registry of Feast"}
"""What is damaged, by the package whose error says so."""

TEXTS: dict[type[Exception], str] = {json.JSONDecodeError: "JSON", yaml.YAMLError: "YAML", UnicodeDecodeError: "UTF-8 text"}
"""What a file should have been, by the error of who reads it."""

OF_A_FILE = re.compile(
    r"parquet|magic bytes|footer|thrift|snappy|could not open|cannot open|no files found|end of file|\bread\b", re.I
)
"""In an error of DuckDB or Arrow: others are about values or statements."""

LONGEST = 300
"""Characters that are repeated of a library."""


@dataclass(frozen=True)
class Damage:
    """What is wrong, a sentence without its end, and what to do next."""

    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.fix}."


def of(error: BaseException, place: Path) -> Damage | None:
    """What an error means for the home in this folder; None where it comes neither from files nor from the machine."""
    for each in _chain(error):
        if (damage := _of_system(each, place) or _of_database(each, place) or _of_library(each, place)) is not None:
            return damage
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """An error, and those that it wraps: SQLAlchemy calls its one `orig`."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and not any(current is each for each in chain):
        chain.append(current)
        current = getattr(current, "orig", None) or current.__cause__
    return chain


def _of_system(error: BaseException, place: Path) -> Damage | None:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return Damage(
            "The memory of this machine does not suffice", "end other programs or lower FOUND_DUCKDB_MEMORY, then try again"
        )
    if not isinstance(error, OSError):
        return None
    where = str(error.filename) if error.filename is not None else f"A file of {place}"
    if error.errno in NO_ROOM:
        return _no_room(place)
    if error.errno in CLOSED:
        fix = "let its disk be written" if error.errno == errno.EROFS else "become its owner or change who may"
        return Damage(f"{where} cannot be read or written ({error.strerror})", f"{fix}, then try again")
    if error.errno in TOO_MANY:
        return Damage("Too many files are open", "raise the limit with `ulimit -n 4096`, then try again")
    if error.errno in OTHERWISE:
        elsewhere = error.filename is not None and not Path(where).absolute().is_relative_to(place.absolute())
        elsewhere = elsewhere or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
        fix = "look at that place or name another, then try again" if elsewhere else _restore(place)
        return Damage(f"{where} is not as it must be ({error.strerror})", fix)
    if error.errno is None and OF_A_FILE.search(str(error)):
        return Damage(f"A file of {place} cannot be read ({_first_line(error)})", _restore(place))
    return None


def _of_database(error: BaseException, place: Path) -> Damage | None:
    if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
        return None
    text = _first_line(error)
    if "locked" in text or "busy" in text:
        return Damage(f"A database of {place} is in use by another process", "try again once that has ended")
    if "is full" in text:
        return _no_room(place)
    if "readonly" in text or "unable to open" in text:
        return Damage(f"A database of {place} cannot be written ({text})", "become its owner or change who may, then try again")
    return Damage(f"A database of {place} is damaged ({text})", _restore(place))


def _of_library(error: BaseException, place: Path) -> Damage | None:
    package, name = type(error).__module__.partition(".")[0], type(error).__name__
    if package in ("duckdb", "_duckdb", "pyarrow") and OF_A_FILE.search(str(error)):
        return Damage(f"A file of {place} cannot be read ({_first_line(error)})", _restore(place))
    if package in ("deltalake", "_internal") and name in OF_DELTA:  # delta-rs has its errors in `_internal`
        return Damage(f"A table of {place} cannot be read ({_first_line(error)})", _restore(place))
    if package == "pymilvus":
        again = f"`found publish --cutoff D{home.option(place)}` builds one again from the model of that cutoff"
        return Damage(f"The index of {place} cannot be read ({_first_line(error)})", again)
    if package in PACKAGES:
        return Damage(f"In {place} {PACKAGES[package]} cannot be read ({_first_line(error)})", _restore(place))
    for kind, what in TEXTS.items():
        if isinstance(error, kind):
            return Damage(f"A file of {place} is damaged (it is no {what})", _restore(place))
    return None


def _no_room(place: Path) -> Damage:
    return Damage("No room is left on a disk", f"free some, of the home with `found gc{home.option(place)}`, then try again")


def _restore(place: Path) -> str:
    return f"`found restore BACKUP --home NEW` brings a backup back, and `found doctor{home.option(place)}` says what else is wrong"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return command_line.line(lines[0], LONGEST).rstrip(". ")
