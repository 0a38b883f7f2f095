"""Pulls: entries whose rows are elsewhere become entries over files of a snapshot, and then there is one way to read them all.

What belongs here: which snapshot belongs to which entry, when it is read anew. What does not: reading a database (`databases`), a
join (`joins`) or a store (`remote`).

A home keeps its snapshots in `HOME/pulled`. A run that asks for the source reads what is new; everything else takes what is
there, so that a scan gives the same again.
"""

import contextlib
import glob
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from found_platform.errors import BadInput
from found_platform.home import make_private
from found_platform.sources import addresses, databases, joins, remote
from found_platform.sources.config import ChannelEntry, SourceConfig
from found_platform.sources.origins import Lookup, Origin
from found_platform.sources.snapshots import Snapshot


@dataclass(frozen=True)
class Pull:
    """What one reading gave: new rows of a database or join, new files of a store."""

    entry: str
    new: int
    unit: str  # rows or files


def local(source: SourceConfig, folder: Path) -> SourceConfig:
    """The source over files alone: what was pulled into `folder` before; what was never pulled is pulled now."""
    return _localise(source, folder, again=False, full=False)[0]


def refresh(source: SourceConfig, folder: Path, *, full: bool = False) -> tuple[SourceConfig, list[Pull]]:
    """The source over files alone, after what is new was read. `full` reads everything anew.

    Snapshots of entries that the source has no longer are removed. Raises BadInput where something cannot be read.
    """
    localised, pulls = _localise(source, folder, again=True, full=full)
    kept = {_folder(folder, origin) for _, origin in source.origins() if origin.is_elsewhere}
    for left in folder.glob("*") if folder.is_dir() else ():
        if left not in kept:
            shutil.rmtree(left)
    return localised, pulls


@contextlib.contextmanager
def origins_named(source: SourceConfig, folder: Path) -> Iterator[None]:
    """Lets errors name where rows come from, and not the files of a snapshot."""
    try:
        yield
    except BadInput as error:
        message = str(error)
        for _, entry in source.origins():
            if entry.is_elsewhere:
                pattern = re.escape(str(_folder(folder, entry))) + r"/rows/[^\s,;:]*"
                name = entry.url or entry.path or f"the query over {', '.join(entry.tables or {})}"
                message = re.sub(pattern, lambda _, name=name: name, message)
        raise BadInput(message) from None


def _localise(source: SourceConfig, folder: Path, *, again: bool, full: bool) -> tuple[SourceConfig, list[Pull]]:
    pulls: list[Pull] = []
    read: set[Path] = set()  # entries that ask for the same share a snapshot

    def localised(where: str, entry: Any) -> Any:
        if isinstance(entry, ChannelEntry) and entry.lookups:
            lookups = {name: localised(f"{where}, {name}", lookup) for name, lookup in entry.lookups.items()}
            entry = entry.model_copy(update={"columns": {**entry.columns, **lookups}})
        if not entry.is_elsewhere:
            return entry
        if isinstance(entry, Lookup):
            entry = entry.titled(entry.title)
        snapshot = Snapshot(_folder(folder, entry))
        if snapshot.folder not in read and (again or not snapshot.exists):
            make_private(folder)
            new = _pull(entry, where, snapshot, full=full)
            pulls.append(Pull(where, new, "files" if remote.is_remote(entry.path) else "rows"))
        snapshot.state()  # removes what an interrupted reading left
        read.add(snapshot.folder)
        copied = remote.is_remote(entry.path)
        name = "*" if copied else "*.parquet"
        kind = (entry.kind if entry.kind != "delta" else "parquet") if copied else "parquet"
        empty = {"url": None, "query": None, "table": None, "cursor": None, "tables": None, "storage_options": None}
        return entry.model_copy(update={**empty, "path": f"{glob.escape(str(snapshot.rows))}/{name}", "kind": kind})

    channels = {c: [localised(f"channel {c!r}", e) for e in entries] for c, entries in source.channels.items()}
    profile = localised("profile", source.profile) if source.profile else None
    return source.model_copy(update={"channels": channels, "profile": profile}), pulls


def _folder(folder: Path, entry: Origin) -> Path:
    """The folder of an entry's snapshot: another question has another one."""
    question = entry.model_dump(
        mode="json", include={"path", "url", "query", "table", "cursor", "tables", "kind", "storage_options"}
    )
    kind = "database" if entry.url else "join" if entry.tables else "store"
    return folder / f"{kind}-{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:12]}"


def _pull(entry: Origin, where: str, snapshot: Snapshot, *, full: bool) -> int:
    if entry.url:
        return databases.pull(databases.Query(entry.url, entry.query, entry.table, entry.cursor, where), snapshot, full=full)
    if entry.tables:
        return joins.pull(entry.tables, entry.query or "", where, snapshot, full=full)
    options = {name: addresses.expand(value, where) for name, value in (entry.storage_options or {}).items()}
    delta = None if entry.kind is None else entry.kind == "delta"
    return remote.pull(entry.path, options, where, snapshot, delta=delta, full=full)
