"""Signing in by an identity provider: which one the settings name, who has come back from it, and the role that its claims give.

The code flow with PKCE: a browser goes to the provider, and comes back with a code that this process redeems for what the provider
says of its owner. State, nonce and verifier of a sign-in are derived from one secret that the browser keeps meanwhile: nothing is
kept here, and a code is worth nothing without the browser that went for it.

What belongs here: settings, names and roles. What does not: requests to the provider (`oidc`), sessions (`access`), and pages
(`serving`).
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from found_platform.errors import BadInput, NotFound
from found_platform.privacy import oidc
from found_platform.privacy.access import Role
from found_platform.settings import Settings

EVERYBODY = "*"
"""As a value of `oidc_roles`: whoever the provider lets sign in here."""

PREFIX = "oidc:"
"""Before the names of who comes by the provider: no token can have such a name."""

MOST_CHARACTERS = 100
"""Of a name."""

PAIR = re.compile(rf"\s*(\S.*?)\s*=\s*({'|'.join(Role)})\s*(?:,|\Z)")
"""A value and its role. A role ends a pair, so that a value may be a name of a directory: `CN=shop,OU=eu=viewer`."""


@dataclass(frozen=True)
class IdentityProvider:
    """What the settings say of the provider. `roles` are values of a claim with the roles that they give; the first that fits
    counts."""

    client: oidc.Client
    roles: tuple[tuple[str, Role], ...]
    roles_claim: str
    name_claim: str


@dataclass(frozen=True)
class Departure:
    """Where a browser is sent, and the secret that it keeps until it is back."""

    address: str
    secret: str


@dataclass(frozen=True)
class Arrival:
    """What a browser brings back.

    Attributes:
        callback: the address that it came back to, as the provider was told.
        secret: what it kept meanwhile; empty where it kept nothing.
        state, code: of the provider's answer.
        error: the provider's word for why it lets nobody in.
        issuer: who answers, where the provider says so (RFC 9207).
    """

    callback: str
    secret: str
    state: str
    code: str = ""
    error: str = ""
    issuer: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody whom the provider knows. `role` is None where nothing that it says of them gives one."""

    name: str
    subject: str
    role: Role | None


def configured(settings: Settings) -> IdentityProvider | None:
    """The provider of the settings; None where there is none. Raises BadInput that names a setting which cannot be used."""
    issuer = settings.oidc_issuer
    if issuer is None:
        return None
    oidc.check_address(issuer, "The setting FOUND_OIDC_ISSUER")
    if not settings.oidc_client_id:
        raise BadInput(
            "FOUND_OIDC_ISSUER is set and FOUND_OIDC_CLIENT_ID is not: set it to the id that the provider gave this console."
        )
    label = settings.oidc_label or str(urlsplit(issuer).hostname)
    client = oidc.Client(issuer, settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_scopes, label)
    return IdentityProvider(client, _roles(settings.oidc_roles), settings.oidc_roles_claim, settings.oidc_name_claim)


def depart(settings: Settings, callback: str) -> Departure:
    """Where to send a browser that is to come back to `callback`. Raises NotFound without a provider, and as `oidc.way_there`."""
    secret = secrets.token_urlsafe(32)
    return Departure(oidc.way_there(_required(settings).client, callback, _proofs(secret)), secret)


def leave(settings: Settings, back: str) -> str:
    """Where to send a browser that signs out over there too. Raises NotFound where that is not to be had, and as `oidc.way_out`."""
    client = _required(settings).client
    address = oidc.way_out(client, back)
    if address is None:
        raise NotFound(f"{client.label} names no page to sign out at: sign out on its own pages. Here you are signed out.")
    return address


def arrive(settings: Settings, arrival: Arrival) -> Person:
    """Who has come back.

    Raises NotFound without a provider, BadInput where the answer is not to this browser or the person cannot be named, and as
    `oidc.claims`.
    """
    provider = _required(settings)
    label, proofs = provider.client.label, _proofs(arrival.secret)
    if not arrival.secret or not hmac.compare_digest(proofs.state.encode(), arrival.state.encode()):
        raise BadInput("This answer belongs to no sign-in that this browser began within the last minutes: sign in again.")
    if arrival.error or not arrival.code:
        why = oidc.word(arrival.error) or "it gave no code"
        raise BadInput(f"{label} did not let you in ({why}): sign in again, or ask whoever runs it.")
    if arrival.issuer and arrival.issuer != provider.client.issuer:
        raise BadInput(f"Another provider than {label} has answered: nobody was let in. Sign in again.")
    claims = oidc.claims(provider.client, arrival.callback, proofs, arrival.code)
    return Person(_name(provider, claims), claims["sub"], _role(provider, claims))


def _required(settings: Settings) -> IdentityProvider:
    provider = configured(settings)
    if provider is None:
        raise NotFound("No identity provider is set here: sign in with a token, or set FOUND_OIDC_ISSUER (docs/console.md).")
    return provider


def _proofs(secret: str) -> oidc.Proofs:
    """Each of 43 letters, digits, - and _, as long as a PKCE verifier has to be."""

    def derived(purpose: str) -> str:
        return urlsafe_b64encode(hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)).decode().rstrip("=")

    return oidc.Proofs(derived("state"), derived("nonce"), derived("verifier"))


def _roles(text: str) -> tuple[tuple[str, Role], ...]:
    pairs: list[tuple[str, Role]] = []
    place = 0
    while rest := text[place:].strip():
        hit = PAIR.match(text, place)
        if hit is None:
            raise BadInput(
                f"The setting FOUND_OIDC_ROLES cannot be read from {rest[:80]!r} on: write VALUE=ROLE, VALUE=ROLE with the roles "
                f"{', '.join(Role)}."
            )
        pairs.append((hit[1], Role(hit[2])))
        place = hit.end()
    return tuple(pairs)


def _name(provider: IdentityProvider, claims: Mapping[str, Any]) -> str:
    """By which name somebody acts here."""
    claim, label = provider.name_claim, provider.client.label
    name = claims.get(claim)
    if not isinstance(name, str) or not 0 < len(name) <= MOST_CHARACTERS or not name.isprintable() or " " in name:
        raise BadInput(
            f"{label} says no {claim!r} of you that can be a name here (up to {MOST_CHARACTERS} characters without spaces): ask "
            "whoever runs this console to look at FOUND_OIDC_NAME_CLAIM and FOUND_OIDC_SCOPES."
        )
    if claim == "email" and claims.get("email_verified") in (False, "false"):
        raise BadInput(f"{label} has not verified your address {name}: verify it there, then sign in again.")
    return f"{PREFIX}{name}"


def _role(provider: IdentityProvider, claims: Mapping[str, Any]) -> Role | None:
    """The role of the first value in the settings that somebody has. A claim may lie in another: `realm_access.roles`."""
    held: Any = claims
    for part in [provider.roles_claim] if provider.roles_claim in claims else provider.roles_claim.split("."):
        held = held.get(part) if isinstance(held, Mapping) else None
    held = [held] if isinstance(held, str) else held if isinstance(held, list) else []
    values = {value for value in held if isinstance(value, str)}
    return next((role for value, role in provider.roles if value == EVERYBODY or value in values), None)
