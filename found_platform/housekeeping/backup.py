"""A copy of a home, whole or not at all: a folder, or one archive, with a list of its files and their hashes written last.

It is consistent while others work: runs are waited for, and wait meanwhile; each table, index and database is copied at one moment.
Look-ups go on. Left out is what belongs to processes that run now: locks, spilled rows, unfinished files.

What belongs here: what is copied, and in which order. What does not: bringing it back (`restore`).
"""

import contextlib
import datetime as dt
import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from deltalake import DeltaTable
from filelock import Timeout

from found_platform import home, home_format, lake, lake_place, objects, tenancy
from found_platform.erasure import databases, files
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping.garbage import PASSING, REMOVED, TURN
from found_platform.index import pointer
from found_platform.privacy import tombstones
from found_platform.registry import artifacts
from found_platform.settings import Settings

MANIFEST = "backup.json"
ARCHIVES = (".tar", ".tar.gz", ".tgz")
ORDER = ("dagster", "index", "mlflow", "lake")
"""Of the folders of a home. Records come before what they are of, and the pointer before its model: what was made meanwhile is in
the copy without its record, and is made again; a record of what is not there would pass for up to date."""

LEFT_OUT = ("locks", "tmp", tenancy.FILE, lake_place.MARKER)
"""What passes, and what the home has on servers: a copy that was brought back beside the original must not share that. A lake on
object storage is in the copy as files."""
UNFINISHED = (".partial", ".building", REMOVED)
CHUNK = 1 << 20


@dataclass(frozen=True)
class Copied:
    """One file of a backup."""

    bytes: int
    sha256: str


@dataclass
class Manifest:
    """What a backup holds, by path below the home. `links` were not followed: what they point at is not in it."""

    made_at: str
    home_format: int
    erased: int
    files: dict[str, Copied] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.bytes for file in self.files.values())

    def as_json(self) -> bytes:
        """One document, with its own hash."""
        document = asdict(self)
        return json.dumps({**document, "sha256": digest(document)}, indent=1).encode()

    @classmethod
    def of(cls, data: bytes) -> "Manifest":
        """Raises ValueError for what is none, or was changed."""
        document = json.loads(data)
        sha256 = document.pop("sha256", None)
        if sha256 != digest(document):
            raise ValueError("its hash is another one")
        return cls(**{**document, "files": {name: Copied(**file) for name, file in document["files"].items()}})


def digest(document: object) -> str:
    """The SHA-256 of a document, in hex."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


class Target(Protocol):
    """Where the files of a backup go."""

    def add(self, name: str, source: IO[bytes], size: int) -> Copied:
        """Takes one file."""
        ...


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive, by its name."""
    return path.name.endswith(ARCHIVES)


def write(settings: Settings, target: Path) -> Manifest:
    """Copies a home to a new folder, or into an archive where the name ends in `.tar`, `.tar.gz` or `.tgz`.

    Raises BadInput for a place that is taken or lies in the home, JobFailed while an erasure is at work or a run does not end.
    """
    target = target.absolute()
    if target.exists():
        raise BadInput(f"{target} is there already: name a new place, so that no earlier backup is lost.")
    if not target.parent.is_dir():
        raise BadInput(f"The folder {target.parent} is not there: make it first.")
    if target.resolve().is_relative_to(settings.home.resolve()):
        raise BadInput(f"{target} lies in the home: a backup belongs elsewhere, best on another disk.")
    partial = target.with_name(f".{target.name}.partial")
    with _alone(settings):
        _remove(partial)
        try:
            manifest = _write(settings, partial, archive=is_archive(target))
            partial.rename(target)
        except BaseException:
            _remove(partial)
            raise
    return manifest


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """No erasure, no collection and no run changes the home within."""
    turn = home.lock(settings.home, TURN)
    try:
        turn.acquire(timeout=1)  # a run that makes a lock of its own has it for a moment
    except Timeout:
        raise JobFailed(
            f"An erasure, a collection or another backup is at work in {settings.home}: run this again when it has ended."
        ) from None
    try:
        runs = [path.stem for path in (settings.home / "locks").glob("run-*.lock")]
        with home.hold(settings.home, runs, "found backup", seconds=settings.wait_seconds):
            yield
    finally:
        turn.release()


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial)
    partial.unlink(missing_ok=True)


def _write(settings: Settings, partial: Path, *, archive: bool) -> Manifest:
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    manifest = Manifest(now, home_format.FORMAT, tombstones.count(settings))
    with _Archive(partial) if archive else _Folder(partial) as target:
        for folder in (*ORDER, None):
            if folder == lake_place.FOLDER and isinstance(settings.lake, lake_place.Away):
                manifest.files.update(_objects(settings, settings.lake, target))
                continue
            if folder == "mlflow":
                manifest.files.update(_artifacts(settings, target))
            for path in _in_order(settings, folder, manifest):
                name = str(PurePosixPath(path.relative_to(settings.home)))
                with contextlib.suppress(FileNotFoundError), _as_of_now(path, partial) as source:  # it went meanwhile
                    manifest.files[name] = target.add(name, source, os.fstat(source.fileno()).st_size)
        target.add(MANIFEST, *_document(manifest))
    return manifest


def _document(manifest: Manifest) -> tuple[IO[bytes], int]:
    data = manifest.as_json()
    return io.BytesIO(data), len(data)


def _in_order(settings: Settings, folder: str | None, manifest: Manifest) -> Iterator[Path]:
    """The files of one folder of the home, at one moment each store; None stands for everything else."""
    if folder is None:
        paths = (p for p in files.every(settings.home) if p.relative_to(settings.home).parts[0] not in (*ORDER, *LEFT_OUT))
        yield from filter(_is_kept, paths)
        for path in settings.home.rglob("*"):
            if path.is_symlink() and path.relative_to(settings.home).parts[0] not in LEFT_OUT:
                manifest.links.append(str(path.relative_to(settings.home)))
    elif folder == "lake":
        yield from _tables(settings)
    elif (settings.home / folder).exists():
        with pointer.turn(settings) if folder == "index" else contextlib.nullcontext():
            yield from filter(_is_kept, files.every(settings.home / folder))


def _is_kept(path: Path) -> bool:
    unfinished = any(part.endswith(UNFINISHED) or part == "building" for part in path.parts)
    return not unfinished and not path.name.endswith(PASSING) and not path.is_socket() and not path.is_fifo()


def _tables(settings: Settings) -> Iterator[Path]:
    """Of each table its log and the files of its newest version, while nobody writes it."""
    tables = settings.home / lake_place.FOLDER
    for folder in sorted(tables.iterdir()) if tables.exists() else ():
        if not DeltaTable.is_deltatable(str(folder)):
            yield from files.every(folder)
            continue
        with lake.turn(settings.lake, folder.name):
            yield from files.every(folder / "_delta_log")
            yield from (folder / action["path"] for action in lake.files(settings.lake, folder.name))


def _objects(settings: Settings, away: lake_place.Away, target: Target) -> dict[str, Copied]:
    """Copies of a lake on object storage what `_tables` names of one in the home."""
    copied: dict[str, Copied] = {}
    store = objects.filesystem(away)
    for name in lake.tables(away):
        with lake.turn(away, name):
            paths = [f"{name}/{info.path}" for info in objects.files(away / name, "_delta_log")]
            paths += [f"{name}/{action['path']}" for action in lake.files(away, name)]
            for path in paths:
                with objects.reached(away), store.open_input_file(path) as source:
                    below = f"{lake_place.FOLDER}/{path}"
                    copied[below] = target.add(below, source, source.size())
    return copied


def _artifacts(settings: Settings, target: Target) -> dict[str, Copied]:
    """Copies the files of MLflow that lie on object storage and not in the home."""
    if (away := artifacts.store(settings)) is None:
        return {}
    copied: dict[str, Copied] = {}
    store = objects.filesystem(away)
    for info in objects.files(away):
        below = f"{lake_place.ARTIFACTS_FOLDER}/{info.path}"
        if not (settings.home / below).exists():
            with objects.reached(away), store.open_input_file(info.path) as source:
                copied[below] = target.add(below, source, source.size())
    return copied


@contextlib.contextmanager
def _as_of_now(path: Path, partial: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file; of a SQLite database those of one moment, whoever writes into it."""
    if not databases.is_database(path):
        with path.open("rb") as file:
            yield file
        return
    copy = partial.with_name(f"{partial.name}.database.partial")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT, home.PRIVATE_FILE))
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=databases.PATIENCE)) as before,
            contextlib.closing(sqlite3.connect(copy)) as after,
        ):
            before.backup(after)
        with copy.open("rb") as file:
            yield file
    finally:
        for end in ("", *PASSING):
            copy.with_name(copy.name + end).unlink(missing_ok=True)


class _Hashing:
    """A file that is read once, with its hash."""

    def __init__(self, source: IO[bytes]):
        self._source, self._sha256, self.bytes = source, hashlib.sha256(), 0

    def read(self, size: int = CHUNK) -> bytes:
        data = self._source.read(size)
        self._sha256.update(data)
        self.bytes += len(data)
        return data

    @property
    def copied(self) -> Copied:
        return Copied(self.bytes, self._sha256.hexdigest())


class _Folder:
    """A backup as a folder that looks like the home."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> "_Folder":
        home.make_private(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        os.sync()

    def add(self, name: str, source: IO[bytes], size: int) -> Copied:
        """See `Target`."""
        return write_private(self._path / name, source)


def write_private(path: Path, source: IO[bytes]) -> Copied:
    """Writes a new file, for its owner alone, and the folders above it."""
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.exists():
            folder.mkdir(mode=home.PRIVATE_FOLDER)
    hashing = _Hashing(source)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, home.PRIVATE_FILE), "wb") as file:
        while data := hashing.read():
            file.write(data)
    return hashing.copied


class _Archive:
    """A backup as one file, packed where its name says so."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> "_Archive":
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, home.PRIVATE_FILE), "wb")
        packed = not self._path.name.removesuffix(".partial").endswith(".tar")
        self._out: IO[bytes] = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=3) if packed else self._file  # pyright: ignore[reportAttributeAccessIssue]
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self._tar.close()
        if self._out is not self._file:
            self._out.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def add(self, name: str, source: IO[bytes], size: int) -> Copied:
        """See `Target`."""
        about = tarfile.TarInfo(name)
        about.size, about.mode, about.mtime = size, home.PRIVATE_FILE, int(dt.datetime.now(dt.UTC).timestamp())
        hashing = _Hashing(source)
        self._tar.addfile(about, hashing)  # pyright: ignore[reportArgumentType]
        return hashing.copied
