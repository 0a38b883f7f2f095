"""The proof: every byte of a home is searched for the persons, also where it is compressed, and each hit names its file.

What belongs here: reading, whatever wrote it. What does not: rewriting; what counts as a hit (`persons`).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import io
import itertools
import mmap
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from found_platform import bounds
from found_platform.erasure import databases, files
from found_platform.erasure.persons import Persons
from found_platform.privacy import parquet_rows

ROWS = 100_000
"""Rows of a Parquet file that are in memory at once."""

DEEPEST = 4
"""Archives within archives that are opened."""


@dataclass
class Search:
    """What was searched: files, their bytes, those that were unpacked, and the paths below the home with a hit.

    `kinds` counts files by kind, `servers` what was looked at outside the home.
    """

    files: int = 0
    bytes: int = 0
    unpacked: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    servers: dict[str, int] = field(default_factory=dict)
    hits: list[str] = field(default_factory=list)

    def saw(self, what: str, count: int = 1) -> None:
        """Counts what was looked at on a server."""
        self.servers[what] = self.servers.get(what, 0) + count


def search(home: Path, persons: Persons, others: Iterable[Path] = ()) -> Search:
    """Searches every file of a home, and some others. A file that goes away meanwhile is passed over; one that cannot be read is a
    hit."""
    result = Search()
    for path in itertools.chain(files.every(home), others):
        look(path, str(path.relative_to(home)) if path.is_relative_to(home) else str(path), persons, result)
    return result


def look(path: Path, name: str, persons: Persons, result: Search) -> None:
    """Searches one file, and what it is called for whom reads of a hit."""
    try:
        if _names(path, persons, result) or persons.needles.among(name.encode()):
            result.hits.append(name)
    except FileNotFoundError:
        return
    except (OSError, pa.ArrowException, EOFError, zipfile.BadZipFile) as error:
        result.hits.append(f"{name} (cannot be read: {str(error).splitlines()[0]})")


def _names(path: Path, persons: Persons, result: Search) -> bool:
    size = path.stat().st_size
    result.files += 1
    result.bytes += size
    if not size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
        if persons.needles.among(view):
            return True
        start = bytes(view[:16])
        kind = _kind(start)
        result.kinds[kind] = result.kinds.get(kind, 0) + 1
        if kind == "sqlite":
            return databases.names_somebody(path, persons)
        if kind in ("gzip", "zip"):
            return _packed(bytes(view), Path(path.name), persons, result, 0)
        if kind == "text":
            return _listed(bytes(view), path, persons)
    if kind == "parquet":
        return _parquet(path, persons, result)
    if kind == "arrow":
        with pa.OSFile(str(path)) as stored:
            return _table(pa.ipc.open_file(stored).read_all(), persons, result)
    return False


def _kind(start: bytes) -> str:
    kinds = {databases.MAGIC: "sqlite", files.PARQUET: "parquet", files.ARROW: "arrow", files.GZIP: "gzip", files.ZIP: "zip"}
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), "bytes" if b"\0" in start else "text")


def _listed(data: bytes, path: Path, persons: Persons) -> bool:
    """Whether a list of ids, or a table of text, holds one that is too short to be searched for in bytes."""
    return path.suffix.lower() in files.LINES and bool(files.cleaned(data, path, persons)[1])


def _packed(data: bytes, path: Path, persons: Persons, result: Search, depth: int) -> bool:
    """Whether what is packed in some bytes names somebody. Raises OSError for a file that holds more than can be opened."""
    if depth > DEEPEST:
        raise OSError(f"archives in more than {DEEPEST} archives")
    parts: Iterator[tuple[Path, bytes]]
    if data.startswith(files.GZIP):
        parts = iter([(path.with_suffix(""), bounds.unpacked(data))])
    else:
        archive = zipfile.ZipFile(io.BytesIO(data))
        parts = ((Path(entry.filename), archive.read(entry)) for entry in bounds.entries(archive, len(data)))
    for name, content in parts:
        result.unpacked += len(content)
        if persons.needles.among(content) or _listed(content, name, persons):
            return True
        start = content[:16]
        if _kind(start) in ("gzip", "zip") and _packed(content, name, persons, result, depth + 1):
            return True
        if _kind(start) == "parquet" and _table(pq.read_table(io.BytesIO(content)), persons, result):
            return True
    return False


def _parquet(path: Path, persons: Persons, result: Search) -> bool:
    with pq.ParquetFile(path) as file:
        return (
            any(_table(pa.table(batch), persons, result) for batch in file.iter_batches(ROWS)) if file.metadata.num_rows else False
        )


def _table(table: pa.Table, persons: Persons, result: Search) -> bool:
    """Whether any cell of a table is one of them, or any text in it names one."""
    result.unpacked += table.nbytes
    if pc.any(parquet_rows.of_users(table, persons.cells)).as_py():
        return True
    return any(persons.needles.among(text) for column in table.columns for text in _texts(column))


def _texts(column: pa.ChunkedArray | pa.Array) -> Iterator[memoryview]:
    """The texts and bytes of a column, with something between them that is in no id."""
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        for chunk in column.chunks:
            yield from _texts(chunk)
    elif pa.types.is_dictionary(kind):
        yield from _texts(column.dictionary)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts(column.flatten())
    elif pa.types.is_map(kind):
        yield from _texts(column.keys)
        yield from _texts(column.items)
    elif pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _texts(pc.struct_field(column, [i]))
    elif pa.types.is_fixed_size_binary(kind):
        yield _joined(column.cast(pa.binary()))
    elif any(is_kind(kind) for is_kind in TEXTUAL):
        yield _joined(column)


TEXTUAL = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def _joined(column: pa.Array) -> memoryview:
    """The values of a column, each once, with `BETWEEN` between them."""
    values = column.drop_null().unique()
    rows = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    return memoryview(pc.binary_join(rows, pa.scalar(databases.BETWEEN, values.type))[0].as_buffer())
