"""How a command asks the application layer: as whom, of which home, and with the output of libraries kept out of the answer."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from found_platform.cli.visible import Terminal

if TYPE_CHECKING:
    from found_platform.app.progress import Listener

R = TypeVar("R")


def ask(use_case: Callable[..., R], home: Path, *request: Any, tell: "Listener | None" = None) -> R:
    """The result of a use case, asked by the account that runs the command. What is printed meanwhile by others is thrown away."""
    from found_platform.app.context import Actor, Context, account
    from found_platform.app.progress import nobody

    with contextlib.redirect_stdout(io.StringIO()):
        return use_case(Context(home, Actor(account(), "cli"), tell or nobody), *request)


def home_option(home: Path) -> str:
    """The option that names a home in a command to run next; nothing where commands take it anyway."""
    from found_platform.app.context import home_option

    return home_option(home)


@contextlib.contextmanager
def stdout_for_answers() -> Iterator[None]:
    """Keeps the process's stdout for what commands print: whatever writes to file descriptor 1 itself goes nowhere.

    This, and the redirection in `ask`, hold for the whole process: only the command line, which is a process, may do so.
    """
    if sys.stdout is not sys.__stdout__ or sys.stdout is None:  # whoever calls `main` from Python reads `sys.stdout` as it is
        yield
        return
    process = sys.stdout
    process.flush()
    answers, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    kind = Terminal if os.isatty(answers) else io.TextIOWrapper
    is_utf_8 = codecs.lookup(process.encoding).name == "utf-8"  # else what it lacks, such as the lines of a table, is spelt out
    errors = process.errors if is_utf_8 else "backslashreplace"
    sys.stdout = printed = kind(os.fdopen(os.dup(answers), "wb"), encoding=process.encoding, errors=errors)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):  # whoever read has seen enough, as `head` does
            printed.close()
        sys.stdout = process
        os.dup2(answers, 1)
        os.close(answers)
        os.close(nowhere)
