"""Object storage: files and Delta tables behind an address such as `s3://bucket/events/*.parquet`, copied into a snapshot.

What belongs here: listing, copying what is new, errors of stores. What does not: how a snapshot is kept (`snapshots`). `path` and
`storage_options` are those of delta-rs, so that one set of options serves files and Delta tables in S3, Azure and Google storage.
"""

import fnmatch
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.fs as fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from found_platform.errors import BadInput
from found_platform.objects import line_of
from found_platform.sources.options import COMPRESSIONS, SUFFIXES
from found_platform.sources.progress import pulling
from found_platform.sources.snapshots import ROWS_A_GROUP, Snapshot, State

PATIENCE = {"connect_timeout": "10s", "max_retries": "2", "retry_timeout": "30s"}
"""How long a store may stay silent, unless `storage_options` says otherwise: three minutes otherwise."""


def is_remote(path: str) -> bool:
    return "://" in path


def pull(path: str, options: dict[str, str], where: str, snapshot: Snapshot, *, delta: bool | None, full: bool = False) -> int:
    """Copies what is new behind an address into a snapshot, and returns how many files; 0 leaves it as it is.

    A file that is gone from the store, or from the newest version of the table, goes from the snapshot too: what a home has already
    taken in stays there.

    Args:
        delta: Whether the address is a Delta table; None looks.

    Raises:
        BadInput: The store cannot be reached, or has nothing there.
    """
    options = {**PATIENCE, **options}
    state = State(readings=snapshot.state().readings) if full else snapshot.state()
    with _refused(path, where, list(options.values())):
        is_delta = DeltaTable.is_deltatable(path, storage_options=options) if delta is None else delta
        copies = _delta_files(path, options) if is_delta else _plain_files(path, options)
    if not copies:
        raise BadInput(f"{where}: there is no file at {path}: check `path` and `storage_options`.")
    originals = {copy.name: copy.version for copy in copies}
    if originals == state.originals:
        return 0
    fresh = [copy for copy in copies if state.originals.get(copy.name) != copy.version]
    with snapshot.work() as work:
        with _refused(path, where, list(options.values())), pulling(where, "B", lambda: sum(copy.size for copy in fresh)) as more:
            for copy in fresh:
                copy.write(work / copy.name, more)
        state = State(tuple(originals), readings=state.readings + 1, originals=originals)
        snapshot.commit(state, [(work / copy.name, copy.name) for copy in fresh])
    return len(fresh)


class _PlainFile:
    """A file of a store, copied as it is."""

    def __init__(self, store: fs.FileSystem, info: fs.FileInfo):
        self._store, self._path = store, info.path
        self.name = info.path.strip("/").replace("/", "__")
        self.version = f"{info.size}-{info.mtime_ns}"
        self.size = info.size or 0

    def write(self, target: Path, more: Callable[[int], object]) -> None:
        with self._store.open_input_stream(self._path) as source, target.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
                more(len(block))


class _DeltaFile:
    """A data file of a Delta table, with the columns it is partitioned by. Such a file never changes."""

    def __init__(self, dataset: pad.FileSystemDataset, fragment: Any, size: int):
        self._dataset, self._fragment = dataset, fragment
        self.name = fragment.path.strip("/").replace("/", "__")
        self.version = "delta"
        self.size = size

    def write(self, target: Path, more: Callable[[int], object]) -> None:
        one = pad.FileSystemDataset([self._fragment], self._dataset.schema, self._dataset.format, self._fragment.filesystem)
        with pq.ParquetWriter(target, one.schema, compression="zstd") as writer:
            for batch in one.to_batches(batch_size=ROWS_A_GROUP):
                writer.write_batch(batch)
        more(self.size)


def _delta_files(path: str, options: dict[str, str]) -> list[Any]:
    table = DeltaTable(path, storage_options=options)
    dataset, actions = table.to_pyarrow_dataset(), pa.table(table.get_add_actions(flatten=True))
    sizes = dict(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))
    return [_DeltaFile(dataset, fragment, sizes.get(fragment.path, 0)) for fragment in dataset.get_fragments()]


def _plain_files(path: str, options: dict[str, str]) -> list[Any]:
    """The files at an address: one, those that a pattern matches, or those in a folder whose names tell their kind."""
    scheme, _, rest = path.partition("://")
    bucket, _, pattern = rest.partition("/")
    if scheme == "file":
        bucket, pattern = "", rest.lstrip("/")
    store = fs.PyFileSystem(DeltaStorageHandler(f"{scheme}://{bucket}" + ("/" if scheme == "file" else ""), options))
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    folder = pattern.rstrip("/") if fixed == pattern else fixed.rpartition("/")[0]
    if fixed == pattern:
        (info,) = store.get_file_info([pattern.rstrip("/")])
        if info.type == fs.FileType.File:
            return [_PlainFile(store, info)]
    infos = store.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    files = [info for info in infos if info.type == fs.FileType.File]
    matching = (
        [f for f in files if fnmatch.fnmatchcase(f.path.strip("/"), pattern)] if fixed != pattern else [*filter(_is_data, files)]
    )
    return [_PlainFile(store, info) for info in sorted(matching, key=lambda info: info.path)]


def _is_data(info: fs.FileInfo) -> bool:
    name = info.base_name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix in SUFFIXES


@contextmanager
def _refused(path: str, where: str, secrets: list[str]) -> Iterator[None]:
    """Turns what a store says into one sentence that holds none of the options' values."""
    try:
        yield
    except (OSError, DeltaError, ValueError) as error:
        line = line_of(str(error))
        for secret in filter(lambda s: len(s) > 3, secrets):
            line = line.replace(secret, "***")
        raise BadInput(f"{where}: {path} cannot be read: {line}; check `path` and `storage_options`.") from None
