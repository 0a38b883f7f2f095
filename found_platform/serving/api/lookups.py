"""Users for a question, what an audience would be, and why somebody is in it or not. Nothing is saved."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from found_platform.app import audiences, lookups, members, offers, prompts, rewriting, users
from found_platform.app.access import Scope
from found_platform.serving.api.answers import answer
from found_platform.serving.api.described import gives
from found_platform.serving.api.editing import IfMatch, IfNoneMatch, edited_version, etag
from found_platform.serving.api.requests import ConsentBody, FindBody, PreviewBody, RewriteBody, TuneBody, UserBody, WhyBody
from found_platform.serving.doors import Visitor, needs

router = APIRouter(tags=["look-ups"])
Finder = Annotated[Visitor, Depends(needs(Scope.FIND))]
Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Editor = Annotated[Visitor, Depends(needs(Scope.EDIT))]


@router.post("/look-ups", summary="The best users for a question", responses=gives(lookups.find))
async def find(request: Request, visitor: Finder, body: FindBody) -> Response:
    """Users by pseudonym, or, with the scope `reveal`, by the ids of the source."""
    return await answer(request, visitor, "find", lookups.find, body.find())


@router.post("/previews", summary="What an audience would be, with every gate counted", responses=gives(audiences.preview))
async def preview(request: Request, visitor: Finder, body: PreviewBody) -> Response:
    drafted = audiences.Previewing(body.draft.draft() if body.draft else None, body.name)
    return await answer(request, visitor, "preview", audiences.preview, drafted)


@router.post("/why", summary="Why a user is in an audience, or which gate keeps the user out", responses=gives(members.why))
async def why(request: Request, visitor: Finder, body: WhyBody) -> Response:
    question = members.Why(body.user, body.draft.draft() if body.draft else None, body.name)
    return await answer(request, visitor, "why", members.why, question)


@router.post("/rewritings", summary="What a sentence is understood as", responses=gives(rewriting.rewrite))
async def rewrite(request: Request, visitor: Finder, body: RewriteBody) -> Response:
    return await answer(request, visitor, "rewrite", rewriting.rewrite, rewriting.Rewrite(body.sentence))


@router.get(
    "/published", summary="What answers look-ups, and the columns that a filter may name", responses=gives(offers.published)
)
async def published(request: Request, visitor: Reader) -> Response:
    return await answer(request, visitor, "published", offers.published, lists=True)


@router.get("/demands", summary="Demands that this home's own data can answer, each with its size", responses=gives(offers.demands))
async def demands(request: Request, visitor: Finder) -> Response:
    return await answer(request, visitor, "demands", offers.demands)


@router.get("/prompts/{name}", summary="What a prompt is made from, with its ETag", responses=gives(prompts.show))
async def show_prompt(request: Request, visitor: Reader, name: str) -> Response:
    return await answer(
        request, visitor, "prompt", prompts.show, name, lists=True, headers=lambda prompt: {"etag": etag(prompt.made_from)}
    )


@router.put("/prompts/{name}", summary="Tune a prompt from a few users", responses=gives(prompts.tune))
async def tune(
    request: Request, visitor: Editor, name: str, body: TuneBody, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    after = edited_version(if_match, if_none_match)
    seeds = tuple(body.seeds) if body.seeds is not None else None
    negatives = tuple(body.negatives) if body.negatives is not None else None
    tuned = prompts.Tune(name, body.demand, seeds, negatives, after)
    return await answer(
        request,
        visitor,
        "tune",
        prompts.tune,
        tuned,
        changes=True,
        headers=lambda prompt: {"etag": etag(prompt.made_from)},
    )


@router.post("/users", summary="What is known of one user", responses=gives(users.show))
async def show_user(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.REVEAL))], body: UserBody) -> Response:
    return await answer(request, visitor, "user show", users.show, users.Show(body.user, body.as_of, body.online))


@router.post("/users/consent", summary="What one user agrees to, or did at a moment", responses=gives(users.consent))
async def consent(request: Request, visitor: Annotated[Visitor, Depends(needs(Scope.REVEAL))], body: ConsentBody) -> Response:
    return await answer(request, visitor, "user consent", users.consent, users.ConsentOf(body.user, body.at))
