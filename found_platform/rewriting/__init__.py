"""Query rewriting (FOUND, section 4.4.1): a demand in a person's words becomes sentences in the language of the templates.

Two rewriters with one interface: `grounded` needs only the text encoder, `llm` asks an instruct model and checks what it says.
"""

import datetime as dt

from found_platform.errors import BadInput
from found_platform.rewriting import language_model
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.interface import Match, Rewriter, Rewriting
from found_platform.rewriting.language_model import LanguageModelRewriter
from found_platform.rewriting.retrieval import GroundedRewriter
from found_platform.settings import Settings

__all__ = ["Match", "Rewriter", "Rewriting", "grounded", "llm", "of_home"]


def of_home(settings: Settings, cutoff: dt.date, ground: Ground | None = None) -> Rewriter:
    """The rewriter of a home: the language model that its settings name, else the grounded one. Raises BadInput as `llm`.

    Args:
        ground: what a demand can be about; by default what the lake has now of what was known before 00:00 UTC of the cutoff.
    """
    if settings.rewriter is None and settings.rewriter_endpoint is None:
        return grounded(settings, cutoff, ground)
    return llm(settings, cutoff, settings.rewriter, settings.rewriter_endpoint, settings.rewriter_host, ground)


def grounded(settings: Settings, cutoff: dt.date, ground: Ground | None = None) -> Rewriter:
    """The default rewriter. Arguments as `of_home`."""
    return GroundedRewriter(settings, cutoff, ground)


def llm(
    settings: Settings,
    cutoff: dt.date,
    model: str | None,
    endpoint: str | None = None,
    allow_host: str | None = None,
    ground: Ground | None = None,
) -> Rewriter:
    """A rewriter by a language model: `model` by directory or hub name, or the one of that name behind `endpoint`.

    Raises BadInput where the model is not there, or the endpoint is on another machine that `allow_host` does not name.
    """
    if not model:
        raise BadInput("Say which model: a directory or a hub name, or with an endpoint the name it has there.")
    answer = language_model.endpoint(endpoint, model, allow_host) if endpoint else language_model.local(model)
    return LanguageModelRewriter(settings, cutoff, model.rstrip("/").rsplit("/", 1)[-1], answer, ground)
