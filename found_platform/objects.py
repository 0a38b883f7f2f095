"""Object storage under a lake: how delta-rs and Arrow reach it, and whether its store can be trusted with commits.

What belongs here: options and file systems of a place, what a store refuses in words, the race of two commits. What does not: where
the lake of a home lies (`lake_place`), and Delta tables (`lake`).

Credentials and the endpoint are those of the environment, by the names that every client of S3 takes (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`); on a machine of a cloud its role serves too. Nothing of them is written
down.
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.fs as fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from found_platform import home
from found_platform.errors import BadInput, JobFailed
from found_platform.lake_place import SETTING, Away, Place

PATIENCE = {"connect_timeout": "10s", "max_retries": "5", "retry_timeout": "60s"}
"""How long a store may stay silent: three minutes otherwise."""

CONNECT_SECONDS, REQUEST_SECONDS = 10, 60

CHUNK = 1 << 22
"""Bytes that are copied at once."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL

UNSAFE = "AWS_S3_ALLOW_UNSAFE_RENAME"
"""With it delta-rs commits so that of two writers at once both are told that they won."""

SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")

ROUNDS, WRITERS = 3, 4
"""Of the race."""

PROBE = "_probe"
"""Folder of a lake in which commits race; it is removed after it."""


def options(place: Place) -> dict[str, str] | None:
    """Options of delta-rs for a place; None for a folder."""
    if not isinstance(place, Away):
        return None
    if os.environ.get(UNSAFE, "").lower() in ("1", "true"):
        raise BadInput(f"{UNSAFE} is set: of two writers at once both would win, and rows be lost. Unset it.")
    chosen = {**PATIENCE, "conditional_put": "etag"}
    if endpoint := _endpoint():
        chosen |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}
    if region := _region():
        chosen["AWS_REGION"] = region
    return chosen


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def filesystem(place: Place) -> fs.FileSystem:
    """A place as a file system whose paths are below it: to list, copy and remove.

    That of delta-rs: Arrow's own leaves an empty object for each folder that it removes something from.
    """
    if isinstance(place, Away):
        return fs.PyFileSystem(DeltaStorageHandler(str(place), options(place)))
    return fs.SubTreeFileSystem(str(place), fs.LocalFileSystem())


def files(place: Place, below: str = "") -> list[fs.FileInfo]:
    """Every file of a place, or of a folder of it, in the order of their paths."""
    with reached(place):
        selector = fs.FileSelector(below, recursive=True, allow_not_found=True)
        infos = [info for info in filesystem(place).get_file_info(selector) if info.type == fs.FileType.File]
    return sorted(infos, key=lambda info: info.path)


def fetch(store: fs.FileSystem, path: str, target: Path) -> None:
    """Copies a file of a store to this machine, for its owner alone."""
    with store.open_input_stream(path) as source, os.fdopen(os.open(target, NEW, home.PRIVATE_FILE), "wb") as file:
        while block := source.read(CHUNK):
            file.write(block)


def put(place: Away, path: str, source: BinaryIO) -> bytes:
    """Copies an open file to a path below a place; returns the SHA-256 of what was copied."""
    copied = hashlib.sha256()
    with native().open_output_stream(f"{str(place).removeprefix('s3://')}/{path}") as target:
        while block := source.read(CHUNK):
            target.write(block)
            copied.update(block)
    return copied.digest()


def remove_all(place: Away, below: str = "") -> None:
    """Removes every object below a place, or of a folder of it."""
    store = filesystem(place)
    for info in files(place, below):
        store.delete_file(info.path)


def size(place: Place) -> int:
    """Bytes of the files of a place on object storage; 0 of a folder, which counts with its home."""
    return sum(info.size or 0 for info in files(place)) if isinstance(place, Away) else 0


@cache
def _native(process: int, endpoint: str | None, region: str | None) -> fs.S3FileSystem:
    """Arrow's own client, by process: a forked one has its own."""
    del process
    scheme, _, host = (endpoint or "").partition("://")
    at = {"endpoint_override": host.rstrip("/"), "scheme": scheme} if endpoint else {}
    return fs.S3FileSystem(region=region, connect_timeout=CONNECT_SECONDS, request_timeout=REQUEST_SECONDS, **at)


def native() -> fs.S3FileSystem:
    """The store for who reads or writes much, in Arrow's own threads. Its paths begin with the bucket."""
    return _native(os.getpid(), _endpoint(), _region())


@contextlib.contextmanager
def reached(place: Place) -> Iterator[None]:
    """What a store refuses, as a sentence (JobFailed). That a table is not there is no refusal."""
    try:
        yield
    except TableNotFoundError:
        raise
    except (OSError, DeltaError, pa.ArrowException) as error:
        if not isinstance(place, Away):
            raise
        message = line_of(str(error))
        for secret in filter(None, map(os.environ.get, SECRETS)):
            message = message.replace(secret, "***")
        at = f" at {_endpoint()}" if _endpoint() else ""
        where = str(place).removesuffix(f"/{PROBE}")
        raise JobFailed(
            f"The {place.what} {where}{at} cannot be used: {message}. Look at AWS_ENDPOINT_URL, AWS_REGION, "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and whether the store runs and has the bucket."
        ) from error


def line_of(message: str) -> str:
    """The code that a store answers with, or the end of the chain of causes."""
    if match := re.search(r"<Code>(.*?)</Code>(?:<Message>(.*?)</Message>)?", message, re.DOTALL):
        return f"{match[1]}: {match[2]}".rstrip(".") if match[2] else match[1]
    plain = re.sub(r"\x1b\[[0-9;]*m|↳", "", message)
    lines = [" ".join(line.split()) for line in plain.splitlines() if line.strip()]
    return f"{lines[0]}: {lines[-1]}".rstrip(".") if len(lines) > 1 else "".join(lines).rstrip(".")


_TRUSTED: set[tuple[int, str | None, str]] = set()
_LOOKING = threading.Lock()


def trust(place: Place) -> None:
    """Before the first write of this process into a place: lets commits race there. Raises as `race`."""
    if not isinstance(place, Away):
        return
    with _LOOKING:
        if (key := (os.getpid(), _endpoint(), str(place))) not in _TRUSTED:
            race(place)
            _TRUSTED.add(key)


def race(place: Away) -> None:
    """Lets writers commit the same version of a table at once, some times: one of them may win it, and the others have to notice.

    Raises BadInput where a store tells more writers that they won than it has versions, JobFailed where it cannot be used.
    """
    probe = place / PROBE
    with home.lock(place.home, "lake-probe"):
        remove_all(probe)
        try:
            for number in range(ROUNDS):
                _race(probe / str(number), place)
        finally:
            with contextlib.suppress(OSError, JobFailed):
                remove_all(probe)


def _race(table: Away, place: Away) -> None:
    start, won, refused = threading.Barrier(WRITERS), [], []
    schema, chosen = pa.schema([("n", pa.int64())]), options(table)

    def write() -> None:
        start.wait()
        try:
            DeltaTable.create(str(table), schema=schema, mode="error", storage_options=chosen)
            won.append(True)
        except (OSError, DeltaError) as error:
            refused.append(error)

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    versions = len(files(table, "_delta_log"))
    if not versions:
        with reached(place):
            raise refused[0]
    if len(won) > versions:
        raise BadInput(
            f"The store of {place} loses commits: {len(won)} writers at once were told that they had made a version of a table, "
            f"and it has {versions}. Rows would be lost without a word, so nothing is written there. It has to honour "
            f"`If-None-Match: *` of a PUT, as S3 and newer stores of its kind do: update it, or set {SETTING} to another one."
        )
