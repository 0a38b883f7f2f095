"""DuckDB in this process: the default."""

import datetime as dt
from collections.abc import Iterable

import pyarrow as pa

from found_platform import daily, lake, mapped, spill
from found_platform.engine.interface import Batches, Query, sql_of
from found_platform.lake_place import Place
from found_platform.settings import Settings

ROWS_AT_ONCE = 100_000
"""Rows of a batch on the way from DuckDB to Delta."""

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
"""In which DuckDB states its memory."""


class DuckDB:
    """One connection over the tables of a home; see `Engine`."""

    name = dialect = "duckdb"

    def __init__(self, settings: Settings):
        self._lake, self._temp = settings.lake, settings.home / "tmp"
        self._con = lake.connect(settings.duckdb_memory, temp=self._temp)

    @property
    def memory(self) -> float:
        (text,) = self._con.execute("SELECT current_setting('memory_limit')").fetchone() or ("",)
        number, unit = str(text).split()
        return float(number) * UNITS[unit]

    def table(self, name: str, version: int | None = None) -> None:
        lake.view(self._con, name, self._lake, name, version)

    def rows(self, name: str, data: pa.Table) -> None:
        self._con.register(name, data)

    def view(self, name: str, query: Query) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql_of(query, self.dialect)}")

    def read(self, query: Query) -> pa.RecordBatchReader:
        return self._con.execute(sql_of(query, self.dialect)).to_arrow_reader(ROWS_AT_ONCE)

    def map(self, query: Query, function: Batches, schema: pa.Schema, name: str) -> None:
        """As `Engine.map`; what the function gives goes to a file that is mapped, a batch at a time."""
        batches = (lake.cast(batch, schema) for batch in function(iter(self.read(query))))
        with spill.scratch(self._temp) as folder:
            mapped.save_table(folder / "rows.arrow", pa.RecordBatchReader.from_batches(schema, batches))
            self._con.register(name, mapped.load_table(folder / "rows.arrow"))

    def replace(
        self,
        folder: Place,
        table: str,
        query: Query,
        *,
        schema: pa.Schema,
        partition_by: Iterable[str] = (),
        predicate: str,
        file_size: int | None = None,
    ) -> int:
        rows = pa.RecordBatchReader.from_batches(schema, (lake.cast(batch, schema) for batch in self.read(query)))
        return lake.replace(folder, table, rows, schema=schema, partition_by=partition_by, predicate=predicate, file_size=file_size)

    def append(self, folder: Place, table: str, query: Query, *, schema: pa.Schema, partition_by: Iterable[str] = ()) -> int:
        rows = pa.RecordBatchReader.from_batches(schema, (lake.cast(batch, schema) for batch in self.read(query)))
        return lake.append(folder, table, rows, schema=schema, partition_by=partition_by)

    def row_hashes(self, table: str, start: dt.date, end: dt.date) -> dict[str, tuple[int, str]]:
        return daily.day_hashes(self._lake, table, start, end)

    def close(self) -> None:
        self._con.close()
