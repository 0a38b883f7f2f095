"""The records of a home move from its SQLite files into PostgreSQL: all of them, or none.

What belongs here: the order of a move, copying the tables of a database, MLflow's store and the audit. Dagster's store is
`dagster_defs.moving`. Tables are copied into schemas that nobody reads yet; writing `HOME/database.json` is what moves the home.
The files are then put aside into `HOME/before-postgres`. A move that fails or is killed before leaves the home as it was.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sql
from filelock import Timeout

from found_platform import command_line, database, home, postgres
from found_platform.database import Database
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy import audit
from found_platform.registry import tracking
from found_platform.settings import Settings

ASIDE = "before-postgres"
BEGUN = "database-begun"
"""The number of a move that has not ended: the next one removes what it left in the database."""

AT_ONCE = 1_000
"""Rows that are copied together."""

WRITE_SECONDS = 10.0
"""To wait for whoever writes into a file at this moment."""

VERSIONS = "alembic_version"
"""The table in which Dagster and MLflow keep the version of their tables."""

Copy = Callable[[Settings, Database], dict[str, int]]
"""Copies one store; returns the rows of each table."""


@dataclass(frozen=True)
class Moved:
    """Rows by store and table; `aside` has the files from before. `rows` is empty where the home had been moved already."""

    place: str
    aside: Path
    rows: dict[str, dict[str, int]]


def move(settings: Settings, copies: Mapping[str, Copy]) -> Moved:
    """Moves the records of a home to where `FOUND_DATABASE_URL` says.

    Raises BadInput where that is not set, or the database cannot be used, JobFailed where somebody works in the home.
    """
    url = settings.database_url
    if url is None:
        raise BadInput(f"Say where to: {database.SETTING}=postgresql://USER:PASSWORD@HOST/NAME found move-database …")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(home.lock(settings.home, home.WHOLE, 0))
        except Timeout:
            raise JobFailed(f"An erasure, a backup or another move is at work in {settings.home}: try again after it.") from None
        rows: dict[str, dict[str, int]] = {}
        if database.marked(settings.home) is None:
            files = _databases(settings.home)
            _refuse_while_used(settings.home, files)
            for file in files:
                held.enter_context(_unchanging(file))
            rows = _copied(settings, url, copies)
        database.of_home(settings.home, url)  # that it is the database of this home
        _put_aside(settings.home)
    return Moved(database.place(url), settings.home / ASIDE, rows)


def _copied(settings: Settings, url: str, copies: Mapping[str, Copy]) -> dict[str, dict[str, int]]:
    begun = settings.home / BEGUN
    if begun.exists() and postgres.NUMBER.fullmatch(begun.read_text()):
        database.drop_schemas(url, begun.read_text())
    number = os.urandom(4).hex()
    home.write_whole(begun, number)
    target = Database(url, number)
    database.make_schemas(url, number)
    try:
        rows = {store: copy(settings, target) for store, copy in copies.items()}
    except BaseException:
        database.drop_schemas(url, number)
        begun.unlink()
        raise
    database.mark(settings.home, number)
    begun.unlink()
    return rows


def _databases(folder: Path) -> list[Path]:
    """The SQLite files that are to move."""
    paths = [folder / name for name in database.in_files(folder)]
    return [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.db")))]


def _refuse_while_used(folder: Path, files: list[Path]) -> None:
    """A server or a daemon would go on writing into files that nobody reads any more."""
    import psutil

    names = {str(file) for file in files}
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and names & {opened.path for opened in process.open_files()}:
                command = command_line.line(command_line.words(process.cmdline()))
                raise JobFailed(f"Process {process.pid} ({command}) works in {folder}: stop it, then run this again.")


@contextlib.contextmanager
def _unchanging(file: Path) -> Iterator[None]:
    """A database that nobody writes into meanwhile."""
    with contextlib.closing(sqlite3.connect(file, timeout=WRITE_SECONDS, isolation_level=None)) as con:
        try:
            con.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise JobFailed(
                f"{file} is written at this moment ({error}): stop what works in the home, then run this again."
            ) from None
        yield
        con.execute("ROLLBACK")


def _put_aside(folder: Path) -> None:
    for name in database.in_files(folder):
        target = folder / ASIDE / name
        home.make_private(target.parent)
        for end in ("-wal", "-shm", ""):  # the file itself last: until then the next move finds it
            with contextlib.suppress(FileNotFoundError):
                (folder / f"{name}{end}").rename(target.with_name(target.name + end))


def copy_tables(source: Path, con: sql.Connection, names: Callable[[str], bool] = lambda _: True) -> dict[str, int]:
    """Copies the tables of a SQLite file into tables that the same library has made in PostgreSQL; what is in those goes.

    Raises JobFailed where the library would first have to change the tables of the file, and where rows are missing afterwards.
    """
    target = sql.MetaData()
    target.reflect(con)
    counts: dict[str, int] = {}
    with sql.create_engine(f"sqlite:///{source}").connect() as before:
        existing = set(sql.inspect(before).get_table_names())
        if VERSIONS in existing and (old := _version(before)) != (new := _version(con)):
            raise JobFailed(
                f"The tables of {source} are of version {old}, and those of this version of the platform are {new}: "
                "run `found doctor` in the home, or make the home with this version."
            )
        tables = [t for t in target.sorted_tables if t.name in existing and t.name != VERSIONS and names(t.name)]
        for table in reversed(tables):
            con.execute(table.delete())
        for table in tables:
            own = {column["name"] for column in sql.inspect(before).get_columns(table.name)}
            columns = [column for column in table.columns if column.name in own]
            query = sql.select(*(sql.column(c.name, c.type.as_generic(allow_nulltype=True)) for c in columns)).select_from(
                sql.table(table.name)
            )
            counts[table.name] = insert(con, table, before.execute(query.execution_options(yield_per=AT_ONCE)))
            if con.execute(sql.select(sql.func.count()).select_from(table)).scalar() != counts[table.name]:
                raise JobFailed(f"Rows of the table {table.name} are missing after the copy.")
            follow_on(con, table)
    return counts


def insert(con: sql.Connection, table: sql.Table, rows: sql.Result) -> int:
    """Adds rows to a table; returns how many."""
    count = 0
    for part in rows.partitions(AT_ONCE):
        con.execute(table.insert(), [dict(row._mapping) for row in part])
        count += len(part)
    return count


def follow_on(con: sql.Connection, table: sql.Table) -> None:
    """Lets the numbers of new rows go on after those that were copied."""
    for column in table.primary_key.columns:
        sequence = con.execute(sql.func.pg_get_serial_sequence(table.name, column.name).select()).scalar()
        if sequence:
            newest = sql.select(sql.func.coalesce(sql.func.max(column), 0) + 1).scalar_subquery()
            con.execute(sql.select(sql.func.setval(sequence, newest, False)))


def _version(con: sql.Connection) -> str:
    return str(con.execute(sql.select(sql.column("version_num")).select_from(sql.table(VERSIONS))).scalar())


def _mlflow(settings: Settings, target: Database) -> dict[str, int]:
    source = settings.home / "mlflow" / "mlflow.db"
    if not source.exists():
        return {}
    tracking.make_tables(target.address(database.MLFLOW))
    with target.opened(database.MLFLOW) as con:
        return copy_tables(source, con)


def _audit(settings: Settings, target: Database) -> dict[str, int]:
    source = settings.home / audit.DATABASE
    if not source.exists():
        return {}
    with target.opened(database.AUDIT) as con, contextlib.closing(sqlite3.connect(source)) as before:
        table = audit.postgres_table(con)
        rows = before.execute(f"SELECT {', '.join(audit.COLUMNS)} FROM {audit.TABLE} ORDER BY rowid").fetchall()
        table.add(rows)
        return {audit.TABLE: len(rows)}


COPIES: dict[str, Copy] = {database.MLFLOW: _mlflow, database.AUDIT: _audit}
"""By the name of the store."""
