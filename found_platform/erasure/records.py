"""Records of a home in PostgreSQL: cells that name persons are overwritten, and the tables are written anew.

What belongs here: the schemas of a home (`database`), whoever fills them. What does not: SQLite files (`databases`). What the
server keeps beside its tables, its write-ahead log and its backups, no client can rewrite: the certificate says so.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sql

from found_platform import database
from found_platform.erasure.databases import AT_ONCE, naming, overwritten
from found_platform.erasure.persons import Persons
from found_platform.erasure.proof import Search
from found_platform.settings import Settings

ROW = sql.literal_column("ctid::text").label("found_row")
"""Where a row lies, by which it is changed within the same transaction."""


def clean(settings: Settings, persons: Persons) -> int:
    """Overwrites the names of persons; returns in how many rows. Triggers that forbid changes, as the audit's, are put back."""
    store, changed = settings.postgres, 0
    if store is None:
        return 0
    for name in database.STORES:
        tables = []
        with store.opened(name) as con:
            for table, columns in _tables(con):
                hits = list(_rows_with(con, table, columns, persons))
                if not hits:
                    continue
                quoted = con.dialect.identifier_preparer.format_table(table)
                con.exec_driver_sql(f"ALTER TABLE {quoted} DISABLE TRIGGER USER")
                for row, cells in hits:
                    new = {c.name: overwritten(cell, persons, c.name) for c, cell in zip(columns, cells, strict=True)}
                    values = {c: sql.cast(sql.literal(new[c.name], _plain(c)), c.type) for c in columns}
                    con.execute(table.update().where(sql.text("ctid = CAST(:row AS tid)").bindparams(row=row)).values(values))
                con.exec_driver_sql(f"ALTER TABLE {quoted} ENABLE TRIGGER USER")
                tables.append(quoted)
                changed += len(hits)
        with store.engine(name).connect().execution_options(isolation_level="AUTOCOMMIT") as con:
            for quoted in tables:  # rows as they were are in the files of a table until it is written anew
                con.exec_driver_sql(f"VACUUM FULL {quoted}")
    return changed


def search(settings: Settings, persons: Persons, result: Search) -> None:
    """Looks for persons in every table."""
    store = settings.postgres
    for name in database.STORES if store else ():
        assert store is not None
        with store.opened(name) as con:
            for table, columns in _tables(con):
                result.saw("tables in PostgreSQL")
                if any(True for _ in _rows_with(con, table, columns, persons)):
                    result.hits.append(f"the table {table.name} of {database.place(store.url)}")


def _tables(con: sql.Connection) -> Iterator[tuple[sql.Table, list[sql.Column[Any]]]]:
    """Each table, and its columns that hold texts or bytes."""
    every = sql.MetaData()
    every.reflect(con)
    for table in every.sorted_tables:
        if columns := [c for c in table.columns if isinstance(c.type, sql.String | sql.LargeBinary | sql.JSON)]:
            yield table, columns


def _rows_with(
    con: sql.Connection, table: sql.Table, columns: list[sql.Column[Any]], persons: Persons
) -> Iterator[tuple[str, list[Any]]]:
    """Where each row lies that names somebody, and its cells."""
    query = sql.select(ROW, *(sql.cast(c, _plain(c)) for c in columns)).select_from(table)
    names = [c.name for c in columns]
    with con.execute(query.execution_options(yield_per=AT_ONCE)) as result:
        for rows in result.partitions():
            cells = [[bytes(cell) if isinstance(cell, memoryview) else cell for cell in row[1:]] for row in rows]
            for number in naming(names, cells, persons):
                yield rows[number][0], cells[number]


def _plain(column: sql.Column[Any]) -> Any:
    return sql.LargeBinary() if isinstance(column.type, sql.LargeBinary) else sql.Text()
