"""What commands print with: the terminal, tables for it, and one JSON document for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table

ROOM = 16
"""Columns of a terminal that a cell keeps while others can give way: a time to the minute fits, and so does a figure."""
LEAST = 8
"""That words keep in any case."""


class Grid(Table):
    """A table in which words are folded before a figure or a date is, and nothing is cut off.

    Where the terminal is narrow the column of words that may give way does first, then the widest ones, then the space between.
    """

    def __init__(self, *, gives_way: str | None = None):
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False)
        self._gives_way = gives_way

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See `rich.table.Table`."""
        self._fit(options.max_width)
        yield from super().__rich_console__(console, options)

    def _fit(self, terminal_width: int) -> None:
        widths = [_width(column.header, *column.cells) for column in self.columns]
        cells = [_width(*column.cells) for column in self.columns]
        words = [max(cell, _width(*str(column.header).split())) for cell, column in zip(cells, self.columns, strict=True)]
        gives_way = [column.header == self._gives_way for column in self.columns]
        names = [place == 0 or flexible for place, flexible in enumerate(gives_way)]
        stages = (  # between columns, and the least that each keeps
            (3, [ROOM if flexible else width for flexible, width in zip(gives_way, widths, strict=True)]),
            (3, [ROOM] * len(widths)),
            (2, [max(ROOM, word) for word in words]),
            (2, words),  # a title of several words takes several lines
            (2, [LEAST if name else word for name, word in zip(names, words, strict=True)]),
            (2, [LEAST if name else cell for name, cell in zip(names, cells, strict=True)]),  # a title is broken within a word
        )
        fits = False
        for space, narrowest in stages:
            room = terminal_width - space * (len(widths) - 1) - 2
            self.collapse_padding = space == 2
            if fits := _shrink(widths, narrowest, room):
                break
        for column, width in zip(self.columns, widths, strict=True):
            column.overflow = "fold"
            column.width = width if fits else None


def _width(*cells: RenderableType) -> int:
    return max((cell_len(line) for cell in cells for line in str(cell).splitlines()), default=0)


def _shrink(widths: list[int], narrowest: Sequence[int], room: int) -> bool:
    """Takes what is too much from the widest columns, down to what each keeps. Whether they fit."""
    while (excess := sum(widths) - room) > 0:
        places = [place for place, width in enumerate(widths) if width > narrowest[place]]
        if not places:
            return False
        widest = max(places, key=lambda place: (widths[place], place))
        below = max((width for width in widths if width < widths[widest]), default=0)
        widths[widest] -= min(excess, max(widths[widest] - max(below, narrowest[widest]), 1))
    return True


class _CardTable(TableElement):
    """A table of a document, as those of commands are."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = Grid()
        for cell in self.header.row.cells if self.header and self.header.row else ():
            grid.add_column(cell.content.copy())
        for row in self.body.rows if self.body else ():
            grid.add_row(*(cell.content for cell in row.cells))
        yield grid


class Document(Markdown):
    """A text in Markdown for a terminal."""

    elements = {**Markdown.elements, "table_open": _CardTable}  # noqa: RUF012 (as the class above has it)


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
        wrap: the one column, of words, that gives way first where the terminal is narrow.
        fold: a wide table of figures: every column but the first folds what does not fit.
    """
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True) if fold else Grid(gives_way=wrap)
    words = {*(columns[:1] if left is None else left), wrap}
    for place, name in enumerate(columns):
        grid.add_column(
            name,
            justify="left" if name in words else "right",
            no_wrap=fold and place == 0,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def write_utf_8(document: bytes) -> None:
    """A document for programs on stdout: a pipe gets every byte as it is, whatever the encoding of the terminal is."""
    if sys.stdout.isatty() or (pipe := getattr(sys.stdout, "buffer", None)) is None:
        sys.stdout.write(document.decode())
        return
    sys.stdout.flush()
    pipe.write(document)


def print_json(result: Any) -> None:
    """A result as one JSON document on stdout."""
    from found_platform.app.document import as_document

    json.dump(as_document(result), sys.stdout, indent=1)
    print()
