"""Addresses in PostgreSQL, and the mark of a home whose records lie there: all that its locks need to know (`shared_locks`).

What does not belong here: what lies there (`database`).
"""

import json
import re
from pathlib import Path

from found_platform.errors import BadInput

SETTING = "FOUND_DATABASE_URL"
MARKER = "database.json"

NUMBER = re.compile(r"[0-9a-f]{8}")

CONNECT_SECONDS = 10
"""How long a server may take to answer, before it is said to be away."""


def marked(home: Path) -> str | None:
    """The number of a home whose records are in PostgreSQL."""
    path = home / MARKER
    try:
        number = str(json.loads(path.read_text())["number"])
    except (FileNotFoundError, NotADirectoryError):  # a home that is a file is refused where it is opened
        return None
    except (ValueError, KeyError, TypeError):
        number = ""
    if not NUMBER.fullmatch(number):
        raise BadInput(f'{path} is damaged: write {{"number": "…"}} with the eight digits in the names of the schemas of the home.')
    return number


def address(url: str, schema: str) -> str:
    """The address of a schema, for the driver that Dagster brings."""
    import sqlalchemy as sql

    parsed = sql.make_url(url)
    before = parsed.query.get("options", "")
    options = f"{before if isinstance(before, str) else ' '.join(before)} -csearch_path={schema}".strip()
    with_schema = parsed.set(drivername="postgresql+psycopg2").update_query_dict({"options": options})
    if "connect_timeout" not in with_schema.query:
        with_schema = with_schema.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    return with_schema.render_as_string(hide_password=False)


def place(url: str) -> str:
    """A database, for a sentence: without user and password."""
    import sqlalchemy as sql

    parsed = sql.make_url(url)
    host = parsed.host or parsed.query.get("host", "this machine")
    return f"The PostgreSQL database {parsed.database or parsed.username} at {host}"
