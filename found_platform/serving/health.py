"""Whether the server lives, whether it is ready, whether a person may operate, and its figures."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from found_platform.app.access import Scope
from found_platform.serving.doors import Visitor, needs
from found_platform.serving.state import server_of

router = APIRouter(tags=["health"])

STATE = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ready", "starting", "broken"]},
        "waits_for": {"type": "string", "description": "What it still loads."},
        "detail": {"type": "string", "description": "What is broken, in a sentence."},
    },
    "additionalProperties": False,
}
READY: dict[int | str, dict[str, Any]] = {
    status: {"description": sentence, "content": {"application/json": {"schema": STATE}}}
    for status, sentence in ((200, "Look-ups are answered"), (503, "Not ready"))
}
FIGURES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The text format of Prometheus", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/healthz", summary="Whether the server lives")
async def healthz() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/readyz", summary="Whether look-ups are answered, and else what they wait for", responses=READY)
async def readyz(request: Request) -> Response:
    server = server_of(request)
    state: dict[str, Any] = {"status": "ready"}
    if server.waits_for:
        state = {"status": "starting", "waits_for": server.waits_for}
    elif server.broken:
        state = {"status": "broken", "detail": server.broken}
    return JSONResponse(state, 200 if state["status"] == "ready" else 503)


@router.get(
    "/operates",
    summary="Whether who asks may operate: for a proxy, before pages that ask nobody",
    status_code=204,
    include_in_schema=False,
)
async def operates(visitor: Annotated[Visitor, Depends(needs(Scope.OPERATE))]) -> Response:
    return Response(status_code=204)


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=FIGURES)
async def metrics(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    text = await run_in_threadpool(server_of(request).metrics.exposition)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
