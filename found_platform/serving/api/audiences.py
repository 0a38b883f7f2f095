"""Saved audiences: listed, read, edited, refreshed, exported, removed; who is in them, who joined and left.

A saved audience has an ETag, the version of its specification. Who edits one sends it back as `If-Match`, and is told (412) where
somebody else has saved another version since; who makes one sends `If-None-Match: *`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from found_platform.app import audiences, deliveries, members
from found_platform.app.access import Scope
from found_platform.app.document import as_document
from found_platform.serving import files
from found_platform.serving.api.answers import answer, cursor, read_cursor
from found_platform.serving.api.described import gives
from found_platform.serving.api.editing import IfMatch, IfNoneMatch, edited_version, etag, number, read_version
from found_platform.serving.api.requests import DeliverBody, DraftBody, ExportBody, UpkeepBody
from found_platform.serving.doors import Visitor, needs
from found_platform.serving.problems import Problem, Rejected

router = APIRouter(prefix="/audiences", tags=["audiences"])
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Finder = Annotated[Visitor, Depends(needs(Scope.FIND))]
Editor = Annotated[Visitor, Depends(needs(Scope.EDIT))]
Exporter = Annotated[Visitor, Depends(needs(Scope.EXPORT))]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=members.MOST)]
Number = Annotated[int | None, Query(ge=1, le=2**31, description="The newest, where none is named")]

NEXT = {"next": {"type": ["string", "null"], "description": "The `cursor` of the following page; null at the end."}}


@router.get("", summary="Every saved audience", responses=gives(tuple[audiences.Listed, ...]))
async def list_saved(request: Request, visitor: Reader) -> Response:
    return await answer(
        request, visitor, "list", audiences.list_saved, lists=True, write=lambda listing: {"items": as_document(listing.audiences)}
    )


@router.get("/{name}", summary="One audience, with its refreshes", responses=gives(audiences.show))
async def show(request: Request, visitor: Reader, name: str) -> Response:
    return await answer(
        request, visitor, "show", audiences.show, name, lists=True, headers=lambda page: {"etag": etag(page.specification.version)}
    )


@router.put("/{name}", summary="Save an audience, and find its members", responses=gives(audiences.Listed))
async def save(
    request: Request,
    visitor: Editor,
    name: str,
    body: DraftBody,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    after = number(edited_version(if_match, if_none_match))
    saving = audiences.Save(name, body.draft(), after)
    return await answer(
        request,
        visitor,
        "save",
        audiences.save,
        saving,
        changes=True,
        headers=lambda listing: {"etag": etag(listing.audiences[0].specification.version)},
        write=_first,
    )


@router.delete("/{name}", summary="Remove an audience and its members", responses=gives(audiences.forget))
async def forget(request: Request, visitor: Editor, name: str, if_match: IfMatch = None) -> Response:
    after = number(read_version(if_match))
    if after is not None:
        page = await run_in_threadpool(audiences.show, visitor.context, name)
        if page.specification.version != after:
            sentence = f"{name} is at version {page.specification.version}, and you read version {after}: nothing was removed."
            raise Rejected(Problem(412, sentence, "conflict"))
    return await answer(request, visitor, "forget", audiences.forget, name, changes=True)


@router.post("/{name}/refresh", summary="Find the members anew", responses=gives(audiences.Listed))
async def refresh(request: Request, visitor: Editor, name: str) -> Response:
    return await answer(request, visitor, "refresh", audiences.refresh, name, changes=True, write=_first)


@router.put(
    "/{name}/upkeep", summary="How often it is refreshed, or frozen, and where its members go", responses=gives(audiences.Listed)
)
async def keep(request: Request, visitor: Editor, name: str, body: UpkeepBody, if_match: IfMatch = None) -> Response:
    if body.deliver_to is not None or body.deliver_changes is not None:
        needs(Scope.EXPORT)(request)
    places = None if body.deliver_to is None else tuple(body.deliver_to)
    upkeep = audiences.Upkeep(name, body.every, places, body.deliver_changes, number(read_version(if_match)))
    return await answer(request, visitor, "keep", audiences.keep, upkeep, changes=True, write=_first)


@router.get("/{name}/members", summary="Who is in it, a page at a time", responses=gives(members.page, plus=NEXT))
async def page(
    request: Request, visitor: Finder, name: str, refresh: Number = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A cursor stays with the refresh that it began at, so that pages fit together whatever is refreshed meanwhile."""
    place = read_cursor(cursor, "refresh", "start")
    page_of_members = members.Page(name, place.get("refresh", refresh), place.get("start", 0), limit)
    return await answer(request, visitor, "members", members.page, page_of_members, write=_with_cursor)


@router.get("/{name}/moves", summary="Who joined and who left at a refresh, and why", responses=gives(members.moves, plus=NEXT))
async def moves(
    request: Request, visitor: Finder, name: str, refresh: Number = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A page has as many of who joined and of who left. Its cursor stays with the refresh, as that of members does."""
    place = read_cursor(cursor, "refresh", "start")
    moved = members.MovesOf(name, place.get("refresh", refresh), limit, place.get("start", 0))
    return await answer(request, visitor, "moves", members.moves, moved, write=_with_cursor)


@router.get("/{name}/lift", summary="What a past refresh was worth", responses=gives(audiences.lift))
async def lift(request: Request, visitor: Reader, name: str, days: Annotated[int | None, Query(ge=1, le=3650)] = None) -> Response:
    return await answer(request, visitor, "lift", audiences.lift, audiences.Measure(name, days))


@router.post(
    "/{name}/exports",
    summary="The members in a file, by the ids of the source",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}, "application/vnd.apache.parquet": {}}, "description": "The file"}},
)
async def export(visitor: Exporter, name: str, body: ExportBody) -> Response:
    return await run_in_threadpool(files.export, visitor.context, name, body.format, body.holdout)


@router.post("/{name}/deliveries", summary="Send the members to a destination", responses=gives(deliveries.deliver))
async def deliver(request: Request, visitor: Exporter, name: str, body: DeliverBody) -> Response:
    """What was delivered there already is not sent again: it is answered with `repeated`."""
    order = deliveries.Deliver(name, body.to, body.changes)
    return await answer(request, visitor, "deliver", deliveries.deliver, order, changes=True)


@router.get("/{name}/deliveries", summary="What was delivered where, newest first", responses=gives(deliveries.history))
async def delivered(request: Request, visitor: Reader, name: str) -> Response:
    return await answer(request, visitor, "deliveries", deliveries.history, name, lists=True)


def _first(listing: audiences.Listing) -> Any:
    return as_document(listing.audiences[0])


def _with_cursor(members_page: members.Members | members.Moves) -> dict[str, Any]:
    document = as_document(members_page)
    place = {"refresh": members_page.refresh, "start": members_page.next}
    return {**document, "next": None if members_page.next is None else cursor(**place)}
