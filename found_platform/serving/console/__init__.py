"""The console: pages for people, made on the server. Forms work without scripts; with them, answers appear while one types.

A module a page or a few; `rendering` puts a page together, `forms` reads what was sent, `charts` computes what charts draw. What
does not belong here: numbers of its own. A page shows what a use case returned.
"""

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from found_platform.serving.console import build, entry, platform, saved
from found_platform.serving.console.rendering import STATIC, problem_page

__all__ = ["mount", "problem_page"]


def mount(app: FastAPI) -> None:
    """Adds the console's pages to an app; they are no part of the API's documentation."""
    app.mount("/static", StaticFiles(directory=STATIC), "static")
    for page in (build, saved, platform, entry):
        app.include_router(page.router, include_in_schema=False)
