"""Which files `found source init` looks at, and which of them belong together: those with the same columns are one table.

What belongs here: walking folders, kinds of files, grouping. What does not: what is in a file (`init_sample`, `init_databases`).
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from found_platform import bounds
from found_platform.errors import BadInput
from found_platform.sources import init_databases
from found_platform.sources.init_columns import columns_of
from found_platform.sources.init_sample import Table, TableKind, plain_name, sample
from found_platform.sources.options import COMPRESSIONS, SUFFIXES

NUMBERS = re.compile(r"[\d\W_]+")
"""What differs in the names of files and folders of one log: dates and numbers."""
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
EXCEL = "a workbook: save each of its sheets as CSV UTF-8"
MAX_FILES = 500
"""Files of a folder that are looked at: more are asked for by name."""


def tables(paths: Sequence[Path]) -> tuple[list[Table], dict[str, str]]:
    """The tables behind files and folders, and why which files of folders are none. Raises BadInput where nothing is left."""
    files, other = _files(paths)
    samples = []
    for file, kind in files:
        try:
            samples += init_databases.tables(file) if kind == "sqlite" else [sample(file, kind)]
        except BadInput as error:
            if file in paths or len(files) == 1:
                raise
            other[str(file)] = str(error).removeprefix(f"{file} ")
    if not samples:
        where = ", ".join(map(str, paths))
        books = [file for file, reason in other.items() if reason == EXCEL]
        if books:
            raise BadInput(f"There is no file that can be read in {where}: {books[0]} is {EXCEL}.")
        raise BadInput(
            f"There is no file that can be read in {where}: known are {', '.join(SUFFIXES)}, SQLite databases and Delta folders."
        )
    grouped: dict[tuple, Table] = {}
    for table in samples:
        file = table.files[0]
        columns = tuple(table.columns) if table.kind != "jsonl" else family(file)
        # a log may be cut into files of any name; two lists, both of ids and names, are of two things
        is_log = any(column.time for column in columns_of(table).values())
        key = (
            table.kind,
            NUMBERS.sub(" ", str(file.parent)),
            file.suffix,
            columns,
            table.delimiter,
            table.encoding,
            table.skip,
            is_log or family(file),
        )
        if key in grouped:
            _add(grouped[key], table)
        else:
            grouped[key] = table
    return list(grouped.values()), other


def family(file: Path) -> str:
    """The name of a file without its numbers; of JSON Lines the rows of one export need not all have the same fields."""
    return NUMBERS.sub(" ", plain_name(file))


def _add(table: Table, more: Table) -> None:
    table.files += more.files
    rows = table.rows
    for name in {**table.columns, **more.columns}:
        values = table.columns.setdefault(name, [None] * rows)
        values += more.columns.get(name, [None] * more.rows)
    table.is_whole = table.is_whole and more.is_whole
    table.types |= more.types
    table.nested += more.nested


def _files(paths: Sequence[Path]) -> tuple[list[tuple[Path, TableKind]], dict[str, str]]:
    files: dict[Path, TableKind] = {}
    other: dict[str, str] = {}
    for path in paths:
        if not os.path.exists(path):
            raise BadInput(f"There is no file {path}: name files or a folder of yours.")
        bounds.check_regular(path)
        for file in _walk(path, path):
            kind = "delta" if file.is_dir() else _kind(file)
            if kind is not None:
                files[file] = kind
            elif file == path:
                if file.suffix.lower() in WORKBOOKS:
                    raise BadInput(f"{file} is {EXCEL}.")
                raise BadInput(
                    f"{file} is none of {', '.join(SUFFIXES)} (text files also with {' or '.join(COMPRESSIONS)}) and no "
                    "SQLite database: convert it."
                )
            else:
                other[str(file)] = EXCEL if file.suffix.lower() in WORKBOOKS else "its name is of no kind that can be read"
        if len(files) > MAX_FILES:
            raise BadInput(
                f"{path} holds more than {MAX_FILES} files: name a few of each kind, and put a pattern into `path` after it."
            )
    return list(files.items()), other


def _walk(path: Path, top: Path) -> Iterator[Path]:
    """The files and Delta tables at a path, in the order of their names, without hidden ones and source files.

    Raises BadInput for a link that leads out of the folder `top`.
    """
    if path != top:
        bounds.check_within(path, top, str(top))
    if path.is_file() or (path / "_delta_log").is_dir():
        yield path
    elif path.is_dir():  # a pipe or a device is none
        for child in sorted(path.iterdir()):
            if not child.name.startswith((".", "_")) and child.suffix.lower() not in (".yaml", ".yml", ".md"):
                yield from _walk(child, top)


def _kind(file: Path) -> TableKind | None:
    name = file.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return SUFFIXES.get(Path(name).suffix) or ("sqlite" if init_databases.is_database(file) else None)
