"""Who may come in by the network: tokens, one-time links and sessions, each with a role. No secret of them is kept, only hashes.

A SQLite database of the home, for its owner alone, so that several processes on one home agree. What belongs here: making them,
taking them back, and finding what a secret stands for. What does not: what each role may do on which page (`app`, `serving`).
"""

import contextlib
import datetime as dt
import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from found_platform.errors import BadInput, Conflict, NotFound
from found_platform.home import database
from found_platform.settings import Settings

DATABASE = "access.db"
PREFIX = "fnd_"
SECRET_BYTES = 32

LINK_MINUTES = 60
SESSION_HOURS = 12
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL, "
    "created_at REAL NOT NULL, created_by TEXT NOT NULL, expires_at REAL, revoked_at REAL)",
    "CREATE TABLE IF NOT EXISTS links (hash TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, expires_at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, token TEXT, "
    "expires_at REAL NOT NULL)",
)
"""Times are seconds since 1970, UTC. `sessions.token` is the token that a session was opened with: without it there is none."""


class Scope(StrEnum):
    """What one may do. `find` asks for users and sees pseudonyms, `reveal` sees the ids of the source."""

    READ = "read"
    FIND = "find"
    EDIT = "edit"
    EXPORT = "export"
    REVEAL = "reveal"
    OPERATE = "operate"
    AUDIT = "audit"
    ADMIN = "admin"


class Role(StrEnum):
    """A set of scopes with a name, see ROLES."""

    VIEWER = "viewer"
    MARKETER = "marketer"
    EXPORTER = "exporter"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWS = frozenset({Scope.READ, Scope.FIND})
ROLES: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWS,
    Role.MARKETER: _VIEWS | {Scope.EDIT},
    Role.EXPORTER: _VIEWS | {Scope.EDIT, Scope.EXPORT, Scope.REVEAL},
    Role.OPERATOR: _VIEWS | {Scope.EDIT, Scope.OPERATE, Scope.AUDIT},
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True)
class Grant:
    """Somebody who came in: by which name, with which role."""

    name: str
    role: Role
    token: str | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        return ROLES[self.role]


@dataclass(frozen=True)
class Token:
    """A token, without its secret. `state` is active, expired or revoked."""

    id: str
    name: str
    role: Role
    created_at: dt.datetime
    created_by: str
    expires_at: dt.datetime | None
    state: str


def exists(settings: Settings) -> bool:
    """Whether a token was ever made."""
    return (settings.home / DATABASE).exists() and bool(tokens(settings))


def create(settings: Settings, name: str, role: str, days: float | None, by: str) -> tuple[str, Token]:
    """A new token: the secret to hand over, which is nowhere afterwards, and what it is.

    Raises BadInput for a name, a role or a number of days that cannot be, Conflict where an active token has the name.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name of a token: use up to 64 small letters, digits, dots, - and _, a letter or digit first."
        )
    if role not in list(Role):
        raise BadInput(f"--role is {role!r}: choose of {', '.join(Role)}.")
    if days is not None and not 0 < days <= 3650:
        raise BadInput(
            f"--days is {days:g}: a token lasts more than 0 and at most 3,650 days, or, without --days, until it is revoked."
        )
    if any(token.name == name and token.state == "active" for token in tokens(settings)):
        raise Conflict(
            f"There is an active token {name!r}: revoke it first with `found token revoke {name}`, or choose another name."
        )
    number, secret, created = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES), _seconds()
    expires = None if days is None else created + days * 86_400
    with _opened(settings) as con:
        values = (number, name, role, _hash(secret), created, by, expires)
        con.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", values)
    return f"{PREFIX}{number}_{secret}", next(token for token in tokens(settings) if token.id == number)


def tokens(settings: Settings) -> list[Token]:
    """Every token that was made, newest first."""
    with _opened(settings) as con:
        rows = con.execute(
            "SELECT id, name, role, created_at, created_by, expires_at, revoked_at FROM tokens ORDER BY created_at DESC, rowid DESC"
        ).fetchall()
    moment = _seconds()
    states = ["revoked" if revoked else "expired" if expires and expires <= moment else "active" for *_, expires, revoked in rows]
    return [
        Token(number, name, Role(role), _time(created), by, expires and _time(expires), state)
        for (number, name, role, created, by, expires, _), state in zip(rows, states, strict=True)
    ]


def revoke(settings: Settings, name: str) -> Token:
    """Ends a token, by its name or id, and the sessions that were opened with it. Raises NotFound where none is active."""
    active = [token for token in tokens(settings) if token.state == "active"]
    token = next((token for token in active if name in (token.name, token.id)), None)
    if token is None:
        names = ", ".join(token.name for token in active) or "none"
        raise NotFound(f"There is no active token {name!r}; active are: {names}.")
    with _opened(settings) as con:
        con.execute("UPDATE tokens SET revoked_at = ? WHERE id = ?", (_seconds(), token.id))
        con.execute("DELETE FROM sessions WHERE token = ?", (token.id,))
    return token


def of_token(settings: Settings, presented: str) -> Grant | None:
    """Whom a token lets in; None for one that is unknown, expired or revoked."""
    number, _, secret = presented.removeprefix(PREFIX).partition("_")
    with _opened(settings) as con:
        row = con.execute("SELECT name, role, hash, expires_at, revoked_at FROM tokens WHERE id = ?", (number,)).fetchone()
    name, role, kept, expires, revoked = row or ("", "", "0" * 64, None, 1)
    same = hmac.compare_digest(_hash(secret), kept)  # also where there is no such token, so that the time tells nothing
    if not same or revoked or (expires and expires <= _seconds()) or not presented.startswith(PREFIX):
        return None
    return Grant(name, Role(role), number)


def new_link(settings: Settings, name: str, role: Role) -> str:
    """The secret of a link that lets whoever opens it in, once, within LINK_MINUTES."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with _opened(settings) as con:
        con.execute("DELETE FROM links WHERE expires_at <= ?", (_seconds(),))
        con.execute("INSERT INTO links VALUES (?, ?, ?, ?)", (_hash(secret), name, role, _seconds() + LINK_MINUTES * 60))
    return secret


def of_link(settings: Settings, secret: str) -> Grant | None:
    """Whom a link lets in; it is used up by that. None for one that is unknown, used or too old."""
    with _opened(settings) as con:
        row = con.execute("DELETE FROM links WHERE hash = ? RETURNING name, role, expires_at", (_hash(secret),)).fetchone()
    return Grant(row[0], Role(row[1])) if row and row[2] > _seconds() else None


def open_session(settings: Settings, grant: Grant) -> str:
    """The secret of a new session, for a cookie."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with _opened(settings) as con:
        con.execute("DELETE FROM sessions WHERE expires_at <= ?", (_seconds(),))
        values = (_hash(secret), grant.name, grant.role, grant.token, _seconds() + SESSION_HOURS * 3600)
        con.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", values)
    return secret


def of_session(settings: Settings, secret: str) -> Grant | None:
    """Whose session it is; None where it is over, or the token that opened it is."""
    with _opened(settings) as con:
        row = con.execute(
            "SELECT s.name, s.role, s.token FROM sessions s LEFT JOIN tokens t ON s.token = t.id "
            "WHERE s.hash = ? AND s.expires_at > ? "
            "AND (s.token IS NULL OR (t.revoked_at IS NULL AND coalesce(t.expires_at, ?) >= ?))",
            (_hash(secret), _seconds(), _seconds() + 1, _seconds()),
        ).fetchone()
    return Grant(row[0], Role(row[1]), row[2]) if row else None


def close_session(settings: Settings, secret: str) -> None:
    """Ends a session."""
    with _opened(settings) as con:
        con.execute("DELETE FROM sessions WHERE hash = ?", (_hash(secret),))


def close_sessions(settings: Settings, name: str) -> int:
    """Ends every session of a name; returns how many there were. Raises NotFound with the names that have one."""
    with _opened(settings) as con:
        ended = con.execute("DELETE FROM sessions WHERE name = ?", (name,)).rowcount
        others = con.execute("SELECT DISTINCT name FROM sessions WHERE expires_at > ? ORDER BY name", (_seconds(),)).fetchall()
    if not ended:
        names = ", ".join(other for (other,) in others) or "nobody"
        raise NotFound(f"Nobody called {name!r} is signed in to the console; signed in are: {names}.")
    return ended


def _opened(settings: Settings) -> "contextlib.AbstractContextManager[sqlite3.Connection]":
    return database(settings.home / DATABASE, STATEMENTS)


def _hash(secret: str) -> str:
    """A secret has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _seconds() -> float:
    return dt.datetime.now(dt.UTC).timestamp()


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
