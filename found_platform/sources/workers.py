"""A scan by the workers of an engine: each reads some files as one process does, and leaves their rows as Parquet files.

What belongs here: what a worker is sent and leaves, and the tables of a scan over it. What does not: what makes a row good
(`rows`), repeats and counts, which are asked of all rows (`scan`, `counts`), the staged days (`day_files`).

A worker runs the same code as a scan in one process, on whole files or on stretches of one that know where they begin, so rows,
faults and row numbers are the same of whatever kind the files are.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from found_platform import lake, spill
from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.settings import Settings
from found_platform.sources import copies, discovery, expressions, sandbox, scan, spread
from found_platform.sources.config import ChannelEntry, SourceConfig
from found_platform.sources.discovery import Look
from found_platform.sources.entries import entries_of, open_entry
from found_platform.sources.mapping import Types
from found_platform.sources.options import TimeColumn
from found_platform.sources.origins import Lookup
from found_platform.sources.stretches import Stretch, of_delta, of_parquet

BYTES, FILES = 128 * 2**20, 256
"""What a worker reads at once: neighbouring files of an entry up to this size, of a larger one row groups up to it. Text files are
read whole."""

AT_ONCE = threading.BoundedSemaphore(2)
"""A process of an engine may be given all tasks at once, as Sail's is: it reads two at a time, each with the memory of a scan."""

ROWS, GAPS, UNREAD = "rows", "gaps", "unread"
"""What a worker leaves of its files: the beginnings of the names."""

TASKS = pa.schema(
    [("task", pa.int64()), ("part", pa.int64()), ("entry", pa.int64()), ("files", pa.string()), ("stretch", pa.string())]
)
REPORT = pa.schema([("task", pa.int64()), ("answer", pa.string()), ("error", pa.string())])


@dataclass(frozen=True)
class Scanner:
    """A function of one row of `TASKS` that an engine sends to its workers."""

    entries: tuple[tuple[str, ChannelEntry], ...]
    types: tuple[Types | None, ...]
    span: tuple[Any, ...]
    memory: str
    folder: Path | None = None

    def __call__(self, tasks: pa.Table) -> pa.Table:
        ((number, part, place, names, of_file),) = (row.values() for row in tasks.to_pylist())
        stretch = Stretch.read(json.loads(of_file)) if of_file else None
        try:
            with AT_ONCE:
                answer, error = self._read(number, part, place, [Path(name) for name in json.loads(names)], stretch), None
        except BadInput as refusal:
            answer, error = [], str(refusal)
        return pa.table([[number], [json.dumps(answer)], [error]], schema=REPORT)

    def _read(self, number: int, part: int, place: int, files: list[Path], stretch: Stretch | None) -> list[Any]:
        """Reads some files of an entry, which are numbered from `part` on, or a stretch of one. Returns what there is to note."""
        assert self.folder is not None
        with self._opened(place, files) as con:
            scan.create_tables(con)
            channel, channel_entry = self.entries[place]
            entry = open_entry(con, place, channel, channel_entry, some=files, types=self.types[place], stretch=stretch)
            first = 0
            for several in entry.files:
                first += scan.take(con, entry, several, part, first, list(self.span))
                part += len(several.names)
            parts = f"SELECT r.* REPLACE ({scan.NUMBER} AS row_number) FROM scan_rows r JOIN scan_parts p USING (part)"
            for name, rows in (GAPS, "FROM scan_gaps"), (UNREAD, f"SELECT {place} AS entry, * FROM scan_unread"), (ROWS, parts):
                self._leave(con, self.folder, name, number, rows)
            return list(entry.notes)

    @contextlib.contextmanager
    def _opened(self, place: int, files: list[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database that reaches these files of an entry and nothing else of others."""
        if missing := next((file for file in files if not file.exists()), None):
            raise BadInput(
                f"{missing} is not there for a worker of the engine: every machine of it must see the files of the source at the "
                "same path. Set FOUND_ENGINE=duckdb to read them in this process."
            )
        with spill.scratch() as own, contextlib.closing(lake.connect(self.memory, own, str(own / "scan.duckdb"))) as con:
            con.execute("SET force_compression = 'uncompressed'")
            lookups = {file for lookup in self.entries[place][1].lookups.values() for file in lookup.files()}
            sandbox.lock(con, {*files, *lookups}, [copies.folder(), *filter(None, [self.folder])])
            yield con

    def _leave(self, con: duckdb.DuckDBPyConnection, folder: Path, name: str, number: int, rows: str) -> None:
        """A file is there as a whole or not at all, and another worker with the same files writes the same rows."""
        path = folder / f"{name}-{number:06}.parquet"
        partial = path.with_suffix(f".{uuid.uuid4().hex[:12]}")
        con.execute(f"COPY ({rows}) TO {literal(str(partial))} (FORMAT parquet, ROW_GROUP_SIZE 100000)")
        partial.rename(path)


class Looker(Scanner):
    """As a scanner, of the first look: it leaves no rows."""

    def _read(self, number: int, part: int, place: int, files: list[Path], stretch: Stretch | None) -> list[Any]:
        channel, channel_entry = self.entries[place]
        with self._opened(place, files) as con:
            entry = open_entry(con, place, channel, channel_entry, False, files, self.types[place], stretch)
            looks = [discovery.look_at(con, entry, several) for several in entry.files]
        return [[look.rows, *(day and day.isoformat() for day in (look.first, look.last)), look.unread] for look in looks]


def read(settings: Settings, con: duckdb.DuckDBPyConnection, config: SourceConfig, folder: Path) -> None:
    """As `scan.scan`, on the engine that is set: rows stay in files in a new folder, which is within reach of the connection."""
    folder.mkdir(mode=0o700)
    scan.create_tables(con)
    for channel, _, notes in _answers(settings, con, config, Scanner, folder):
        scan.note(con, channel, notes)
    _take_over(con, folder)
    with spread.over(settings, con, folder) as asked:
        scan.finish(asked)


def look(settings: Settings, con: duckdb.DuckDBPyConnection, config: SourceConfig) -> dict[int, list[Look]]:
    """The first look at the files of each entry, by its number, on the engine that is set."""
    sandbox.lock_source(con, config)
    scan.create_tables(con)
    looks: dict[int, list[Look]] = {number: [] for number, _ in enumerate(entries_of(config))}
    for _, number, answer in _answers(settings, con, config, Looker):
        for rows, first, last, unread in answer:
            days = [None if day is None else dt.date.fromisoformat(day) for day in (first, last)]
            looks[number].append(Look(rows, days[0], days[1], tuple(unread)))
    return looks


def _answers(
    settings: Settings, con: duckdb.DuckDBPyConnection, config: SourceConfig, kind: type[Scanner], folder: Path | None = None
) -> Iterator[tuple[str, int, list[Any]]]:
    """What workers answer of their files, in the order of these: the channel, the number of the entry, the answer. Leaves the table
    `scan_parts`."""
    entries, tasks, part = entries_of(config), list[tuple[int, int, int, str, str | None]](), 0
    types = [_types(con, number, channel, entry) for number, (channel, entry) in enumerate(entries)]
    for number, (channel, entry) in enumerate(entries):
        for files, stretches in groups(entry):
            for stretch in stretches:
                of_file = None if stretch is None else json.dumps(dataclasses.asdict(stretch))
                tasks.append((len(tasks), part, number, json.dumps(files), of_file))
            rows = pa.table({"part": range(part, part + len(files)), "file": files})
            con.register("files_of_task", rows)
            con.execute("INSERT INTO scan_parts SELECT part, ?, ?, file, 0 FROM files_of_task", [number, channel])
            con.unregister("files_of_task")
            part += len(files)
    worker = kind(tuple(entries), tuple(types), tuple(scan.bounds_of(config)), settings.duckdb_memory, folder)
    from found_platform import engine  # it brings Ibis, which a scan in one process does without

    with contextlib.closing(engine.of(settings)) as opened:
        table = pa.Table.from_pylist([dict(zip(TASKS.names, task, strict=True)) for task in tasks], TASKS)
        opened.each("reports", table, worker, REPORT)
        reports = sorted(opened.read("SELECT task, answer, error FROM reports").read_all().to_pylist(), key=lambda r: r["task"])
    for report in reports:
        if report["error"] is not None:
            raise BadInput(report["error"])
        number = tasks[report["task"]][2]
        yield entries[number][0], number, json.loads(report["answer"])


def _types(con: duckdb.DuckDBPyConnection, number: int, channel: str, entry: ChannelEntry) -> Types | None:
    """How expressions see the columns of text files, which all of them decide together; None where that changes nothing."""
    texts = [c.column if isinstance(c, TimeColumn) else c for c in entry.columns.values() if not isinstance(c, Lookup)]
    if all(map(expressions.is_name, [*texts, *filter(None, (entry.where, entry.returns))])):
        return None
    if entry.is_delta() or entry.kind_of(entry.files()[0]) == "parquet":
        return None
    return open_entry(con, number, channel, entry, lookups=False).types


def groups(entry: ChannelEntry) -> Iterator[tuple[list[str], list[Stretch] | list[None]]]:
    """The files of an entry in their order, some small ones together, each time with the stretches that workers take of them: None
    is all of them. A Delta table is one file."""
    if entry.is_delta():
        yield [entry.path], of_delta(entry.path, BYTES, FILES) or [None]
        return
    group, size, files = list[str](), 0, entry.files()
    is_parquet = entry.kind_of(files[0]) == "parquet"
    for file in files:
        more, stretches = file.stat().st_size, of_parquet(file, BYTES) if is_parquet else None
        if group and (size + more > BYTES or len(group) == FILES):
            yield group, [None]
            group, size = [], 0
        if stretches:
            yield [str(file)], stretches
            continue
        group.append(str(file))
        size += more
    if group:
        yield group, [None]


def _take_over(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The tables of a scan from what workers left: `scan_rows` is a view over files."""
    names = {name: f"read_parquet({literal(str(folder / f'{name}-*.parquet'))})" for name in (ROWS, GAPS, UNREAD)}
    con.execute(f"INSERT INTO scan_gaps FROM {names[GAPS]}")
    # a row that is none belongs to no channel: it is counted in the first entry that reads its file
    con.execute(
        f"INSERT INTO scan_unread SELECT channel, file, row_number, reason FROM {names[UNREAD]} "
        "QUALIFY entry = min(entry) OVER (PARTITION BY file, row_number)"
    )
    scan.take_over_files(con, names[ROWS])
