"""Query rewriting (FOUND, section 4.4.1): a demand in a person's words becomes sentences in the language of the templates.

Two rewriters with one interface: `grounded` needs only the text encoder, `llm` asks an instruct model and checks what it says.
"""

import datetime as dt

from found_platform.settings import Settings
from found_platform.targeting.rewriting.interface import Match, Rewriter, Rewriting
from found_platform.targeting.rewriting.retrieval import GroundedRewriter

__all__ = ["Match", "Rewriter", "Rewriting", "grounded"]


def grounded(settings: Settings, cutoff: dt.date) -> Rewriter:
    """The default rewriter, on what was known before 00:00 UTC of the cutoff."""
    return GroundedRewriter(settings, cutoff)
