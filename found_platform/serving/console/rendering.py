"""Pages and parts of pages: templates, how values are written, and problems as pages."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from found_platform.app import lookups, offers
from found_platform.app.access import Scope
from found_platform.errors import BadInput
from found_platform.serving.console import charts
from found_platform.serving.doors import Visitor
from found_platform.serving.problems import Problem
from found_platform.serving.state import server_of

HERE = Path(__file__).parent
STATIC = HERE / "static"


NO_HEADER = re.compile(r"<th[^>]*></th>")
"""A cell above a column of names: a table of Markdown has a header in any case, and an empty one heads nothing."""


TITLES = {
    400: "This cannot be read",
    403: "Not allowed",
    404: "Not found",
    405: "Not here",
    408: "Too slow",
    412: "Somebody else was faster",
    413: "Too long",
    422: "This does not work",
    429: "Too many requests",
    500: "The server failed",
    503: "It did not work",
}
"""Headings of pages that say what was wrong, by status."""

LEFT_BECAUSE = {
    "level": ("scores too low now", "score too low now"),
    "filter": ("does not match the filter any more", "do not match the filter any more"),
    "consent": ("does not consent", "do not consent"),
    "suppression": ("is suppressed", "are suppressed"),
    "exclusions": ("is excluded", "are excluded"),
    "asked": ("has not done before what the demand asks of them", "have not done before what the demand asks of them"),
    "history": ("has no history", "have no history"),
    "unknown": ("is gone from the data", "are gone from the data"),
    "member": ("would be a member again", "would be members again"),
}
"""Why somebody, or several, left an audience, by the gate that keeps them out now."""


def number(value: float | None) -> str:
    """A count, with commas."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 0) -> str:
    if value is None:
        return "–"
    text = f"{value:.{digits}%}"
    return f"{value:.1%}" if digits == 0 and 0 < value < 0.1 else text


def moment(value: Any) -> str:
    """A time, to the minute, UTC."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, dt.datetime) else str(value)


def user(value: str) -> Markup:
    """A user: an id as it is, a pseudonym shortened, with the whole of it on hover and for copying."""
    pseudonym = len(value) == 32 and all(c in "0123456789abcdef" for c in value)
    if not pseudonym:
        return Markup('<span class="user">{}</span>').format(value)
    return Markup('<span class="user pseudonym" title="{0}">{1}…</span>').format(value, value[:10])


def sentence(text: str) -> str:
    """A text that begins with a capital."""
    return text[:1].upper() + text[1:]


def outcome(content: Any) -> str:
    """An outcome that was kept as plain data, in words."""
    try:
        return lookups.in_words(lookups.Question(outcome=lookups.parse_outcome(content)))
    except BadInput:  # an older version kept it, with other keys
        return json.dumps(content)


def question_in_words(question: str | None) -> str:
    """What the audit has of a question, which is JSON, in words."""
    parts = []
    for key, value in (json.loads(question) if question else {}).items():
        if key in ("sentence", "request"):
            parts.insert(0, f"“{value}”" if key == "sentence" else str(value))
        elif key == "outcome":
            parts.insert(0, outcome(value))
        elif value is True:
            parts.append(key.replace("_", " "))
        elif value not in (0, 0.0, False, "auto", [], {}):
            parts.append(f"{key.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return " · ".join(parts)


def _document(html: str) -> str:
    """A document with tables that keyboards can scroll, without empty headers."""
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>')
    return NO_HEADER.sub("<td></td>", html.replace("</table>", "</table></div>"))


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    markdown = MarkdownIt("js-default", {"html": False}).enable("table")
    env.filters.update(number=number, percent=percent, moment=moment, user=user, segment=lambda text: quote(text, safe=""))
    env.filters.update(sentence=sentence, question_in_words=question_in_words, outcome=outcome, in_words=lookups.in_words)
    env.filters["markdown"] = lambda text: Markup(_document(markdown.render(text)))  # raw HTML in it is escaped
    env.filters["inline"] = lambda text: Markup(markdown.renderInline(text))
    env.globals.update(charts=charts, Scope=Scope, TITLES=TITLES, LEFT_BECAUSE=LEFT_BECAUSE)
    return env


ENVIRONMENT = _environment()


def is_part(request: Request) -> bool:
    """Whether a script asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def page(request: Request, template: str, visitor: Visitor | None, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, with who is signed in and what answers look-ups: what answered on it, where something did."""
    previewed, served = values.get("previewed"), values.pop("served", None)
    if served is None:
        served = previewed.preview if previewed else offers.serving(visitor.context) if visitor else {}
    elsewhere = server_of(request).options
    context = {"visitor": visitor, "served": served, "here": request.url.path, "elsewhere": elsewhere, **values}
    return HTMLResponse(ENVIRONMENT.get_template(template).render(context), status)


def part(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A part of a page."""
    return HTMLResponse(ENVIRONMENT.get_template(template).render(values), status)


def problem_page(request: Request, problem: Problem) -> Response:
    """What was wrong, as a page or a part; who is not signed in is led to where one signs in."""
    if is_part(request):
        headers = {"hx-redirect": "/sign-in"} if problem.status == 401 else {}
        answer = part("_problem.html", problem=problem)
        answer.headers.update(headers)
        return answer
    if problem.status == 401 and request.method in ("GET", "HEAD"):
        return RedirectResponse("/sign-in", 303)
    visitor = getattr(request.state, "visitor", None)
    served = {"as_of": None}  # what is published may be what is broken
    return page(request, "problem.html", visitor, problem.status, problem=problem, served=served)
