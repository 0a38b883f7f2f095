"""Signing in and out, and the reference of the API for people."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.app import access
from found_platform.app.access import Scope
from found_platform.errors import BadInput, JobFailed, NotFound
from found_platform.serving.console import forms
from found_platform.serving.console.rendering import page
from found_platform.serving.doors import COOKIE, Visitor, needs, of_nobody
from found_platform.serving.problems import Problem, Rejected
from found_platform.serving.state import server_of

R = TypeVar("R")

router = APIRouter()

SESSION_SECONDS = 12 * 3600

AWAY = "found_away"
"""The cookie of a browser that is at the identity provider: only who went there from here can come back."""

AWAY_PATH = "/sign-in"
AWAY_SECONDS = 600
"""For signing in over there."""


@router.get("/sign-in")
async def sign_in_page(request: Request, link: str | None = None, left: str = "") -> Response:
    """The form for a token, and the way to the identity provider where there is one; a link signs in at once."""
    if link is None:
        return await _form(request, left=bool(left))
    return await _sign_in(
        request, access.SignIn(link=link), "This link was used already, or is too old: start `found serve` anew, or use a token."
    )


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    token = (await forms.read(request)).get("token")
    return await _sign_in(
        request, access.SignIn(token=token), "This token is unknown, expired or revoked: ask an admin for another."
    )


@router.get("/sign-in/provider")
async def leave_for_provider(request: Request) -> Response:
    """Sends the browser to the identity provider. A link leads here, for a form may not lead to another site (`form-action`)."""
    _take_turn(request, "leaves")
    try:
        departure = await _at_provider(request, access.depart, of_nobody(request), _callback(request))
    except JobFailed as failure:
        return await _form(request, 503, str(failure))
    response = RedirectResponse(departure.address, 303)
    return _with_cookie(request, response, AWAY, departure.secret, AWAY_SECONDS, AWAY_PATH)


@router.get("/sign-in/callback")
async def come_from_provider(request: Request, state: str = "", code: str = "", error: str = "", iss: str = "") -> Response:
    """Where the identity provider sends the browser back to."""
    _take_turn(request)
    brought = access.arrival(_callback(request), request.cookies.get(AWAY, ""), state, code, error, iss)
    try:
        secret, _ = await _at_provider(request, access.sign_in_by_provider, of_nobody(request), brought)
        response = _signed_in(request, secret)
    except NotFound:
        raise
    except (BadInput, JobFailed) as refusal:
        response = await _form(request, 503 if isinstance(refusal, JobFailed) else 403, str(refusal))
    response.delete_cookie(AWAY, path=AWAY_PATH)
    return response


async def _at_provider(request: Request, use_case: Callable[..., R], *arguments: Any) -> R:
    """The result of a use case that asks the identity provider."""
    return await anyio.to_thread.run_sync(use_case, *arguments, limiter=server_of(request).provider_calls)


def _callback(request: Request) -> str:
    """Where the identity provider sends a browser back to: here, by the name that the browser knows this server by."""
    return f"{'https' if _secure(request) else 'http'}://{request.headers['host']}{AWAY_PATH}/callback"


async def _sign_in(request: Request, attempt: access.SignIn, refusal: str) -> Response:
    _take_turn(request)
    opened = await run_in_threadpool(access.sign_in, of_nobody(request), attempt)
    return await _form(request, 401, refusal) if opened is None else _signed_in(request, opened[0])


async def _form(request: Request, status: int = 200, error: str | None = None, left: bool = False) -> Response:
    provider = await run_in_threadpool(access.provider, of_nobody(request))
    return page(request, "sign_in.html", None, status, error=error, provider=provider, left=left)


def _take_turn(request: Request, purpose: str = "") -> None:
    """Raises Rejected for who tries too often."""
    address = request.client.host if request.client else "unknown"
    seconds = server_of(request).sign_ins.wait(f"{purpose} {address}")
    if seconds:
        raise Rejected(
            Problem(429, f"Too many attempts to sign in: wait {seconds:.0f} seconds.", "too-many", (("retry_after", seconds),))
        )


def _signed_in(request: Request, secret: str) -> Response:
    """Leads to the console, with the cookie of a session."""
    return _with_cookie(request, RedirectResponse("/", 303), COOKIE, secret, SESSION_SECONDS, "/")


def _with_cookie(request: Request, response: Response, name: str, value: str, seconds: int, path: str) -> Response:
    """Lax, for a browser that comes back from the provider has to bring it."""
    response.set_cookie(name, value, seconds, path=path, httponly=True, samesite="lax", secure=_secure(request))
    return response


def _secure(request: Request) -> bool:
    """Whether the browser asks by TLS: a proxy says what it was asked by."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


@router.post("/sign-out")
async def sign_out(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    await run_in_threadpool(access.sign_out, visitor.context, request.cookies.get(COOKIE, ""))
    by_provider = await run_in_threadpool(access.is_of_provider, visitor.grant)
    response = RedirectResponse("/sign-in?left=yes" if by_provider else "/sign-in", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/sign-out/provider")
async def leave_provider(request: Request) -> Response:
    """Sends a browser that was signed out here to the identity provider, to sign out there too; a link leads here, as above."""
    _take_turn(request, "leaves")
    back = _callback(request).removesuffix("/callback")
    try:
        return RedirectResponse(await _at_provider(request, access.leave, of_nobody(request), back), 303)
    except (NotFound, JobFailed) as failure:
        return await _form(request, 503 if isinstance(failure, JobFailed) else 404, str(failure))


@router.get("/api/v1/docs")
async def reference(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    """The API's operations, from its own OpenAPI document."""
    document = request.app.openapi()
    return page(request, "reference.html", visitor, document=document)
