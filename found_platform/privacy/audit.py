"""Who asked what: a row for every look-up, and for whatever else was done with an audience. No user is named in it.

The table only grows: Delta itself refuses to change or remove a row.
"""

import datetime as dt
import getpass
import json
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from filelock import FileLock

from found_platform import lake
from found_platform.contract import TIMESTAMP
from found_platform.settings import Settings

TABLE = "audit_log"
SCHEMA = pa.schema(
    [
        pa.field("at", TIMESTAMP, nullable=False),
        pa.field("who", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("audience", pa.string()),
        pa.field("question", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("model_version", pa.string()),
        pa.field("index_version", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""`at` is UTC; `who` the account of the machine; `question` JSON of what was asked; `rows` how many users came out."""

COMPACT_EVERY = 100
"""Rows after which their files become one: a row is a file of its own at first, and thousands are slow to read."""


def account() -> str:
    """The account of the machine that this process runs under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return str(os.getuid())


def record(
    settings: Settings,
    action: str,
    *,
    question: Mapping[str, Any] | None = None,
    audience: str | None = None,
    rows: int | None = None,
    model_version: str | None = None,
    index_version: str | None = None,
    reason: str = "",
) -> None:
    """Adds a row about what was done just now.

    Args:
        action: a verb, as the command has it: find, preview, save, refresh, export, ...
        question: what was asked; it must hold no user ids or keys. What is None in it is left out.
        rows: users that came out of it.
    """
    row = {
        "at": dt.datetime.now(dt.UTC),
        "who": account(),
        "action": action,
        "audience": audience,
        "question": None if question is None else as_json(question),
        "rows": rows,
        "model_version": model_version,
        "index_version": index_version,
        "reason": reason,
    }
    locks = settings.home / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "audit.lock"):
        first = not lake.exists(settings.lake, TABLE)
        version = lake.append(settings.lake, TABLE, pa.Table.from_pylist([row], SCHEMA), schema=SCHEMA)
        table = DeltaTable(str(lake.path(settings.lake, TABLE)))
        if first:
            table.alter.set_table_properties({"delta.appendOnly": "true"})
        elif version % COMPACT_EVERY == 0:
            table.optimize.compact()


def as_json(question: Mapping[str, Any]) -> str:
    """What was asked, in one line."""
    return json.dumps({k: v for k, v in question.items() if v is not None}, ensure_ascii=False)


def entries(settings: Settings) -> list[dict[str, Any]]:
    """The rows, newest first."""
    if not lake.exists(settings.lake, TABLE):
        return []
    return lake.read(settings.lake, TABLE).sort_by([("at", "descending")]).to_pylist()
