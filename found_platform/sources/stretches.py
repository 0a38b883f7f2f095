"""Stretches: what a worker reads of a large Parquet file, or of a Delta table.

What belongs here: how files and tables are cut, and an opened one that is cut. What does not: which worker takes what (`workers`).

A row has the number that it has in the whole: in a Parquet file its place there, in a Delta table its place in the files of a
version, in the order in which delta-rs lists them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.parquet as pq
from deltalake import DeltaTable

from found_platform import lake
from found_platform.sources.files import IN_ORDER, Part


@dataclass(frozen=True)
class Stretch:
    """Neighbouring rows `[first, end)`, from 0: of one Parquet file, or of a Delta table at a version those that lie in some of its
    files, or in one of them in the row groups `groups`, the last excluded."""

    first: int
    end: int
    version: int | None = None
    files: tuple[str, ...] = ()
    groups: tuple[int, int] | None = None

    @classmethod
    def read(cls, fields: dict[str, Any]) -> "Stretch":
        """From the fields that JSON has of it."""
        groups = fields["groups"]
        return cls(**{**fields, "files": tuple(fields["files"]), "groups": tuple(groups) if groups else None})


def of_parquet(file: Path, most: int) -> list[Stretch] | None:
    """The stretches of a Parquet file of up to `most` bytes, or one row group; None where it is one, or nothing can be said."""
    size = file.stat().st_size
    if size <= most:
        return None
    try:
        about = pq.read_metadata(file)
    except (pa.ArrowException, OSError):  # whoever reads it says what is wrong with it
        return None
    cut = [Stretch(first, end) for _, _, first, end in _groups(about, size, most)]
    return cut if len(cut) > 1 else None


def of_delta(path: str, most: int, files: int) -> list[Stretch]:
    """The stretches of a Delta table: some files of up to `most` bytes together, or the row groups of a larger one. There is none
    where a file cannot be opened."""
    table = DeltaTable(path)
    try:
        return _of_table(table, most, files)
    except (pa.ArrowException, OSError):  # whoever reads it says what is wrong with it
        return []


def _of_table(table: DeltaTable, most: int, files: int) -> list[Stretch]:
    sizes = {file["path"]: file["size_bytes"] for file in lake.files_of(table)}
    cut: list[Stretch] = []
    names, size, first, end = list[str](), 0, 0, 0

    def close() -> None:
        if names:
            cut.append(Stretch(first, end, table.version(), tuple(names)))

    for name, fragment in lake.fragments(table).items():
        about, bytes_of = fragment.metadata, sizes[name]
        if names and (size + bytes_of > most or len(names) == files):
            close()
            names, size, first = [], 0, end
        if bytes_of > most:
            groups = _groups(about, bytes_of, most)
            cut += [
                Stretch(end + start, end + stop, table.version(), (name,), (group, last)) for group, last, start, stop in groups
            ]
            end = first = end + about.num_rows
            continue
        names.append(name)
        size, end = size + bytes_of, end + about.num_rows
    close()
    return cut


def _groups(about: pq.FileMetaData, size: int, most: int) -> Iterator[tuple[int, int, int, int]]:
    """Neighbouring row groups of up to `most` of a file's bytes, one at least: the first, the one after the last, and of rows
    alike. Of a file without rows there is none."""
    a_row = size / max(about.num_rows, 1)
    group, first, end = 0, 0, 0
    for number in range(about.num_row_groups):
        rows = about.row_group(number).num_rows
        if end > first and (end + rows - first) * a_row > most:
            yield group, number, first, end
            group, first = number, end
        end += rows
    if end > first:
        yield group, about.num_row_groups, first, end


def cut(con: duckdb.DuckDBPyConnection, part: Part, stretch: Stretch) -> Part:
    """A stretch of a file or table that was opened."""
    if stretch.version is None:
        within = f"file_row_number >= {stretch.first} AND file_row_number < {stretch.end}"  # others are not read: DuckDB sees to it
        return replace(part, relation=f"(SELECT * FROM {part.relation} WHERE {within})")
    rows: Any = lake.files_as_arrow(DeltaTable(part.file, version=stretch.version), stretch.files)
    if stretch.groups is not None:
        (fragment,) = rows.get_fragments()
        some = fragment.subset(row_group_ids=list(range(*stretch.groups)))
        rows = pad.FileSystemDataset([some], rows.schema, rows.format, rows.filesystem)
    con.register(part.relation, rows)
    return replace(part, number=f"{IN_ORDER} + {stretch.first}")
