"""Tokens, links and sessions: who holds a secret is let in, until it is over; the home keeps no secret."""

import stat
from pathlib import Path

import pytest

from found_platform.errors import BadInput, Conflict, NotFound
from found_platform.privacy import access
from found_platform.privacy.access import Grant, Role, Scope
from found_platform.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings.load(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, to be moved."""
    now = [1_700_000_000.0]
    monkeypatch.setattr(access, "_seconds", lambda: now[0])
    return now


def test_a_token_lets_its_holder_in_until_it_expires_or_is_revoked(home: Settings, clock: list[float]) -> None:
    secret, token = access.create(home, "ann", "marketer", 1, "cli:bob")
    lasting, _ = access.create(home, "eve", "viewer", None, "cli:bob")
    assert access.of_token(home, secret) == Grant("ann", Role.MARKETER, token.id)
    assert access.of_token(home, secret[:-1]) is None
    assert access.of_token(home, secret.removeprefix("fnd_")) is None
    clock[0] += 86_400
    assert access.of_token(home, secret) is None
    assert access.of_token(home, lasting) is not None
    access.revoke(home, "eve")
    assert access.of_token(home, lasting) is None
    assert [t.state for t in access.tokens(home)] == ["revoked", "expired"]


def test_the_database_holds_no_secret_and_is_its_owners_alone(home: Settings) -> None:
    secrets = [access.create(home, "ann", "admin", None, "cli")[0], access.new_link(home, "ann", Role.ADMIN)]
    secrets.append(access.open_session(home, Grant("ann", Role.ADMIN)))
    path = home.home / access.DATABASE
    content = path.read_bytes()
    assert not [secret for secret in secrets if secret.rpartition("_")[2].encode() in content]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_used_up_and_grows_old(home: Settings, clock: list[float]) -> None:
    link, old = access.new_link(home, "ann", Role.ADMIN), access.new_link(home, "ann", Role.ADMIN)
    assert access.of_link(home, link) == Grant("ann", Role.ADMIN)
    assert access.of_link(home, link) is None
    clock[0] += access.LINK_MINUTES * 60 + 1
    assert access.of_link(home, old) is None


def test_a_session_ends_by_time_by_sign_out_and_with_its_token(home: Settings, clock: list[float]) -> None:
    secret, _ = access.create(home, "ann", "viewer", 1, "cli")
    grant = access.of_token(home, secret)
    assert grant is not None
    sessions = [access.open_session(home, grant) for _ in range(2)]
    assert access.of_session(home, sessions[0]) == grant
    access.close_session(home, sessions[0])
    assert access.of_session(home, sessions[0]) is None
    access.revoke(home, "ann")
    assert access.of_session(home, sessions[1]) is None
    lasting = access.open_session(home, Grant("bob", Role.ADMIN))
    clock[0] += access.SESSION_HOURS * 3600
    assert access.of_session(home, lasting) is None


def test_a_token_that_expires_takes_its_sessions_along(home: Settings, clock: list[float]) -> None:
    secret, _ = access.create(home, "ann", "viewer", 0.1, "cli")
    grant = access.of_token(home, secret)
    assert grant is not None
    session = access.open_session(home, grant)
    clock[0] += 0.1 * 86_400 + 1
    assert access.of_session(home, session) is None


def test_what_cannot_be_made_is_said(home: Settings) -> None:
    with pytest.raises(BadInput, match="no name of a token"):
        access.create(home, "Ann Smith", "viewer", None, "cli")
    with pytest.raises(BadInput, match="choose of viewer, marketer, exporter, operator, admin"):
        access.create(home, "ann", "king", None, "cli")
    with pytest.raises(BadInput, match="--days is 0"):
        access.create(home, "ann", "viewer", 0, "cli")
    access.create(home, "ann", "viewer", None, "cli")
    with pytest.raises(Conflict, match="active token 'ann'"):
        access.create(home, "ann", "viewer", None, "cli")
    with pytest.raises(NotFound, match="active are: ann"):
        access.revoke(home, "bob")


def test_ids_are_shown_to_who_exports_and_to_admins_alone() -> None:
    assert {role for role, scopes in access.ROLES.items() if Scope.REVEAL in scopes} == {Role.EXPORTER, Role.ADMIN}
    assert {role for role, scopes in access.ROLES.items() if Scope.ADMIN in scopes} == {Role.ADMIN}
    assert all(Scope.READ in scopes for scopes in access.ROLES.values())
