"""The pages of models, data and audit, and of a job that goes on."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.app import audit, graph, models, monitoring
from found_platform.app.access import Scope
from found_platform.errors import BadInput, NotFound
from found_platform.serving.console import forms, work
from found_platform.serving.console.rendering import is_part, page
from found_platform.serving.doors import Visitor, needs
from found_platform.serving.state import server_of

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Auditor = Annotated[Visitor, Depends(needs(Scope.AUDIT))]
Admin = Annotated[Visitor, Depends(needs(Scope.ADMIN))]

ROWS = 50
"""Of the audit on a page."""


@router.get("/models")
async def versions(request: Request, visitor: Reader) -> Response:
    return await _models(request, visitor)


async def _models(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> Response:
    rows = await work.ask(request, visitor, models.list_versions)
    return page(request, "models.html", visitor, status, rows=rows, **{"error": None, **more})


@router.get("/models/{version}")
async def version(request: Request, visitor: Reader, version: str) -> Response:
    return page(request, "model.html", visitor, shown=await work.ask(request, visitor, models.show, version))


@router.post("/models/promote")
async def promote(request: Request, visitor: Admin) -> Response:
    version = (await forms.read(request)).get("version")
    try:
        return await work.change(request, visitor, "promote", models.promote, version or None, leads_to="/models")
    except BadInput as refusal:
        return await _models(request, visitor, 422, error=str(refusal))


@router.post("/models/rollback")
async def roll_back(request: Request, visitor: Admin) -> Response:
    what = (await forms.read(request)).get("what")
    use_case = models.roll_back_index if what == "index" else models.roll_back_model
    try:
        return await work.change(request, visitor, "rollback", use_case, leads_to="/models")
    except BadInput as refusal:
        return await _models(request, visitor, 422, error=str(refusal))


@router.get("/data")
async def data(request: Request, visitor: Reader) -> Response:
    state = await work.ask(request, visitor, graph.status)
    drift = await work.read(visitor, monitoring.drift)
    return page(request, "data.html", visitor, state=state, drift=drift)


@router.get("/audit")
async def log(
    request: Request, visitor: Auditor, start: Annotated[int, Query(ge=0)] = 0, who: str = "", action: str = "", audience: str = ""
) -> Response:
    part = audit.Part(start, ROWS, who or None, audience or None, action or None)
    entries = await work.read(visitor, audit.entries, part)
    return page(request, "audit.html", visitor, log=entries, start=start, rows=ROWS, who=who, action=action, audience=audience)


@router.get("/jobs/{number}")
async def job(request: Request, visitor: Reader, number: str) -> Response:
    """A job that goes on; the page looks again by itself, and leads on once the job is done."""
    running = server_of(request).jobs.get(number)
    if running is None or not (running.owner == visitor.grant.name or visitor.may(Scope.ADMIN)):
        raise NotFound(f"There is no job {number!r} of yours: it ended long ago, or the server was started anew since.")
    if running.state == "done":
        address = work.page_after(running)
        return Response(headers={"hx-redirect": address}) if is_part(request) else RedirectResponse(address, 303)
    return page(request, "job.html", visitor, job=running)


@router.post("/jobs/{number}/cancel")
async def cancel(request: Request, visitor: Reader, number: str) -> Response:
    running = server_of(request).jobs.get(number)
    if running is not None and (running.owner == visitor.grant.name or visitor.may(Scope.ADMIN)):
        server_of(request).jobs.cancel(running)
    return RedirectResponse(f"/jobs/{number}", 303)
