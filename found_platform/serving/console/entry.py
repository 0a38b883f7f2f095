"""Signing in and out, and the reference of the API for people."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.app import access
from found_platform.app.access import Scope
from found_platform.serving.console import forms
from found_platform.serving.console.rendering import page
from found_platform.serving.doors import COOKIE, Visitor, needs, of_nobody
from found_platform.serving.problems import Problem, Rejected
from found_platform.serving.state import server_of

router = APIRouter()

SESSION_SECONDS = 12 * 3600


@router.get("/sign-in")
async def sign_in_page(request: Request, link: str | None = None) -> Response:
    """The form for a token; a link signs in at once."""
    if link is None:
        return page(request, "sign_in.html", None, error=None)
    return await _sign_in(
        request, access.SignIn(link=link), "This link was used already, or is too old: start `found serve` anew, or use a token."
    )


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    token = (await forms.read(request)).get("token")
    return await _sign_in(
        request, access.SignIn(token=token), "This token is unknown, expired or revoked: ask an admin for another."
    )


async def _sign_in(request: Request, attempt: access.SignIn, refusal: str) -> Response:
    server = server_of(request)
    seconds = server.sign_ins.wait(request.client.host if request.client else "unknown")
    if seconds:
        raise Rejected(
            Problem(429, f"Too many attempts to sign in: wait {seconds:.0f} seconds.", "too-many", (("retry_after", seconds),))
        )
    opened = await run_in_threadpool(access.sign_in, of_nobody(request), attempt)
    if opened is None:
        return page(request, "sign_in.html", None, 401, error=refusal)
    response = RedirectResponse("/", 303)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))  # a proxy with TLS says what it was asked by
    response.set_cookie(COOKIE, opened[0], max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=secure, path="/")
    return response


@router.post("/sign-out")
async def sign_out(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    await run_in_threadpool(access.sign_out, visitor.context, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/api/v1/docs")
async def reference(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    """The API's operations, from its own OpenAPI document."""
    document = request.app.openapi()
    return page(request, "reference.html", visitor, document=document)
