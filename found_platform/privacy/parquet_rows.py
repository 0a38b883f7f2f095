"""Rows of Parquet files that belong to users: found by their cells, and left out of a file that is written anew.

What belongs here: one file at a time. What does not: which users, and which files (`found_platform.erasure`, `sources`).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import os
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from found_platform.home import PRIVATE_FILE

Wanted = Callable[[str], Collection[str]]
"""Of a column's name, the cells that belong to a user."""


def of_users(table: pa.Table, cells: Wanted) -> pa.Array:
    """(N,) bool: the rows with a cell, or an item of a list, that is one of these. Texts, bytes and whole numbers are compared."""
    mask = pa.array([False] * table.num_rows, pa.bool_()) if table.num_rows else pa.array([], pa.bool_())
    for name, column in zip(table.column_names, table.columns, strict=True):
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(column, pa.ChunkedArray):  # too large for one
            column = pa.concat_arrays(column.chunks)
        if (hits := _hits(column, cells(name))) is not None:
            mask = pc.or_(mask, pc.fill_null(hits, False))
    return mask


def _hits(column: pa.Array, cells: Collection[str]) -> pa.Array | None:
    kind = column.type
    if not cells:
        return None
    if pa.types.is_dictionary(kind):
        return _hits(column.dictionary_decode(), cells)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _hits(column.flatten(), cells)
        if inner is None:
            return None
        rows = pc.unique(pc.list_parent_indices(column).filter(pc.fill_null(inner, False)))
        return pc.is_in(pa.array(range(len(column)), rows.type), rows)
    if pa.types.is_struct(kind):
        parts = [h for h in (_hits(pc.struct_field(column, [i]), cells) for i in range(kind.num_fields)) if h is not None]
        if not parts:
            return None
        mask = pc.fill_null(parts[0], False)
        for part in parts[1:]:
            mask = pc.or_(mask, pc.fill_null(part, False))
        return mask
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.is_in(column, _values(frozenset(cells), kind))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.is_in(column, _values(frozenset(cells), kind))
    if pa.types.is_integer(kind):
        whole = _values(frozenset(cells), pa.int64())
        return pc.is_in(column.cast(pa.int64(), safe=False), whole) if len(whole) else None
    return None


@lru_cache(maxsize=16)
def _values(cells: frozenset[str], kind: pa.DataType) -> pa.Array:
    """The cells as values of a column: made once for the many columns and files that are looked through for the same users."""
    if pa.types.is_integer(kind):
        plain = (cell for cell in cells if cell.isascii() and cell.isdigit() and len(cell) < DIGITS)
        return pa.array(sorted(int(cell) for cell in plain if str(int(cell)) == cell and int(cell) < 2**63), kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array(sorted(cells), kind)
    return pa.array([cell.encode() for cell in sorted(cells)], kind)


DIGITS = 20
"""As many as no whole number of a column has: Python reads a longer text slowly, or not at all."""


Mask = Callable[[pa.Table, int], pa.Array]
"""Of rows of a file that follow each other, and the number of the first of them from 0 on: (N,) bool, those that go."""


def leave_out(path: Path, cells: Wanted) -> int:
    """Writes a file anew without the rows of users, where it has any; returns how many. The file keeps its time of change."""
    return leave_out_rows(path, lambda rows, _: of_users(rows, cells))


def leave_out_rows(path: Path, mask: Mask) -> int:
    """Writes a file anew without some of its rows, where it has any; returns how many. The file keeps its time of change."""
    file = pq.ParquetFile(path)
    try:
        count = sum(pc.sum(gone).as_py() or 0 for _, gone in _groups(file, mask))
        if not count:
            return 0
        about = path.stat()
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with pq.ParquetWriter(partial, file.schema_arrow) as writer:
            for group, gone in _groups(file, mask):
                if (kept := group.filter(pc.invert(gone))).num_rows:
                    writer.write_table(kept)
    finally:
        file.close()
    partial.chmod(PRIVATE_FILE)
    os.utime(partial, ns=(about.st_atime_ns, about.st_mtime_ns))
    partial.replace(path)
    return count


def _groups(file: pq.ParquetFile, mask: Mask) -> Iterator[tuple[pa.Table, pa.Array]]:
    """The row groups of a file, each with the mask of its rows."""
    first = 0
    for number in range(file.num_row_groups):
        group = file.read_row_group(number)
        yield group, mask(group, first)
        first += group.num_rows
