"""DuckDB in this process: the default."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from found_platform import daily, lake, mapped, spill
from found_platform.engine.interface import Batches, Query, sql_of
from found_platform.lake_place import Place
from found_platform.settings import Settings

ROWS_AT_ONCE = 100_000
"""Rows of a batch on the way from DuckDB to Delta."""

ROWS_OF_GROUPS = 8192
"""Of a batch that is cut into groups."""

FILE_SIZE = "256MB"
"""Of files that are no table."""

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

    def table(self, name: str, version: int | None = None, days: tuple[dt.date, dt.date] | None = None) -> None:
        lake.view(self._con, name, self._lake, name, version)

    def rows(self, name: str, data: pa.Table) -> None:
        self._con.register(name, data)

    def parquet(self, name: str, paths: Iterable[Path], schema: pa.Schema) -> None:
        columns, listed = ", ".join(map(lake.quote, schema.names)), ", ".join(lake.literal(str(path)) for path in paths)
        rows = f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning=false)"
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {rows}")

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

    def map_groups(self, query: Query, by: str, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str) -> None:
        rows = self._con.execute(f"SELECT * FROM ({sql_of(query, self.dialect)}) ORDER BY {by}").to_arrow_reader(ROWS_OF_GROUPS)
        tables = [function(group) for group in _groups(rows, by)]
        self._con.register(name, pa.concat_tables(tables) if tables else schema.empty_table())

    def each(self, name: str, rows: pa.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema) -> None:
        tables = [function(rows.slice(place, 1)) for place in range(rows.num_rows)]
        self._con.register(name, pa.concat_tables(tables) if tables else schema.empty_table())

    def write(self, query: Query, folder: Path, *, schema: pa.Schema, by: str | None = None) -> None:
        columns, order = ", ".join(map(lake.quote, schema.names)), "" if by is None else f" ORDER BY {lake.quote(by)}"
        self._con.execute(
            f"COPY (SELECT {columns} FROM ({sql_of(query, self.dialect)}){order}) TO {lake.literal(str(folder))} "
            f"(FORMAT parquet, FILE_SIZE_BYTES '{FILE_SIZE}')"
        )

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


def _groups(rows: Iterable[pa.RecordBatch], by: str) -> Iterator[pa.Table]:
    """The rows of each value of a column, which come one value after another."""
    held: list[pa.RecordBatch] = []
    for batch in rows:
        ends = [0, *(np.flatnonzero(np.diff(batch[by].to_numpy())) + 1).tolist(), batch.num_rows]
        for start, end in itertools.pairwise(ends):
            part = batch.slice(start, end - start)
            if held and held[0][by][0] != part[by][0]:
                yield pa.Table.from_batches(held)
                held = []
            if part.num_rows:
                held.append(part)
    if held:
        yield pa.Table.from_batches(held)
