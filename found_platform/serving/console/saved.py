"""The pages of saved audiences: the list, and one page each with its members, moves, versions, deliveries and what can be done."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.app import audiences, audit, deliveries, members
from found_platform.app.access import Scope
from found_platform.errors import BadInput, JobFailed
from found_platform.serving import files
from found_platform.serving.console import forms, work
from found_platform.serving.console.rendering import is_part, page, part
from found_platform.serving.doors import Visitor, needs

router = APIRouter(prefix="/audiences")
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Finder = Annotated[Visitor, Depends(needs(Scope.FIND))]
Editor = Annotated[Visitor, Depends(needs(Scope.EDIT))]
Exporter = Annotated[Visitor, Depends(needs(Scope.EXPORT))]

SHOWN = 25
"""Members on a page."""

FORMS = ("why", "lift", "refresh", "keep", "export", "deliver", "forget")
"""What the forms of a page send to."""


@router.get("")
async def listing(request: Request, visitor: Reader) -> Response:
    saved = await work.read(visitor, audiences.list_saved)
    histories = {
        row.specification.audience: await work.read(visitor, audiences.show, row.specification.audience) for row in saved.audiences
    }
    return page(request, "audiences.html", visitor, saved=saved, histories=histories)


@router.get("/{name}")
async def show(request: Request, visitor: Finder, name: str, start: Annotated[int, Query(ge=0)] = 0) -> Response:
    return await _page(request, visitor, name, start)


async def _page(request: Request, visitor: Visitor, name: str, start: int = 0, status: int = 200, **more: Any) -> Response:
    audience = await work.read(visitor, audiences.show, name)
    versions = await work.read(visitor, audiences.versions, name)
    users, moves = None, None
    if audience.refreshes:
        newest = audience.refreshes[0].refresh  # all of the page is of this one, whatever is refreshed meanwhile
        users = await work.ask(request, visitor, members.page, members.Page(name, newest, start, SHOWN))
        moves = await work.ask(request, visitor, members.moves, members.MovesOf(name, newest, limit=SHOWN))
    saved = await work.read(visitor, audiences.list_saved)
    used_by = [row.specification.audience for row in saved.audiences if name in row.specification.without_audiences]
    sent = await work.read(visitor, deliveries.history, name)
    places = await work.read(visitor, deliveries.list_destinations)
    exports = await work.read(visitor, audit.entries, audit.Part(limit=20, audience=name, action="export"))
    values = {
        "shown": audience,
        "versions": versions,
        "users": users,
        "moves": moves,
        "used_by": used_by,
        "exports": exports,
        "sent": sent,
        "places": places,
        "standing": None,
        "user": "",
    }
    values |= {"lift": None, "error": None, **more}
    return page(request, "audience.html", visitor, status, name=name, **values)


@router.get("/{name}/{form}")
async def again(name: str, form: str) -> Response:
    """Whoever opens the address of a form that was sent comes to the audience."""
    if form not in FORMS:
        raise HTTPException(404)
    return RedirectResponse(f"/audiences/{quote(name, safe='')}", 303)


@router.post("/{name}/why")
async def why(request: Request, visitor: Finder, name: str) -> Response:
    user = (await forms.read(request)).get("user")
    standing, error = None, None
    try:
        if not user:
            raise BadInput("Paste the id of a user, or a pseudonym.")
        standing = await work.ask(request, visitor, members.why, members.Why(user, name=name))
    except BadInput as refusal:
        error = str(refusal)
    if is_part(request):
        return part("_standing.html", standing=standing, error=error, user=user, visitor=visitor)
    return await _page(request, visitor, name, standing=standing, error=error, user=user)


@router.post("/{name}/lift")
async def lift(request: Request, visitor: Reader, name: str) -> Response:
    measured, error = None, None
    try:
        days = (await forms.read(request)).whole("days", "Days", 1, 3650)
        measured = await work.ask(request, visitor, audiences.lift, audiences.Measure(name, days))
    except BadInput as refusal:
        error = str(refusal)
    if is_part(request):
        return part("_lift.html", lift=measured, error=error)
    return await _page(request, visitor, name, lift=measured, error=error)


@router.post("/{name}/refresh")
async def refresh(request: Request, visitor: Editor, name: str) -> Response:
    return await work.change(request, visitor, "refresh", audiences.refresh, name, leads_to=f"/audiences/{name}")


@router.post("/{name}/keep")
async def keep(request: Request, visitor: Editor, name: str) -> Response:
    sent = await forms.read(request)
    places, changes = None, None
    if visitor.may(Scope.EXPORT):
        places, changes = tuple(sent.all("deliver_to")), sent.get("changes") == "yes"
    after = sent.get("after")
    upkeep = audiences.Upkeep(name, sent.get("every") or None, places, changes, int(after) if after.isdecimal() else None)
    try:
        return await work.change(request, visitor, "keep", audiences.keep, upkeep, leads_to=f"/audiences/{name}")
    except (BadInput, JobFailed) as refusal:
        return await _page(request, visitor, name, status=422, error=str(refusal))


@router.post("/{name}/export")
async def export(request: Request, visitor: Exporter, name: str) -> Response:
    sent = await forms.read(request)
    format = sent.get("format")
    if format not in files.MEDIA_TYPES:
        raise BadInput(f"The format is {format!r}: choose csv or parquet.")
    return await work.ask(request, visitor, files.export, name, format, sent.get("holdout") == "yes")


@router.post("/{name}/deliver")
async def deliver(request: Request, visitor: Exporter, name: str) -> Response:
    sent = await forms.read(request)
    order = deliveries.Deliver(name, sent.get("to"), sent.get("changes") == "yes")
    try:
        return await work.change(request, visitor, "deliver", deliveries.deliver, order, leads_to=f"/audiences/{name}")
    except (BadInput, JobFailed) as refusal:
        return await _page(request, visitor, name, status=422, error=str(refusal))


@router.post("/{name}/forget")
async def forget(request: Request, visitor: Editor, name: str) -> Response:
    if (await forms.read(request)).get("confirm") != name:
        return await _page(
            request, visitor, name, status=422, error=f"Nothing was removed: write {name} into the field to confirm it."
        )
    try:
        return await work.change(request, visitor, "forget", audiences.forget, name, leads_to="/audiences")
    except BadInput as refusal:
        return await _page(request, visitor, name, status=422, error=str(refusal))
