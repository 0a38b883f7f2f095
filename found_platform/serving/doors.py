"""Who may: a token in the header `Authorization`, or the session of a person who signed in; and the scope that a request needs.

`Depends(needs(Scope.FIND))` gives a handler the context to call use cases with. A refusal is 401 where nobody is known, 403 where
somebody may not, and a row in the audit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from found_platform.app import access
from found_platform.app.access import Grant, Scope
from found_platform.app.context import Actor, Context
from found_platform.serving.problems import Problem, Refused, Rejected
from found_platform.serving.state import Server, server_of

COOKIE = "found_session"
NOBODY = "nobody"


@dataclass(frozen=True)
class Visitor:
    """Somebody who was let in, and the context that they ask in."""

    grant: Grant
    context: Context

    def may(self, scope: str) -> bool:
        return scope in self.grant.scopes


def way_in(request: Request) -> str:
    return "api" if request.url.path.startswith("/api/") or request.url.path == "/metrics" else "console"


def of_nobody(request: Request) -> Context:
    """The context of a request before it is known who asks."""
    return Context(server_of(request).options.home, Actor(NOBODY, way_in(request)), paths=False)


def visitor(request: Request) -> Visitor | None:
    """Who asks; None where nobody is known. Raises Rejected for who asks too often."""
    server, context = server_of(request), of_nobody(request)
    scheme, _, presented = request.headers.get("authorization", "").partition(" ")
    client = request.client.host if request.client else "unknown"
    if scheme:
        grant = access.grant_of_token(context, presented.strip()) if scheme.lower() == "bearer" else None
    else:
        cookie = request.cookies.get(COOKIE)
        grant = access.grant_of_session(context, cookie) if cookie else None
    limited(server, f"grant {grant.name}" if grant else f"address {client}")
    if grant is None:
        return None
    actor = Actor(grant.name, way_in(request))
    may = grant.scopes
    return Visitor(grant, Context(context.home, actor, reveal=Scope.REVEAL in may, paths=Scope.OPERATE in may))


def limited(server: Server, key: str) -> None:
    """Raises Rejected for who asks too often."""
    seconds = server.rate.wait(key)
    if seconds:
        sentence = f"More than {server.options.rate:,} requests a minute: wait {seconds:.1f} seconds, then go on."
        raise Rejected(Problem(429, sentence, "too-many", (("retry_after", round(seconds, 3)),)))


def needs(scope: Scope) -> Callable[[Request], Visitor]:
    """A dependency: who asks, where they have this scope."""

    def door(request: Request) -> Visitor:
        guest = visitor(request)
        if guest is None:
            problem = "is unknown, expired or revoked" if request.headers.get("authorization") else "is missing"
            how = "send `Authorization: Bearer fnd_…`, or sign in at /sign-in; `found token create` makes a token"
            raise Refused(Problem(401, f"A token is needed, and yours {problem}: {how}.", "unknown"), NOBODY)
        request.state.visitor = guest  # pages that say what was wrong go on to lead to the others
        if not guest.may(scope):
            have = ", ".join(sorted(guest.grant.scopes))
            sentence = f"This takes the scope {scope}, and the role {guest.grant.role} of {guest.grant.name} has {have}."
            raise Refused(Problem(403, f"{sentence} Ask an admin for a token with another role.", "scope"), guest.grant.name)
        return guest

    return door
