"""The tables of a SQLite database as `found source init` looks at them: a bounded sample of each.

What belongs here: recognising a database, its tables, some rows of each. What does not: reading it for a run (`databases`).
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from found_platform.errors import BadInput
from found_platform.sources.init_sample import SAMPLE_ROWS, Table, flat

MAGIC = b"SQLite format 3\0"
PARTS = 3  # a table is looked at from its beginning, its middle and its end


def is_database(file: Path) -> bool:
    """Whether a file is a SQLite database, whatever it is called."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def tables(file: Path) -> list[Table]:
    """A sample of each table and view that has rows. Raises BadInput where the database cannot be read or holds none."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as con:
            con.row_factory = sqlite3.Row
            names = [
                row[0]
                for row in con.execute(
                    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' "
                    "ORDER BY name"
                )
            ]
            samples = [_sample(con, file, name) for name in names]
    except sqlite3.Error as error:
        raise BadInput(f"{file} cannot be read as a SQLite database: {error}.") from None
    samples = [table for table in samples if table.rows]
    if not samples:
        raise BadInput(f"{file} is a SQLite database without a row: name another file.")
    return samples


def _sample(con: sqlite3.Connection, file: Path, name: str) -> Table:
    rows = [{key: None if isinstance(row[key], bytes) else row[key] for key in row.keys()} for row in _rows(con, name)]  # noqa: SIM118
    columns, _ = flat(rows)
    present = {column: [row[column] for row in rows if row[column] is not None] for column in columns}
    types = {column: "number" for column, values in present.items() if values and all(isinstance(v, int | float) for v in values)}
    return Table([file / name], "sqlite", columns, types)


def _rows(con: sqlite3.Connection, name: str) -> list[sqlite3.Row]:
    table = '"' + name.replace('"', '""') + '"'
    try:
        first, last = con.execute(f"SELECT min(rowid), max(rowid) FROM {table}").fetchone()
    except sqlite3.OperationalError:  # a view, or a table without row numbers
        return con.execute(f"SELECT * FROM {table} LIMIT {SAMPLE_ROWS}").fetchall()
    if first is None:
        return []
    step = max(1, (last - first + 1) // PARTS)
    return [
        row
        for part in range(PARTS)
        for row in con.execute(
            f"SELECT * FROM {table} WHERE rowid >= ? AND rowid < ? ORDER BY rowid LIMIT {SAMPLE_ROWS // PARTS + 1}",
            [first + part * step, first + (part + 1) * step if part < PARTS - 1 else last + 1],
        )
    ]
