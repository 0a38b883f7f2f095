"""Members sent to where they are used: destinations that an admin names once, and a row for every delivery.

Suppression and consent are asked again at that moment; the holdout stays. The same members are sent to the same place once: who
asks again, after an answer or a failure, sends the same delivery under the same number. What belongs here: destinations and
deliveries. What does not: how each kind of place takes members (`receivers`), files for who asks (`export`).
"""

import contextlib
import datetime as dt
import hashlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from found_platform import home
from found_platform.audiences import export, membership, receivers, specification
from found_platform.audiences.membership import Refresh
from found_platform.audiences.receivers import CHANGES, WHOLE, NotTaken, Place, Shipment
from found_platform.errors import BadInput, Conflict, JobFailed, NotFound
from found_platform.home import database
from found_platform.privacy import actor, audit, keys
from found_platform.settings import Settings

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

DATABASE = "deliveries.db"
STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS destinations (name TEXT PRIMARY KEY, address TEXT NOT NULL, secret TEXT NOT NULL, "
    "by TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS deliveries (id TEXT NOT NULL, audience TEXT NOT NULL, refresh INTEGER NOT NULL, destination TEXT "
    "NOT NULL, content TEXT NOT NULL, users INTEGER NOT NULL, removed INTEGER NOT NULL, sha256 TEXT NOT NULL, "
    "status TEXT NOT NULL, error TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL)",
)
ADDED = {"destinations": ("options", "'{}'"), "deliveries": ("note", "''")}
"""Columns that a home of before lacks, with what they hold there."""
"""`secret` signs what is sent, so it is kept as it is, in a file for the owner alone. A row of `deliveries` is one attempt."""

COLUMNS = (
    "id",
    "audience",
    "refresh",
    "destination",
    "content",
    "users",
    "removed",
    "sha256",
    "status",
    "error",
    "note",
    "by",
    "at",
)
"""Of `deliveries`, in the order of the fields of a Delivery."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DELIVERED, FAILED = "delivered", "failed"


@dataclass(frozen=True)
class Destination:
    """Where members may be sent: a name, an address, and what opens it (see `receivers`)."""

    name: str
    address: str
    by: str
    at: dt.datetime
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Tells whether somebody has named another place since."""
        content = [self.address, sorted(self.options.items()), self.at.timestamp()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Delivery:
    """One attempt. `content` is whole, or changes since the last delivery there; `removed` counts who has left since.

    `note` is what the receiver says of it, mostly nothing. `repeated` says that it had been delivered before, and nothing was sent.
    """

    id: str
    audience: str
    refresh: int
    destination: str
    content: str
    users: int
    removed: int
    sha256: str
    status: str
    error: str
    note: str
    by: str
    at: dt.datetime
    repeated: bool = False


def add(
    settings: Settings, name: str, address: str, options: Mapping[str, str] | None = None, after: str | None = None
) -> tuple[Destination, str]:
    """A new destination, and the secret that a webhook checks signatures with. Another one of the name is replaced.

    Args:
        after: the version that it was edited from, "" for a new one; None keeps it whatever there is.

    Raises BadInput for a name or an address that cannot be used, and Conflict where somebody else has named another place since.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name of a destination: use up to 64 small letters, digits, - and _, a letter or digit first."
        )
    place = Place(address, dict(options or {}), secrets.token_hex(32), settings.home)
    receivers.check(place)
    row = (name, address, place.secret, json.dumps(place.options), str(actor.current()), time.time())
    with home.lock(settings.home, "destinations"), _opened(settings) as con:
        if after is not None:
            check_unchanged(settings, name, after)
        con.execute("INSERT OR REPLACE INTO destinations (name, address, secret, options, by, at) VALUES (?, ?, ?, ?, ?, ?)", row)
    return _destination(settings, name)[0], place.secret


def destinations(settings: Settings) -> list[Destination]:
    """Where members may be sent, by name."""
    if not (settings.home / DATABASE).exists():
        return []
    with _opened(settings) as con:
        rows = con.execute("SELECT name, address, by, at, options FROM destinations ORDER BY name").fetchall()
    return [Destination(name, address, by, _time(at), json.loads(options)) for name, address, by, at, options in rows]


def check_destination(settings: Settings, name: str) -> None:
    """Raises NotFound where there is no destination of that name."""
    _destination(settings, name)


def destination(settings: Settings, name: str) -> Destination:
    """One place. Raises NotFound where there is none of that name."""
    return _destination(settings, name)[0]


def check_unchanged(settings: Settings, name: str, after: str) -> None:
    """Raises Conflict where the place of a name is another than the one that was read; "" is that there was none."""
    now = next((each for each in destinations(settings) if each.name == name), None)
    if now is None and after:
        raise Conflict(f"The destination {name!r} is gone: somebody removed it since you read it.")
    if now is not None and now.version != after:
        since = "since you read it" if after else "so the name is taken"
        raise Conflict(
            f"{now.by} named the destination {name!r} at {now.at:%Y-%m-%d %H:%M} UTC, {since}: nothing is overwritten. "
            "Look at that one, then send yours again."
        )


def remove(settings: Settings, name: str, after: str | None = None) -> None:
    """Forgets a destination; its deliveries stay in the list. Raises BadInput while an audience is delivered there, and Conflict as
    `add`."""
    _destination(settings, name)
    users = [each.audience for each in specification.all_newest(settings).values() if name in each.deliver_to]
    if users:
        raise BadInput(
            f"{users[0]} is delivered to {name}: take it out first, with `found audience keep {users[0]} --deliver-to …`."
        )
    with home.lock(settings.home, "destinations"), _opened(settings) as con:
        if after is not None:
            check_unchanged(settings, name, after)
        con.execute("DELETE FROM destinations WHERE name = ?", (name,))


def history(settings: Settings, audience: str) -> list[Delivery]:
    """The deliveries of an audience, newest first."""
    return [each for each in all_of(settings) if each.audience == audience]


def all_of(settings: Settings) -> list[Delivery]:
    """The deliveries of every audience, newest first."""
    if not (settings.home / DATABASE).exists():
        return []
    with _opened(settings) as con:
        rows = con.execute(f"SELECT {', '.join(COLUMNS)} FROM deliveries ORDER BY at DESC").fetchall()
    return [_delivery(row) for row in rows]


def _delivery(row: tuple[Any, ...]) -> Delivery:
    named = dict(zip(COLUMNS, row, strict=True))
    return Delivery(**{**named, "at": _time(named["at"])})


def failed(settings: Settings, since: float) -> list[Delivery]:
    """Attempts after a moment (POSIX seconds) that failed, where no later one of the same delivery was taken; newest first."""
    if not (settings.home / DATABASE).exists():
        return []
    later = "SELECT 1 FROM deliveries AS other WHERE other.id = d.id AND other.status = ? AND other.at >= d.at"
    with _opened(settings) as con:
        query = f"SELECT {', '.join(COLUMNS)} FROM deliveries AS d WHERE status = ? AND at > ? AND NOT EXISTS ({later})"
        rows = con.execute(f"{query} ORDER BY at DESC", (FAILED, since, DELIVERED)).fetchall()
    return [_delivery(row) for row in rows]


def deliver(settings: Settings, audience: str, destination: str, *, changes: bool = False) -> Delivery:
    """Sends the members at the newest refresh, or who joined and who left since the last delivery there.

    Raises BadInput for an audience without members and NotFound for a destination that there is not. Raises JobFailed where the
    receiver does not take it; the row says why, and the same call tries again.
    """
    specification.newest(settings, audience)
    to, secret = _destination(settings, destination)
    refresh = membership.last(settings, audience)
    if refresh is None:
        raise BadInput(f"The audience {audience!r} has no members yet: `found audience refresh {audience}` finds them.")
    allowed = export.allowed(settings, membership.members(settings, refresh), refresh)
    rows = allowed.filter(pc.invert(allowed["holdout"])).select(["user_id", "score", "probability"])
    removed: list[str] = []
    before = next((d for d in history(settings, audience) if d.destination == destination and d.status == DELIVERED), None)
    if changes:
        if before is None:
            raise BadInput(f"Nothing of {audience!r} was delivered to {destination} yet: deliver the whole first.")
        rows, removed = _since(settings, audience, before.refresh, rows)
    content = CHANGES if changes else WHOLE
    digest = hashlib.sha256(json.dumps([rows.to_pylist(), removed]).encode()).hexdigest()
    number = hashlib.sha256(json.dumps([audience, refresh.refresh, destination, content, digest]).encode()).hexdigest()[:20]
    if before is not None and before.id == number:
        _record(settings, refresh, before, "delivered before, so nothing was sent")
        return replace(before, repeated=True)
    sent = Delivery(
        id=number,
        audience=audience,
        refresh=refresh.refresh,
        destination=destination,
        content=content,
        users=rows.num_rows,
        removed=len(removed),
        sha256=digest,
        status=DELIVERED,
        error="",
        note="",
        by=str(actor.current()),
        at=dt.datetime.now(dt.UTC),
    )
    shipment = Shipment(
        number,
        audience,
        refresh.refresh,
        content,
        refresh.as_of,
        refresh.model_version,
        refresh.index_version,
        rows,
        removed,
    )
    _record(settings, refresh, sent, f"sha256 {digest}")
    place = Place(to.address, to.options, secret, settings.home)
    try:
        sent = replace(sent, note=receivers.of(to.address).send(place, shipment))
    except NotTaken as problem:
        sent = replace(sent, status=FAILED, error=f"{destination} did not take it: {problem}")
    values = [*vars(sent).values()]  # in the order of the table, but for the time and what is not kept
    values = [*values[: len(COLUMNS) - 1], sent.at.timestamp()]
    with _opened(settings) as con:
        con.execute(f"INSERT INTO deliveries ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", values)
    if sent.error:
        raise JobFailed(f"{sent.error}. Nothing counts as delivered: deliver it again once the receiver answers.")
    return sent


def _record(settings: Settings, refresh: Refresh, sent: Delivery, reason: str) -> None:
    """The row in the audit, which comes before anything is sent."""
    audit.record(
        settings,
        "deliver",
        audience=sent.audience,
        question={"to": sent.destination, "content": sent.content},
        rows=sent.users,
        model_version=refresh.model_version,
        index_version=refresh.index_version,
        reason=f"refresh {sent.refresh}, delivery {sent.id}, {reason}",
    )


def _since(settings: Settings, audience: str, number: int, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Who is new since a refresh, and the ids of who is gone."""
    since = next((r for r in membership.history(settings, audience) if r.refresh == number), None)
    members = membership.members(settings, since) if since else membership.MEMBERS_SCHEMA.empty_table()
    old_keys = members.filter(pc.invert(members["holdout"]))["user_key"].to_pylist()
    old, new = set(keys.user_ids(settings, old_keys).values()), set(rows["user_id"].to_pylist())
    return rows.filter(pc.invert(pc.is_in(rows["user_id"], pa.array(sorted(old), pa.string())))), sorted(old - new)


def _destination(settings: Settings, name: str) -> tuple[Destination, str]:
    with _opened(settings) as con:
        row = con.execute("SELECT name, address, by, at, options, secret FROM destinations WHERE name = ?", (name,)).fetchone()
    if row is None:
        names = ", ".join(each.name for each in destinations(settings)) or "none yet: `found destination add` makes one"
        raise NotFound(f"There is no destination {name!r}; there are {names}.")
    return Destination(row[0], row[1], row[2], _time(row[3]), json.loads(row[4])), row[5]


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction, with the columns that a home of before lacks."""
    with database(settings.home / DATABASE, STATEMENTS) as con:
        for table, (column, default) in ADDED.items():
            if column not in {row[1] for row in con.execute(f"PRAGMA table_info({table})")}:
                con.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT {default}")
        yield con


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
