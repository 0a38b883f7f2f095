"""The page where an audience is built: a form and, beside it, what it would be now. Nothing is saved before somebody says so."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from found_platform.app import audiences, lookups, members, offers, prompts
from found_platform.app.access import Scope
from found_platform.app.audiences import AudiencePage
from found_platform.errors import BadInput
from found_platform.serving.console import forms, work
from found_platform.serving.console.forms import BuildForm
from found_platform.serving.console.rendering import is_part, page, part
from found_platform.serving.doors import Visitor, needs

router = APIRouter()
Finder = Annotated[Visitor, Depends(needs(Scope.FIND))]
Editor = Annotated[Visitor, Depends(needs(Scope.EDIT))]


@router.get("/")
async def show(
    request: Request,
    visitor: Finder,
    sentence: str = "",
    prompt: str = "",
    where: str = "",
    audience: str = "",
    demands: str = "",
) -> Response:
    """The form, empty, of a sentence or a tuned prompt, or of a saved audience that is edited."""
    form = BuildForm(sentence=sentence.strip(), prompt=prompt.strip(), where=where.strip())
    if audience:
        form = _of_audience(await work.read(visitor, audiences.show, audience))
    published = await work.read(visitor, offers.published)
    saved = await work.read(visitor, audiences.list_saved)
    values: dict[str, Any] = {}
    if not form.is_empty:
        values = await _seen(request, visitor, form, published)
    elif demands:
        values["offers"] = await work.ask(request, visitor, offers.demands)
    return page(request, "build.html", visitor, form=form, published=published, saved=saved, forms=forms, **{**NOTHING, **values})


NOTHING: dict[str, Any] = {"previewed": None, "error": None, "standing": None, "user": "", "offers": None, "tuned": None}


@router.post("/build")
async def preview(request: Request, visitor: Finder) -> Response:
    """What the form describes: the part with the answer for a script, the whole page without one."""
    form = forms.of_build(await forms.read(request))
    published = await work.read(visitor, offers.published)
    if form.is_empty and is_part(request):
        return part("_start.html", visitor=visitor)
    values = {} if form.is_empty else await _seen(request, visitor, form, published)
    values = {**NOTHING, **values, "form": form, "published": published, "forms": forms}
    if is_part(request):
        return part("_preview.html", visitor=visitor, **values)
    saved = await work.read(visitor, audiences.list_saved)
    return page(request, "build.html", visitor, saved=saved, **values)


@router.post("/build/conditions")
async def conditions(request: Request, visitor: Finder) -> Response:
    """The rows of the filter builder, each with the input that its column takes, and an empty one."""
    form = forms.of_build(await forms.read(request))
    return part("_conditions.html", form=form, published=await work.read(visitor, offers.published), forms=forms)


@router.post("/build/why")
async def why(request: Request, visitor: Finder) -> Response:
    """Why a user is in what the form describes, or not."""
    sent = await forms.read(request)
    form, user = forms.of_build(sent), sent.get("user")
    published = await work.read(visitor, offers.published)
    standing, error = None, None
    try:
        if not user:
            raise BadInput("Paste the id of a user, or a pseudonym.")
        draft = form.draft(published.columns, published.users)
        standing = await work.ask(request, visitor, members.why, members.Why(user, draft, form.name if form.after else None))
    except BadInput as refusal:
        error = str(refusal)
    if is_part(request):
        return part("_standing.html", standing=standing, error=error, user=user, visitor=visitor)
    saved = await work.read(visitor, audiences.list_saved)
    values = {} if form.is_empty else await _seen(request, visitor, form, published)
    values = {**NOTHING, **values, "standing": standing, "user": user}
    values["error"] = values["error"] or error
    return page(request, "build.html", visitor, form=form, published=published, saved=saved, forms=forms, **values)


@router.post("/build/tune")
async def tune(request: Request, visitor: Editor) -> Response:
    """Makes a prompt of the sentence and of people who are known, and shows whom it finds."""
    form = forms.of_build(await forms.read(request))
    values, status = {}, 200
    try:
        if not form.sentence:
            raise BadInput("Say in one sentence whom you want to reach: people who you know sharpen it, and do not replace it.")
        if not form.seeds:
            raise BadInput("Paste the ids of people who are wanted, three at least, or choose a file of them.")
        wish = prompts.Tune(form.prompt_name, form.sentence, form.seeds, form.negatives or None, form.prompt_after)
        tuned = await work.ask(request, visitor, prompts.tune, wish, changes=True)
        values["tuned"] = tuned
        form = replace(form, prompt=form.prompt_name, prompt_after=tuned.made_from)
    except BadInput as refusal:
        values, status = {"error": str(refusal)}, 422
    published = await work.read(visitor, offers.published)
    saved = await work.read(visitor, audiences.list_saved)
    if status == 200:
        values |= await _seen(request, visitor, form, published)
    values = {**NOTHING, **values}
    return page(request, "build.html", visitor, status, form=form, published=published, saved=saved, forms=forms, **values)


@router.post("/build/save")
async def save(request: Request, visitor: Editor) -> Response:
    """Keeps what the form describes, as a new audience or the next version of the one that is edited."""
    form = forms.of_build(await forms.read(request))
    published = await work.read(visitor, offers.published)
    try:
        draft = form.draft(published.columns, published.users)
        saving = audiences.Save(form.name, draft, int(form.after) if form.after.isdecimal() else 0)
        if not form.name:
            raise BadInput("Give the audience a name of small letters, digits, - and _.")
        return await work.change(request, visitor, "save", audiences.save, saving, leads_to=f"/audiences/{form.name}")
    except BadInput as refusal:
        saved = await work.read(visitor, audiences.list_saved)
        values = {**NOTHING, **(await _seen(request, visitor, form, published)), "error": str(refusal)}
        return page(request, "build.html", visitor, 422, form=form, published=published, saved=saved, forms=forms, **values)


@router.get("/build")
@router.get("/build/why")
@router.get("/build/tune")
@router.get("/build/save")
async def again() -> Response:
    """Whoever opens the address of a form that was sent comes to the form."""
    return RedirectResponse("/", 303)


@router.get("/build/demands")
async def first_demands(request: Request, visitor: Finder) -> Response:
    """Demands that this home can answer."""
    return part("_demands.html", offers=await work.ask(request, visitor, offers.demands))


async def _seen(request: Request, visitor: Visitor, form: BuildForm, published: offers.Published) -> dict[str, Any]:
    """The preview of a form, or what is wrong with it."""
    try:
        draft = form.draft(published.columns, published.users)
        # an audience that is edited is left out of its own overlaps, and its last size is told
        drafted = audiences.Previewing(draft, form.name if form.after else None)
        return {"previewed": await work.ask(request, visitor, audiences.preview, drafted)}
    except BadInput as refusal:
        return {"error": str(refusal)}


def _of_audience(saved: AudiencePage) -> BuildForm:
    """The form of a saved audience."""
    specification = saved.specification
    question, size = specification.question, specification.size
    form = BuildForm(
        sentence=question.sentence or "",
        prompt=question.prompt or "",
        outcome=lookups.write_outcome(question.outcome) if question.outcome else "",
        phrases="\n".join(question.phrases or ()),
        mode=question.mode,
        horizon_days=str(question.horizon_days or ""),
        rank=question.rank or "",
        purpose=question.purpose or "",
        anyway=question.anyway,
        where=question.where or "",
        without=specification.without_audiences,
        holdout=f"{100 * specification.holdout:g}",
        name=specification.audience,
        after=str(specification.version),
        kept_out=len(specification.without_users),
    )
    if size.top is not None:
        form = replace(form, size_kind="top", top=str(size.top))
    elif size.min_score is not None:
        form = replace(form, size_kind="min_score", min_score=f"{size.min_score:g}")
    else:
        form = replace(form, level=size.level or lookups.Size(level="balanced").level or "balanced")
    fields = {"horizon_days": form.horizon_days, "holdout": form.holdout, "top": form.top, "min_score": form.min_score}
    return replace(form, form=forms.Form({name: (value,) for name, value in fields.items()}))
