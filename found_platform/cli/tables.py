"""What commands print with: the terminal, tables for it, and one JSON document for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def terminal(*, stderr: bool = False) -> Console:
    """A console on the stdout (or stderr) of now. It prints words as they are: none are taken for markup or coloured."""
    return Console(file=sys.stderr if stderr else sys.stdout, highlight=False, markup=False)


def table(
    *columns: str,
    left: Iterable[str] | None = None,
    wrap: str | None = None,
    fold: bool = False,
    rows: Iterable[Sequence[str]] = (),
) -> Table:
    """A table of these rows of cells.

    Args:
        left: columns of words; the others hold figures and stand to the right. By default the first column alone.
        wrap: the one column, of words, that gives way where the terminal is narrow; without it every column may.
        fold: a wide table of figures: every column but the first folds what does not fit.
    """
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=fold)
    words = {*(columns[:1] if left is None else left), wrap}
    for place, name in enumerate(columns):
        grid.add_column(
            name,
            justify="left" if name in words else "right",
            no_wrap=place == 0 if fold else wrap is not None and name != wrap,
            overflow="fold" if fold else "ellipsis",
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def print_json(result: Any) -> None:
    """A result as one JSON document on stdout."""
    from found_platform.app.document import as_document

    json.dump(as_document(result), sys.stdout, indent=1)
    print()
