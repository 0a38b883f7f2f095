"""Users for a question, what an audience would be, and why somebody is in it or not. Nothing is saved."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from found_platform.app import audiences, lookups, members, offers, prompts, rewriting, users
from found_platform.app.access import Scope
from found_platform.serving.api.answers import ACCEPTED, answer
from found_platform.serving.api.requests import ConsentBody, FindBody, PreviewBody, RewriteBody, TuneBody, UserBody, WhyBody
from found_platform.serving.doors import Visitor, needs

router = APIRouter(tags=["look-ups"])
Finder = Annotated[Visitor, Depends(needs(Scope.FIND))]
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Editor = Annotated[Visitor, Depends(needs(Scope.EDIT))]


@router.post("/look-ups", summary="The best users for a question", responses=ACCEPTED)
async def find(request: Request, visitor: Finder, body: FindBody) -> Response:
    """Users by pseudonym, or, with the scope `reveal`, by the ids of the source."""
    return await answer(request, visitor, "find", lookups.find, body.find())


@router.post("/previews", summary="What an audience would be, with every gate counted", responses=ACCEPTED)
async def preview(request: Request, visitor: Finder, body: PreviewBody) -> Response:
    drafted = audiences.Previewing(body.draft.draft() if body.draft else None, body.name)
    return await answer(request, visitor, "preview", audiences.preview, drafted)


@router.post("/why", summary="Why a user is in an audience, or which gate keeps the user out", responses=ACCEPTED)
async def why(request: Request, visitor: Finder, body: WhyBody) -> Response:
    question = members.Why(body.user, body.draft.draft() if body.draft else None, body.name)
    return await answer(request, visitor, "why", members.why, question)


@router.post("/rewritings", summary="What a sentence is understood as", responses=ACCEPTED)
async def rewrite(request: Request, visitor: Finder, body: RewriteBody) -> Response:
    return await answer(request, visitor, "rewrite", rewriting.rewrite, rewriting.Rewrite(body.sentence))


@router.get("/published", summary="What answers look-ups, and the columns that a filter may name", responses=ACCEPTED)
async def published(request: Request, visitor: Reader) -> Response:
    return await answer(request, visitor, "published", offers.published, lists=True)


@router.get("/demands", summary="Demands that this home's own data can answer, each with its size", responses=ACCEPTED)
async def demands(request: Request, visitor: Finder) -> Response:
    return await answer(request, visitor, "demands", offers.demands)


@router.put("/prompts/{name}", summary="Tune a prompt from a few users", responses=ACCEPTED)
async def tune(request: Request, visitor: Editor, name: str, body: TuneBody) -> Response:
    seeds = tuple(body.seeds) if body.seeds is not None else None
    negatives = tuple(body.negatives) if body.negatives is not None else None
    tuned = prompts.Tune(name, body.demand, seeds, negatives)
    return await answer(request, visitor, "tune", prompts.tune, tuned, changes=True)


@router.post("/users", summary="What is known of one user", responses=ACCEPTED)
async def show_user(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.REVEAL))], body: UserBody) -> Response:
    return await answer(request, visitor, "user show", users.show, users.Show(body.user, body.as_of, body.online))


@router.post("/users/consent", summary="What one user agrees to, or did at a moment", responses=ACCEPTED)
async def consent(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.REVEAL))], body: ConsentBody) -> Response:
    return await answer(request, visitor, "user consent", users.consent, users.ConsentOf(body.user, body.at))
