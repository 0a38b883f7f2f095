"""Files of a home that are not of a store of their own: each is written anew without what names persons, by its kind.

What belongs here: exports, labels, simulated files, truth, what was pulled, artefacts of MLflow, logs of Dagster, reports, whatever
lies there. Tables lose rows, lists of ids lose lines, prose and JSON lose the names. What cannot be written anew is left, and the
search that follows names it.
"""

import bisect
import gzip
import io
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from found_platform import bounds
from found_platform.erasure import databases
from found_platform.erasure.persons import Persons
from found_platform.home import PRIVATE_FILE
from found_platform.privacy import parquet_rows, tombstones, vault
from found_platform.settings import Settings

OF_STORES = ("lake", "index", "locks")
"""Folders of a home that `steps` rewrites as what they are."""

OWN = (vault.DATABASE, "secret", "secret.sha256", "settings.yaml", "source.yaml")
"""Files that another step rewrites, or that a person wrote and has to change: what a source leaves out by name, for example."""

ROWS_GO = ("feast/online.db",)
"""Databases of which rows are removed; of others the names in them are overwritten."""

LINES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
"""Suffixes of files whose lines are rows; also with `.gz` after them."""

PROSE = (".json", ".md", ".yaml", ".yml", ".html", ".log", ".out", ".err", ".holder", ".prev", "")
"""Suffixes of files in which names are overwritten."""

PARQUET, ARROW, GZIP, ZIP = b"PAR1", b"ARROW1", b"\x1f\x8b", b"PK\x03\x04"


def every(home: Path) -> Iterator[Path]:
    """Every file of a home; links are not followed."""
    for folder, names, files in os.walk(home):
        names.sort()
        yield from (path for name in sorted(files) if not (path := Path(folder) / name).is_symlink())


def clean_all(settings: Settings, persons: Persons) -> dict[str, int]:
    """Cleans every file outside the stores; returns by path how many rows, lines or names went."""
    own = {tombstones.path(settings), *(settings.home / name for name in OWN)}
    changed: dict[str, int] = {}
    for path in every(settings.home):
        name = str(path.relative_to(settings.home))
        if path in own or name.split("/", 1)[0] in OF_STORES or name.endswith(("-wal", "-shm", "-journal")):
            continue
        if count := clean(path, name, persons):
            changed[name] = count
    return changed


def clean(path: Path, name: str, persons: Persons) -> int:
    """Writes one file anew; returns how many rows, lines or names went."""
    start = beginning(path)
    if start.startswith(databases.MAGIC):
        if not (_names(path, persons) or databases.names_somebody(path, persons)):
            return 0
        return max(1, databases.clean(path, persons, remove_rows=name in ROWS_GO))
    if start.startswith(PARQUET):
        return parquet_rows.leave_out(path, persons.cells)
    if start.startswith(ARROW):
        return _clean_arrow(path, persons)
    data = path.read_bytes()
    try:
        kept, count = cleaned(data, path, persons)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return 0  # it cannot be unpacked: the search names it
    if count:
        _write(path, kept)
    return count


def beginning(path: Path) -> bytes:
    """As many bytes as tell its kind."""
    with path.open("rb") as file:
        return file.read(16)


def _names(path: Path, persons: Persons) -> bool:
    beside = path.with_name(f"{path.name}-wal")
    return any(persons.needles.among(file.read_bytes()) for file in (path, beside) if file.exists())


def cleaned(data: bytes, path: Path, persons: Persons) -> tuple[bytes, int]:
    """What is left of the bytes of a file, and how many rows, lines or names went."""
    if data.startswith(GZIP):
        kept, count = cleaned(bounds.unpacked(data), path.with_suffix(""), persons)
        return (gzip.compress(kept, mtime=0), count) if count else (data, 0)
    if data.startswith(ZIP):
        return _cleaned_zip(data, persons)
    suffix = path.suffix.lower()
    if suffix in LINES:
        return _without_lines(data, persons)
    count = sum(1 for _ in persons.needles.places(data))
    if not count or (suffix not in PROSE and b"\0" in data):
        return data, 0  # nothing that could be written anew: the search names it
    return persons.needles.replaced(data, lambda _: databases.ERASED), count


def _without_lines(data: bytes, persons: Persons) -> tuple[bytes, int]:
    lines = data.splitlines(keepends=True)
    header = [cell.strip().strip('"').lower() for cell in lines[0].decode(errors="replace").strip().split(",")] if lines else []
    columns = [i for i, cell in enumerate(header) if cell in persons.id_columns]
    ids = persons.cells(next(iter(persons.id_columns), ""))
    alone = len(header) == 1  # nothing but ids, one a line
    ends = list(itertools.accumulate(map(len, lines)))
    numbers = {bisect.bisect_right(ends, place) for place, _ in persons.needles.places(data)}

    def is_of_one(line: bytes) -> bool:
        cells = [cell.strip().strip('"') for cell in line.decode(errors="replace").strip().split(",")]
        return (alone and cells[0] in ids) or any(i < len(cells) and cells[i] in ids for i in columns)

    has_cells = alone or bool(columns)
    kept = [line for i, line in enumerate(lines) if i not in numbers and not (has_cells and is_of_one(line))]
    return b"".join(kept), len(lines) - len(kept)


def _cleaned_zip(data: bytes, persons: Persons) -> tuple[bytes, int]:
    count, content = 0, io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in bounds.entries(before, len(data)):
            kept, went = cleaned(before.read(entry), Path(entry.filename), persons)
            after.writestr(entry, kept)
            count += went
    return (content.getvalue(), count) if count else (data, 0)


def _clean_arrow(path: Path, persons: Persons) -> int:
    with pa.OSFile(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    mask = parquet_rows.of_users(table, persons.cells)
    count = int(pc.sum(mask).as_py() or 0)  # pyright: ignore[reportAttributeAccessIssue]
    if count:
        content = io.BytesIO()
        with pa.ipc.new_file(content, table.schema) as writer:
            writer.write_table(table.filter(pc.invert(mask)))  # pyright: ignore[reportAttributeAccessIssue]
        _write(path, content.getvalue())
    return count


def _write(path: Path, data: bytes) -> None:
    about = path.stat()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb") as file:
        file.write(data)
    os.utime(partial, ns=(about.st_atime_ns, about.st_mtime_ns))
    partial.replace(path)
