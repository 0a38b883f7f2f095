"""Who may come in by the network: tokens made, listed and revoked, people signed in and out, refusals written down."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy.access import Grant, Role, Scope

if TYPE_CHECKING:
    from found_platform.privacy.access import Token
    from found_platform.privacy.identity_provider import Arrival, Departure

__all__ = [
    "Created",
    "Grant",
    "NewToken",
    "Refusal",
    "Role",
    "Scope",
    "arrival",
    "create_token",
    "depart",
    "end_sessions",
    "grant_of_session",
    "grant_of_token",
    "has_tokens",
    "is_of_provider",
    "leave",
    "list_tokens",
    "new_link",
    "provider",
    "refuse",
    "revoke_token",
    "sign_in",
    "sign_in_by_provider",
    "sign_out",
]


@dataclass(frozen=True)
class NewToken:
    """A token to make: whose it is, what it may do, and for how many days (None: until it is revoked)."""

    name: str
    role: str
    days: float | None = None


@dataclass(frozen=True)
class Created:
    """A token. `secret` is shown this once; the home keeps its hash alone."""

    secret: str
    token: "Token"


@use_case(Effect.CHANGES, "token create")
def create_token(context: Context, request: NewToken) -> Created:
    """Makes a token. Raises BadInput for what cannot be, Conflict where an active one has the name."""
    from found_platform.privacy import access, actor, audit

    created = Created(*access.create(context.settings, request.name, request.role, request.days, str(actor.current())))
    audit.record(context.settings, "token create", question={"token": request.name, "role": request.role, "days": request.days})
    return created


@use_case(Effect.READS)
def list_tokens(context: Context) -> "list[Token]":
    """Every token that was made, without secrets, newest first."""
    from found_platform.privacy import access

    return access.tokens(context.settings)


@use_case(Effect.READS)
def has_tokens(context: Context) -> bool:
    """Whether a token was ever made in this home."""
    from found_platform.privacy import access

    return access.exists(context.settings)


@use_case(Effect.CHANGES, "token revoke")
def revoke_token(context: Context, name: str) -> "Token":
    """Ends a token and the sessions that were opened with it."""
    from found_platform.privacy import access, audit

    token = access.revoke(context.settings, name)
    audit.record(context.settings, "token revoke", question={"token": token.name, "role": token.role})
    return token


@use_case(Effect.READS)
def grant_of_token(context: Context, presented: str) -> Grant | None:
    """Whom a token lets in; None where it lets nobody in."""
    from found_platform.privacy import access

    return access.of_token(context.settings, presented)


@use_case(Effect.READS)
def grant_of_session(context: Context, secret: str) -> Grant | None:
    """Whose session it is; None where it is over."""
    from found_platform.privacy import access

    return access.of_session(context.settings, secret)


@use_case(Effect.CHANGES, "sign-in link")
def new_link(context: Context) -> str:
    """The secret of a link that signs whoever opens it in once, as an admin: whoever starts a server can read the home anyway."""
    from found_platform.privacy import access, audit

    secret = access.new_link(context.settings, context.actor.name, Role.ADMIN)
    audit.record(context.settings, "sign-in link", reason=f"valid once, for {access.LINK_MINUTES} minutes")
    return secret


@dataclass(frozen=True)
class SignIn:
    """A person who signs in: with a token, or with the secret of a link."""

    token: str | None = None
    link: str | None = None


@use_case(Effect.CHANGES, "sign in")
def sign_in(context: Context, request: SignIn) -> tuple[str, Grant] | None:
    """A session's secret and whose it is; None where the token or link lets nobody in, and then the audit says so."""
    from found_platform.privacy import access, actor, audit

    settings = context.settings
    by_link = request.link is not None
    grant = access.of_link(settings, request.link or "") if by_link else access.of_token(settings, request.token or "")
    way = "link" if by_link else "token"
    if grant is None:
        audit.record(settings, "sign in", reason=f"refused: there is no such {way}, or it is over")
        return None
    with actor.acting(actor.Actor(grant.name, context.actor.way_in)):
        audit.record(settings, "sign in", question={"role": grant.role}, reason=f"by a {way}")
    return access.open_session(settings, grant), grant


@use_case(Effect.READS)
def provider(context: Context) -> str | None:
    """What the identity provider is called that people may sign in with; None where none is set. Raises BadInput where the settings
    of it cannot be used."""
    if context.settings.oidc_issuer is None:
        return None
    from found_platform.privacy import identity_provider

    configured = identity_provider.configured(context.settings)
    return configured and configured.client.label


@use_case(Effect.READS)
def depart(context: Context, callback: str) -> "Departure":
    """Where to send a browser that signs in by the identity provider and comes back to `callback`, and what it keeps meanwhile."""
    from found_platform.privacy import identity_provider

    return identity_provider.depart(context.settings, callback)


@use_case(Effect.READS)
def leave(context: Context, back: str) -> str:
    """Where to send a browser that signs out at the identity provider too, and comes back to `back`."""
    from found_platform.privacy import identity_provider

    return identity_provider.leave(context.settings, back)


def arrival(callback: str, secret: str, state: str, code: str = "", error: str = "", issuer: str = "") -> "Arrival":
    """What a browser brings back from the identity provider, see `privacy.identity_provider.Arrival`."""
    from found_platform.privacy.identity_provider import Arrival

    return Arrival(callback, secret, state, code, error, issuer)


@use_case(Effect.CHANGES, "sign in")
def sign_in_by_provider(context: Context, request: "Arrival") -> tuple[str, Grant]:
    """A session's secret and whose it is. The audit says of each refusal why.

    Raises BadInput for whom the provider does not vouch, and who has no role here; JobFailed where the provider is unwell.
    """
    from found_platform.privacy import access, actor, audit, identity_provider

    settings, way_in = context.settings, context.actor.way_in
    issuer = settings.oidc_issuer
    try:
        person = identity_provider.arrive(settings, request)
    except (BadInput, JobFailed) as refusal:
        audit.record(settings, "sign in", question={"issuer": issuer}, reason=f"refused: {refusal}")
        raise
    with actor.acting(actor.Actor(person.name, way_in)):
        about = {"issuer": issuer, "subject": person.subject, "role": person.role}
        if person.role is None:
            audit.record(settings, "sign in", question=about, reason="refused: the identity provider gives no role")
            raise BadInput(
                f"You are known as {person.name}, and no role of this console goes with that: ask whoever runs it to name one of "
                f"your {settings.oidc_roles_claim} in FOUND_OIDC_ROLES."
            )
        audit.record(settings, "sign in", question=about, reason="by the identity provider")
    grant = Grant(person.name, person.role)
    return access.open_session(settings, grant), grant


def is_of_provider(grant: Grant) -> bool:
    """Whether somebody came by the identity provider."""
    from found_platform.privacy import identity_provider

    return grant.name.startswith(identity_provider.PREFIX)


@use_case(Effect.CHANGES, "sign out")
def sign_out(context: Context, secret: str) -> None:
    """Ends a session."""
    from found_platform.privacy import access, audit

    access.close_session(context.settings, secret)
    audit.record(context.settings, "sign out")


@dataclass(frozen=True)
class Ended:
    """Whose sessions were ended, and how many there were."""

    name: str
    sessions: int


@use_case(Effect.CHANGES, "sign out")
def end_sessions(context: Context, name: str) -> Ended:
    """Signs somebody out of the console everywhere. Raises NotFound where nobody of that name is signed in."""
    from found_platform.privacy import access, audit

    ended = access.close_sessions(context.settings, name)
    audit.record(context.settings, "sign out", question={"name": name}, reason=f"{ended} sessions of somebody else")
    return Ended(name, ended)


@dataclass(frozen=True)
class Refusal:
    """What was asked for and not allowed, and why."""

    method: str
    path: str
    reason: str


@use_case(Effect.CHANGES, "refused")
def refuse(context: Context, request: Refusal) -> None:
    """Writes a refusal into the audit."""
    from found_platform.privacy import audit

    audit.record(context.settings, "refused", question={"request": f"{request.method} {request.path}"}, reason=request.reason)
