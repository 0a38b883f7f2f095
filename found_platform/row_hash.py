"""Hashes of the rows of lake tables: the same whoever computed them, in whatever order, on whatever engine.

What belongs here: how rows become a hash. What does not: what a hash is kept for (`daily`, the records of runs).
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.dataset as pad
from deltalake import DeltaTable

from found_platform.lake import FEW_AT_ONCE, connect, dataset, quote, scan_of
from found_platform.lake_place import Place

SUMMED = "sum(CAST(hash({fields}) AS HUGEINT)) % 18446744073709551616"
HASHED = f'SELECT CAST("{{key}}" AS VARCHAR), count(*), {SUMMED} FROM t'


def by_key(
    lake: Place, table: str, key: str, where: pad.Expression | None = None, drop: Iterable[str] = ()
) -> dict[str, tuple[int, str]]:
    """Row count and row hash for each value of the column `key`.

    The hash is a sum over rows, so it does not depend on their order and counts repeats.
    """
    data = dataset(lake, table)
    columns = [c for c in data.schema.names if c not in set(drop)]
    con = connect()
    con.register("t", data.scanner(columns=columns, filter=where, **FEW_AT_ONCE))
    fields = ", ".join(map(quote, columns))
    rows = con.execute(f"{HASHED.format(key=key, fields=fields)} GROUP BY 1").fetchall()
    return {k: (n, f"{int(h):016x}") for k, n, h in rows}


def of_files(about: DeltaTable, folder: Place, paths: list[str], where: str) -> tuple[int, str]:
    """Row count and row hash of the rows of these files of a table that an SQL condition selects."""
    if not paths:
        return 0, "0" * 16
    con = connect()
    columns = ", ".join(map(quote, pa.schema(about.schema().to_arrow()).names))
    con.execute(f"CREATE TEMP VIEW t AS SELECT {columns} FROM {scan_of(con, about, folder, paths)} WHERE {where}")
    row = con.execute(f"SELECT count(*), coalesce({SUMMED.format(fields=columns)}, 0) FROM t").fetchone()
    assert row is not None
    return row[0], f"{int(row[1]):016x}"


def of_batches(key: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of each batch the row count and row hash by the values of a column: what workers of an engine make, to be added up."""
    con = connect()
    for batch in batches:
        con.register("t", pa.table(batch))
        fields = ", ".join(map(quote, batch.schema.names))
        rows = con.execute(f"{HASHED.format(key=key, fields=fields)} GROUP BY 1").fetchall()
        names, counts, hashes = zip(*rows, strict=True) if rows else ((), (), ())
        columns = [pa.array(names, pa.string()), pa.array(counts, pa.int64()), pa.array([f"{int(h):016x}" for h in hashes])]
        yield pa.record_batch([*columns[:2], columns[2].cast(pa.string())], names=["day", "n", "hash"])


def of_table(lake: Place, table: str) -> str:
    """The row hash of a whole table."""
    data = dataset(lake, table)
    con = connect()
    con.register("t", data)
    fields = ", ".join(map(quote, data.schema.names))
    row = con.execute(f"SELECT count(*), coalesce({SUMMED.format(fields=fields)}, 0) FROM t").fetchone()
    assert row is not None
    return f"{row[0]}-{int(row[1]):016x}"
