"""What is asked of all rows of a scan, answered by the engine that is set, over the files that its workers left.

What belongs here: an engine as one who is asked (`totals`), and the rows of a scan by their names there. What does not: the queries
(`totals`, `scan`), reading the files of a source (`workers`).
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from found_platform.contract import EVENTS
from found_platform.lake import literal
from found_platform.settings import Settings
from found_platform.sources import scan, totals
from found_platform.sources.totals import Asked, Function, InProcess, Total

if TYPE_CHECKING:
    from found_platform.engine import Engine

FILES = "rows-*.parquet"
"""The rows that workers left in a folder."""

_OF_EVENTS = {f.name: f.type for f in EVENTS}
ROWS = pa.schema(
    [
        ("part", pa.int32()),
        ("row_number", pa.int64()),
        ("keep", pa.bool_()),
        ("user_id", pa.string()),
        *((name, _OF_EVENTS[name]) for name in scan.OF_EVENT),
        ("reason", pa.string()),
        ("value", pa.string()),
        ("remarks", pa.string()),
    ]
)
"""The columns of `scan_rows`."""

BESIDE = {
    "scan_parts": pa.schema([("part", pa.int32()), ("entry", pa.int32()), ("channel", pa.string()), ("file", pa.string())]),
    "aside": pa.schema([("user_id", pa.string())]),
}
"""What a scan's database has beside the rows, where it has it."""

LARGE = {"repeats": scan.REPEATS, **{name: total.schema for name, total in totals.TOTALS.items() if total.large}}
"""What an engine leaves as files, in folders of these names."""


class OnEngine:
    """An engine over the files of a scan; see `totals.Asked`."""

    def __init__(self, opened: "Engine", con: duckdb.DuckDBPyConnection, folder: Path):
        self.con, self.opened, self.words = con, opened, totals.WORDS[opened.dialect]
        self._folder = folder

    def view(self, name: str, sql: str) -> None:
        InProcess(self.con).view(name, sql)
        self.opened.view(name, sql)

    def keep(self, name: str, total: Total) -> None:
        totals.forget(self.con, name)
        sql = total.sql.format(**self.words)
        if total.large:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            self.opened.write(sql, self._folder / name, schema=total.schema)
            self.take(name, total.schema)
            listed = ", ".join(literal(str(path)) for path in self._files(name))
            if listed:
                self.con.execute(f"CREATE VIEW {name} AS SELECT {', '.join(total.schema.names)} FROM read_parquet([{listed}])")
            else:
                self._rows(name, total.schema.empty_table())
        else:
            self._rows(name, self.opened.read(sql).read_all().select(total.schema.names).cast(total.schema))

    def per_batch(self, sql: str, function: Function, schema: pa.Schema) -> pa.Table:
        self.opened.map(sql.format(**self.words), function, schema, "per_batch")
        return self.opened.read("SELECT * FROM per_batch").read_all()

    def take(self, name: str, schema: pa.Schema) -> None:
        """Lets the engine have the files that were left under a name."""
        if files := self._files(name):
            self.opened.parquet(name, files, schema)
        else:
            self.opened.rows(name, schema.empty_table())

    def beside(self, name: str, schema: pa.Schema) -> None:
        """Lets the engine have a table of the scan's database."""
        path = self._folder / f"{name}.parquet"
        self.con.execute(f"COPY (SELECT {', '.join(schema.names)} FROM {name}) TO {literal(str(path))} (FORMAT parquet)")
        self.opened.parquet(name, [path], schema)

    def _files(self, name: str) -> list[Path]:
        return sorted((self._folder / name).glob("*.parquet"))

    def _rows(self, name: str, rows: pa.Table) -> None:
        self.con.register("answer", rows)
        self.con.execute(f"CREATE TABLE {name} AS FROM answer")
        self.con.unregister("answer")


@contextlib.contextmanager
def over(settings: Settings, con: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[OnEngine]:
    """The engine that is set, with all that is known of the rows in a folder so far."""
    from found_platform import engine  # it brings Ibis, which a scan in one process does without

    with contextlib.closing(engine.of(settings)) as opened:
        asked = OnEngine(opened, con, folder)
        opened.parquet("scan_files", sorted(folder.glob(FILES)), ROWS)
        for name, schema in BESIDE.items():
            if totals.exists(con, name):
                asked.beside(name, schema)
        for name, schema in LARGE.items():
            if totals.exists(con, name):
                asked.take(name, schema)
        scan.view_rows(asked)
        yield asked


@contextlib.contextmanager
def asked(settings: Settings, con: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[Asked]:
    """Who answers what is asked of a scan: the engine, where the rows lie in files in a folder, and DuckDB otherwise."""
    if scan.is_in_files(con):
        with over(settings, con, folder) as on_engine:
            yield on_engine
    else:
        yield InProcess(con)
