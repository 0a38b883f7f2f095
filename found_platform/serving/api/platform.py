"""Models, data and the audit: what serves, what is there, what drifted, who asked what; and the changes that an operator makes."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from found_platform.app import audit, deliveries, graph, models, monitoring, retention, users
from found_platform.app.access import Scope
from found_platform.app.document import as_document
from found_platform.app.shapes import Written
from found_platform.serving.api.answers import answer, cursor, read_cursor
from found_platform.serving.api.described import gives
from found_platform.serving.api.editing import IfMatch, IfNoneMatch, edited_version, etag, read_version
from found_platform.serving.api.requests import (
    BackfillBody,
    DestinationBody,
    EraseBody,
    ExpireBody,
    HoldBody,
    PromoteBody,
    PublishBody,
    RollbackBody,
    SuppressBody,
)
from found_platform.serving.doors import Visitor, needs

router = APIRouter(tags=["models and data"])
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Auditor = Annotated[Visitor, Depends(needs(Scope.AUDIT))]
Operator = Annotated[Visitor, Depends(needs(Scope.OPERATE))]
Admin = Annotated[Visitor, Depends(needs(Scope.ADMIN))]

NEXT = {"next": {"type": ["string", "null"], "description": "The `cursor` of the following page; null at the end."}}
PAGE: dict[int | str, dict[str, Any]] = {200: {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}}
REMOVED = Written("Removed", "What is gone, by its name.", plus={"removed": str})


@router.get("/models", summary="The model versions, newest first", responses=gives(models.list_versions))
async def list_versions(request: Request, visitor: Reader) -> Response:
    return await answer(request, visitor, "models", models.list_versions, lists=True)


@router.get("/models/{version}", summary="One version, by number or alias, with its card", responses=gives(models.show))
async def show(request: Request, visitor: Reader, version: str) -> Response:
    return await answer(request, visitor, "model", models.show, version)


@router.post("/promotions", summary="Make a version that passed the gate the champion", responses=gives(models.promote))
async def promote(request: Request, visitor: Admin, body: PromoteBody) -> Response:
    return await answer(request, visitor, "promote", models.promote, body.version, changes=True)


@router.post("/rollbacks", summary="Go back to what served before", responses=gives(models.roll_back_model))
async def roll_back(request: Request, visitor: Admin, body: RollbackBody) -> Response:
    use_case = models.roll_back_model if body.what == "model" else models.roll_back_index
    return await answer(request, visitor, "rollback", use_case, changes=True)


@router.post("/publications", summary="Publish the users of a cutoff anew", responses=gives(models.publish))
async def publish(request: Request, visitor: Operator, body: PublishBody) -> Response:
    return await answer(request, visitor, "publish", models.publish, body.cutoff, changes=True)


@router.post("/backfills", summary="Make days of events and features that are missing or stale", responses=gives(graph.backfill))
async def backfill(request: Request, visitor: Operator, body: BackfillBody) -> Response:
    days = graph.Backfill(body.first, body.last, tuple(body.assets), force=body.force)
    return await answer(request, visitor, "backfill", graph.backfill, days, changes=True)


@router.get(
    "/status",
    summary="What is there of every asset, and what is stale",
    responses=gives(tuple[graph.AssetState, ...], key="assets"),
)
async def status(request: Request, visitor: Reader) -> Response:
    return await answer(request, visitor, "status", graph.status, write=lambda state: {"assets": as_document(state.assets)})


@router.get("/drift", summary="The drift reports, newest first", responses=gives(monitoring.drift))
async def drift(request: Request, visitor: Reader) -> Response:
    return await answer(request, visitor, "drift", monitoring.drift, lists=True)


@router.get("/drift/{day}/page", summary="Evidently's page of a day, as a file", response_class=FileResponse, responses=PAGE)
async def drift_page(visitor: Reader, day: dt.date) -> Response:
    path = await run_in_threadpool(monitoring.drift_page, visitor.context, day)
    return FileResponse(path, filename=f"drift-{day}.html")  # a download: its scripts are not run here


@router.get("/suppressions", summary="Who is suppressed, by pseudonym", responses=gives(users.list_suppressed))
async def list_suppressed(request: Request, visitor: Operator) -> Response:
    return await answer(request, visitor, "suppress list", users.list_suppressed)


@router.post("/suppressions", summary="Keep users out of every audience", responses=gives(users.suppress))
async def suppress(request: Request, visitor: Operator, body: SuppressBody) -> Response:
    return await answer(request, visitor, "suppress", users.suppress, users.Suppress(tuple(body.users), body.reason), changes=True)


@router.post("/suppressions/lifted", summary="Let users be targeted again", responses=gives(users.lift_suppression))
async def lift_suppression(request: Request, visitor: Operator, body: SuppressBody) -> Response:
    lifting = users.Suppress(tuple(body.users), body.reason)
    return await answer(request, visitor, "suppress lift", users.lift_suppression, lifting, changes=True)


@router.post("/erasures", summary="Forget users for good; the certificate names nobody", responses=gives(users.erase))
async def erase(request: Request, visitor: Admin, body: EraseBody) -> Response:
    return await answer(request, visitor, "erase", users.erase, users.Erase(tuple(body.users), body.reason), changes=True)


@router.post(
    "/expirations", summary="Let go of what is older than the setting retention lets it be", responses=gives(retention.expire)
)
async def expire(request: Request, visitor: Admin, body: ExpireBody) -> Response:
    return await answer(request, visitor, "expire", retention.expire, retention.Expire(body.dry_run), changes=True)


@router.get(
    "/holds", summary="The legal holds; of their persons, how many there are", responses=gives(retention.list_holds, key="holds")
)
async def list_holds(request: Request, visitor: Admin) -> Response:
    return await answer(
        request, visitor, "holds", retention.list_holds, lists=True, write=lambda holds: {"holds": as_document(holds)}
    )


@router.put(
    "/holds/{name}", summary="Keep persons and tables from being erased and from expiring", responses=gives(retention.place_hold)
)
async def place_hold(request: Request, visitor: Admin, name: str, body: HoldBody) -> Response:
    hold = retention.PlaceHold(name, tuple(body.users) or None, tuple(body.tables), body.reason)
    return await answer(request, visitor, "hold add", retention.place_hold, hold, changes=True)


@router.delete("/holds/{name}", summary="End a legal hold", responses=gives(retention.remove_hold))
async def remove_hold(request: Request, visitor: Admin, name: str) -> Response:
    return await answer(request, visitor, "hold remove", retention.remove_hold, name, changes=True)


@router.get("/destinations", summary="Where members may be sent", responses=gives(deliveries.list_destinations))
async def destinations(request: Request, visitor: Reader) -> Response:
    """Addresses and options are for an admin alone; others get the names to deliver to."""

    def write(places: list[Any]) -> Any:
        return [_place(visitor, place) for place in places]

    return await answer(request, visitor, "destinations", deliveries.list_destinations, lists=True, write=write)


@router.get("/destinations/{name}", summary="One place for members, with its ETag", responses=gives(deliveries.destination))
async def show_destination(request: Request, visitor: Reader, name: str) -> Response:
    """Address and options are for an admin alone."""
    return await answer(
        request,
        visitor,
        "destination",
        deliveries.destination,
        name,
        lists=True,
        headers=lambda place: {"etag": etag(place.version)},
        write=lambda place: _place(visitor, place),
    )


@router.put(
    "/destinations/{name}",
    summary="Name a place for members; the secret of a webhook is in this answer alone",
    responses=gives(deliveries.add_destination),
)
async def add_destination(
    request: Request,
    visitor: Admin,
    name: str,
    body: DestinationBody,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    after = edited_version(if_match, if_none_match)
    destination = deliveries.NewDestination(name, body.address, body.options, after)
    return await answer(
        request,
        visitor,
        "destination add",
        deliveries.add_destination,
        destination,
        changes=True,
        headers=lambda named: {"etag": etag(named.destination.version)},
    )


@router.delete("/destinations/{name}", summary="Forget a destination", responses=gives(REMOVED))
async def remove_destination(request: Request, visitor: Admin, name: str, if_match: IfMatch = None) -> Response:
    forgotten = deliveries.RemoveDestination(name, read_version(if_match))
    removing = deliveries.remove_destination
    return await answer(
        request, visitor, "destination remove", removing, forgotten, changes=True, write=lambda _: {"removed": name}
    )


def _place(visitor: Visitor, place: Any) -> Any:
    return as_document(place) if visitor.may(Scope.ADMIN) else {"name": place.name}


@router.get("/audit", summary="Who asked what, newest first, a page at a time", responses=gives(audit.entries, plus=NEXT))
async def entries(
    request: Request,
    visitor: Auditor,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    who: Annotated[str | None, Query(max_length=100)] = None,
    audience: Annotated[str | None, Query(max_length=100)] = None,
    action: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """A cursor says how many rows there were when the first page was read, so that rows written meanwhile move nothing."""
    place = read_cursor(cursor, "rows", "start")
    part = audit.Part(place.get("start", 0), limit, who, audience, action, place.get("rows"))
    return await answer(request, visitor, "audit", audit.entries, part, lists=True, write=lambda log: _page(log, part))


def _page(log: audit.Audit, part: audit.Part) -> dict[str, Any]:
    read = part.start + len(log.entries)
    following = cursor(rows=log.count, start=read) if log.entries and read < log.count else None
    return {**as_document(log), "next": following}
