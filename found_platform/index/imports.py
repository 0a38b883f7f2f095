"""Bulk import into a Milvus server: files of users each, put where the server reads, and its jobs followed to their end.

The files hold keys and vectors. They lie in a folder of the home's number below `FOUND_MILVUS_IMPORT_URI` for as long as the server
reads them, a few at a time, and are gone at the end of a publication, also of one that failed. What a killed one left is removed by
the next, by an erasure and as garbage. One publisher of a home at a time writes there.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from tqdm import tqdm

from found_platform import home, mapped, objects, spill, tenancy
from found_platform.errors import JobFailed
from found_platform.index.rows import Rows
from found_platform.lake_place import Away, Place
from found_platform.settings import Settings

if TYPE_CHECKING:
    from pymilvus import MilvusClient
    from pymilvus.client.types import BulkInsertState

SETTING = "FOUND_MILVUS_IMPORT_URI"

FILE_USERS = 262_144
"""Users of a file: some 200 MB, of which a server makes a segment or a few."""

JOBS = 4
"""Files that the server has to read at a time; the next one waits to be written, so that few lie there."""

JOB_SECONDS = 3600.0
"""That the import of a file may take, with its place in the server's queue."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Imports:
    """Where the files of a home's publications are put."""

    home: Path
    uri: str
    server: str
    """The server that reads them, for sentences."""

    @property
    def place(self) -> str:
        """The folder that all files of the home lie in."""
        return f"{self.uri.removeprefix('file://').rstrip('/')}/found_{tenancy.number(self.home)}"

    @property
    def _place(self) -> Place:
        return Away(self.place, self.home, "place of imports") if self.place.startswith("s3://") else Path(self.place)

    def fill(self, client: "MilvusClient", collection: str, rows: Rows) -> None:
        """Imports rows into an empty collection.

        Raises JobFailed where files cannot be put there, or the server does not import one within JOB_SECONDS. No file is left.
        """
        tenancy.note(self.home, tenancy.IMPORTS, self.place)
        self.clear()
        jobs: list[_Job] = []
        options: dict[str, Any] = {"desc": "importing", "unit": "user", "disable": None, "leave": False}
        with contextlib.ExitStack() as end, tqdm(total=rows.count, **options) as bar:
            end.callback(self._leave)
            for number, (start, stop) in enumerate(_files(rows)):
                self._await(client, jobs, bar, at_most=JOBS - 1)
                name = f"{collection}/{number:05d}.parquet"
                of_server = self._write(name, rows, start, stop)
                with self._asked(name):
                    jobs.append(_Job(name, _start(client, collection, of_server)))
            self._await(client, jobs, bar, at_most=0)

    def left(self) -> list[tuple[str, int]]:
        """Files that lie there, and their bytes. Raises JobFailed where nobody can say."""
        with _used(self.place):
            return [(info.path, info.size or 0) for info in objects.files(self._place)]

    def clear(self) -> None:
        """Removes every file that lies there, for who keeps others from publishing. Raises JobFailed where that cannot be done."""
        with _used(self.place):
            if isinstance(self._place, Away):
                objects.remove_all(self._place)
            elif self._place.exists():
                shutil.rmtree(self._place)
        tenancy.forget(self.home, tenancy.IMPORTS, self.place)

    def _leave(self) -> None:
        """At the end of a publication. What cannot be removed now stays noted, and an erasure will ask for it."""
        with contextlib.suppress(JobFailed):
            self.clear()

    def _write(self, name: str, rows: Rows, start: int, stop: int) -> str:
        """Puts a file there, and returns its name for the server: its path, or its key in the server's bucket."""
        with _used(self.place):
            if isinstance(self._place, Away):
                with spill.scratch(self.home / "tmp") as folder:
                    _write(folder / "users.parquet", rows, start, stop)
                    with (folder / "users.parquet").open("rb") as file:
                        objects.put(self._place, name, file)
                return f"{self.place}/{name}".removeprefix("s3://").partition("/")[2]
            path = self._place / name
            home.make_private(self._place)
            home.make_private(path.parent)
            _write(path, rows, start, stop)
            return str(path)

    def _remove(self, name: str) -> None:
        with _used(self.place):
            if isinstance(self._place, Away):
                objects.filesystem(self._place).delete_file(name)
            else:
                (self._place / name).unlink()

    def _await(self, client: "MilvusClient", jobs: list["_Job"], bar: Any, *, at_most: int) -> None:
        """Waits until no more than some jobs are left; the files of those that ended are removed."""
        while True:
            for job in list(jobs):
                with self._asked(job.name):
                    state = _state(client, job)
                if state.state == state.ImportCompleted:
                    jobs.remove(job)
                    self._remove(job.name)
                    bar.update(state.row_count)
                elif state.state in (state.ImportFailed, state.ImportFailedAndCleaned):
                    raise self._failed(job.name, state.failed_reason)
                elif time.monotonic() > job.end:
                    raise self._failed(job.name, f"after {home.duration(JOB_SECONDS)} it is {state.state_name.lower()}")
            if len(jobs) <= at_most:
                return
            time.sleep(POLL_SECONDS)

    @contextlib.contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        """What the server answers when it is asked for an import, as a sentence."""
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, grpc.RpcError) as error:
            raise self._failed(name, error.message if isinstance(error, MilvusException) else str(error.details())) from error

    def _failed(self, name: str, why: str) -> JobFailed:
        reason = why.strip(" .!") or "no reason"
        return JobFailed(
            f"The Milvus server {self.server} did not import {self.place}/{name}: {reason}. What was published before serves on. "
            f"{SETTING} must name what that server reads: a folder of the same path there, or its own bucket."
        )


@dataclass
class _Job:
    name: str
    task: int
    end: float = field(default_factory=lambda: time.monotonic() + JOB_SECONDS)


def of(settings: Settings) -> Imports | None:
    """By what this home publishes, where its server imports files."""
    if settings.milvus_import_uri is None or settings.milvus_uri is None:
        return None
    return Imports(settings.home, settings.milvus_import_uri, settings.milvus_uri)


@contextlib.contextmanager
def _used(place: str) -> Iterator[None]:
    """What a folder refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise JobFailed(f"{place} cannot be used for imports ({error.strerror or error}): look at {SETTING}.") from error


def _files(rows: Rows) -> Iterator[tuple[int, int]]:
    """From which place among the keys to which each file goes; one without a user is none."""
    for start in range(0, len(rows.keys), FILE_USERS):
        if rows.kept[start : start + FILE_USERS].any():
            yield start, min(start + FILE_USERS, len(rows.keys))


def _write(path: Path, rows: Rows, start: int, stop: int) -> None:
    """Writes a Parquet file of users, a block at a time."""
    blocks = (rows.table(at, min(at + mapped.ROWS, stop)) for at in range(start, stop, mapped.ROWS))
    first = next(blocks)
    # vectors do not become smaller by compression, and keys are all different
    with pq.ParquetWriter(path, first.schema, compression="NONE", use_dictionary=False) as file:
        file.write_table(first)
        for block in blocks:
            file.write_table(block)
    path.chmod(home.PRIVATE_FILE)


def _start(client: "MilvusClient", collection: str, file: str) -> int:
    # of its own for each file: servers before 2.4 make a job of each, and the client returns the number of the first alone
    server: Any = client._get_connection()  # it has no other way to these calls
    return server.do_bulk_insert(collection, "", [file])


def _state(client: "MilvusClient", job: _Job) -> "BulkInsertState":
    server: Any = client._get_connection()
    return server.get_bulk_insert_state(job.task)
