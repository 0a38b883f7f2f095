"""What a use case is, and the list of all: what each does to a home, and the rows that it leaves in the audit."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

from found_platform import damage
from found_platform.app.context import Context
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy.actor import acting

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class Effect(StrEnum):
    """READS changes nothing and names nobody; NAMES shows persons or their pseudonyms; CHANGES changes the state of a home."""

    READS = "reads"
    NAMES = "names"
    CHANGES = "changes"


@dataclass(frozen=True)
class UseCase:
    """One thing that can be asked. `rows` are the actions of the rows in the audit that one call leaves, oldest first."""

    effect: Effect
    rows: tuple[str, ...]
    function: Callable[..., Any]


USE_CASES: dict[str, UseCase] = {}
"""By name, such as `lookups.find`. A module's use cases are here once it is imported."""


def use_case(effect: Effect, *rows: str) -> Callable[[Callable[Concatenate[Context, P], R]], Callable[Concatenate[Context, P], R]]:
    """Declares a function over a context as a use case: whatever it does is done for the context's actor.

    Damaged files and a full disk are JobFailed, in a sentence.
    """

    def declare(function: Callable[Concatenate[Context, P], R]) -> Callable[Concatenate[Context, P], R]:
        @functools.wraps(function)
        def acting_call(context: Context, *args: P.args, **kwargs: P.kwargs) -> R:
            with acting(context.actor):
                try:
                    return function(context, *args, **kwargs)
                except (BadInput, JobFailed) as error:
                    error.args = (context.sentence(str(error)),)
                    raise
                except Exception as error:
                    if (harm := damage.of(error, context.home)) is None:
                        raise
                    log.info("%s failed", function.__name__, exc_info=error)
                    raise JobFailed(context.sentence(str(harm))) from error

        USE_CASES[f"{function.__module__.rpartition('.')[2]}.{function.__name__}"] = UseCase(effect, rows, acting_call)
        return acting_call

    return declare
