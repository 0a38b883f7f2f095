"""Addresses of databases and options of stores as a source file has them: without a secret.

What belongs here: variables of the environment in them, and what is refused. What does not: connecting (`databases`, `remote`).
A password stands in the environment; the address names it as `${NAME}`. It is put in when a connection is opened and
appears in no file and no message.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform import credentials
from found_platform.credentials import VARIABLE
from found_platform.errors import BadInput

if TYPE_CHECKING:
    import sqlalchemy as sa

SECRETS = credentials.NAMES

A_FILE = re.compile(r"_(file|path)$|^known_hosts$", re.IGNORECASE)
"""Names of options whose value says where a file lies, of a key for example: the file is private, and its name is none."""


def holds_secret(name: str) -> bool:
    """Whether the value of an option opens something by itself, so that it has to stand in the environment."""
    return bool(SECRETS.search(name)) and not A_FILE.search(name) and "key_id" not in name.lower()


def expand(text: str, where: str) -> str:
    """The text with each `${NAME}` replaced by that environment variable. Raises BadInput that names one which is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise BadInput(f"{where}: the environment has no variable {match[1]}: set it, for example `export {match[1]}=…`.")
        return os.environ[match[1]]

    return VARIABLE.sub(value, text)


def is_variable(text: str) -> bool:
    return VARIABLE.fullmatch(text) is not None


def check_url(url: str) -> None:
    """Raises ValueError where an address cannot be read, or where a secret stands in it instead of the name of a variable."""
    if is_variable(url):
        return
    parts = parse(url)
    if parts is None:
        raise ValueError("url is no address of a database: write, for example, postgresql+psycopg://shop:${SHOP_PASSWORD}@host/db")
    secrets = [parts.password, *(v for k, v in parts.query.items() if SECRETS.search(k))]
    if any(isinstance(s, str) and s and not is_variable(s) for s in secrets):
        raise ValueError("url holds a password: put it into the environment and write its variable, for example ${SHOP_PASSWORD}")


def parse(url: str) -> "sa.URL | None":
    """The parts of an address; None where it has none."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def absolute(url: str, folder: Path) -> str:
    """The address with the file of an SQLite database made absolute: a relative one starts at the source file's folder."""
    match = re.match(r"(sqlite(?:\+\w+)?:///)([^/:?$][^?]*)(.*)", url, re.DOTALL)
    return match[1] + os.path.normpath(folder / match[2]) + match[3] if match else url
