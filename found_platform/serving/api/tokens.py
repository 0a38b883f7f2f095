"""Who one is, and, for an admin, who may come in."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from found_platform.app import access
from found_platform.app.access import Scope
from found_platform.serving.api.answers import answer
from found_platform.serving.api.described import as_schema, gives
from found_platform.serving.api.requests import TokenBody
from found_platform.serving.doors import Visitor, needs

router = APIRouter(tags=["access"])
Admin = Annotated[Visitor, Depends(needs(Scope.ADMIN))]


ME = {
    "type": "object",
    "required": ["name", "role", "scopes"],
    "properties": {
        "name": {"type": "string"},
        "role": {"enum": [role.value for role in access.Role]},
        "scopes": {"type": "array", "items": {"enum": [scope.value for scope in access.Scope]}},
    },
    "additionalProperties": False,
}


@router.get("/me", summary="By which name one asks, and what one may do", responses=as_schema(ME))
async def me(visitor: Annotated[Visitor, Depends(needs(Scope.READ))]) -> Response:
    grant = visitor.grant
    return JSONResponse({"name": grant.name, "role": grant.role, "scopes": sorted(grant.scopes)})


@router.get("/tokens", summary="Every token, without its secret", responses=gives(access.list_tokens))
async def list_tokens(request: Request, visitor: Admin) -> Response:
    return await answer(request, visitor, "tokens", access.list_tokens, lists=True)


@router.post(
    "/tokens",
    summary="Make a token; its secret is in this answer and nowhere else",
    status_code=201,
    responses=gives(access.create_token, status=201),
)
async def create(request: Request, visitor: Admin, body: TokenBody) -> Response:
    token = access.NewToken(body.name, body.role, body.days)
    return await answer(request, visitor, "token create", access.create_token, token, changes=True, status=201)


@router.delete(
    "/tokens/{name}", summary="Revoke a token and the sessions that were opened with it", responses=gives(access.revoke_token)
)
async def revoke(request: Request, visitor: Admin, name: str) -> Response:
    return await answer(request, visitor, "token revoke", access.revoke_token, name, changes=True)


@router.delete("/sessions/{name}", summary="Sign somebody out of the console everywhere", responses=gives(access.end_sessions))
async def end_sessions(request: Request, visitor: Admin, name: str) -> Response:
    return await answer(request, visitor, "sign out", access.end_sessions, name, changes=True)
