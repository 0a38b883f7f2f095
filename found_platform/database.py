"""PostgreSQL for the records of a home, by one setting (`FOUND_DATABASE_URL`): where Dagster, MLflow and the audit lie then.

What belongs here: the stores, and whether a home and a database belong together. What does not: addresses and the mark of a home
(`postgres`), what is in a store, and how a home that has SQLite files is moved over (`housekeeping.moving`).

A home has a schema for each store, named by a number that `HOME/database.json` keeps: many homes share a database, and a home that
is moved finds its own. That file is also what says that the home's records are in PostgreSQL: it is written last.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform.errors import BadInput, JobFailed
from found_platform.home import lock, make_private, option, write_whole
from found_platform.postgres import MARKER, SETTING, address, marked, place

if TYPE_CHECKING:
    import sqlalchemy as sql

DAGSTER, MLFLOW, AUDIT = STORES = ("dagster", "mlflow", "audit")

IN_FILES = {
    DAGSTER: ("dagster/history", "dagster/schedules"),
    MLFLOW: ("mlflow/mlflow.db",),
    AUDIT: ("audit.db",),
}
"""Where each store lies in a home that keeps its records itself, in SQLite files."""


@dataclass(frozen=True)
class Database:
    """The database of one home. `number` tells its schemas from those of other homes."""

    url: str
    number: str

    def schema(self, store: str) -> str:
        """Where the tables of a store lie."""
        return f"found_{self.number}_{store}"

    def address(self, store: str) -> str:
        """The address of a store for SQLAlchemy, with the password."""
        return address(self.url, self.schema(store))

    def engine(self, store: str) -> "sql.Engine":
        """Connections to a store, shared by the threads of this process."""
        return _engine(self.address(store), os.getpid())

    @contextlib.contextmanager
    def opened(self, store: str) -> "Iterator[sql.Connection]":
        """A store, for one transaction. Raises JobFailed where the server does not answer."""
        from sqlalchemy import exc

        try:
            with self.engine(store).begin() as con:
                yield con
        except (exc.OperationalError, exc.InterfaceError) as error:
            raise JobFailed(f"{place(self.url)} cannot be used: {_reason(error)}. Look whether the server runs.") from error


def of_home(home: Path, url: str | None) -> Database | None:
    """The database of a home: None where it keeps its records itself. A new home gets its schemas.

    Raises BadInput where the setting and the home do not belong together, and where the server does not answer.
    """
    check(home, url)
    if url is None:
        return None
    number = marked(home)
    if number is None:
        with lock(home, "database"):
            number = marked(home)
            if number is None:
                number = secrets.token_hex(4)
                make_schemas(url, number)
                mark(home, number)
    _check_schemas(url, number)
    return Database(url, number)


def check(home: Path, url: str | None) -> None:
    """Raises BadInput where the records of a home are not where the setting says. Asks no server."""
    number = marked(home)
    if url is None and number is not None:
        raise BadInput(
            f"The home {home} keeps its runs, models and audit in PostgreSQL: set {SETTING} to the address of that database "
            "(postgresql://USER:PASSWORD@HOST/NAME)."
        )
    if url is not None and number is None and (files := in_files(home)):
        raise BadInput(
            f"{SETTING} is set, and the home {home} keeps its records in files ({files[0]}): "
            f"`found move-database{option(home)}` moves them into the database."
        )


def mark(home: Path, number: str) -> None:
    """From here on the records of a home are in PostgreSQL."""
    make_private(home)
    write_whole(home / MARKER, json.dumps({"number": number}) + "\n")


def in_files(home: Path) -> list[str]:
    """The SQLite stores that a home has."""
    return [name for names in IN_FILES.values() for name in names if (home / name).exists()]


def make_schemas(url: str, number: str) -> None:
    """Makes the empty schemas of a home."""
    with _opened(url) as con:
        for store in STORES:
            con.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {Database(url, number).schema(store)}")


def drop_schemas(url: str, number: str) -> None:
    """Removes the schemas of a home, with everything in them."""
    with _opened(url) as con:
        for store in STORES:
            con.exec_driver_sql(f"DROP SCHEMA IF EXISTS {Database(url, number).schema(store)} CASCADE")


@lru_cache(maxsize=32)
def _check_schemas(url: str, number: str) -> None:
    """Raises BadInput where a database is not that of the home."""
    with _opened(url) as con:
        rows = con.exec_driver_sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'found%%'").fetchall()
    names = {name for (name,) in rows}
    missing = [schema for store in STORES if (schema := Database(url, number).schema(store)) not in names]
    if missing:
        raise BadInput(f"{place(url)} has no schema {missing[0]}: it is another database than that of this home. Mend {SETTING}.")


@contextlib.contextmanager
def _opened(url: str) -> "Iterator[sql.Connection]":
    """A database without a schema of its own. Raises BadInput where it cannot be used."""
    from sqlalchemy import exc

    try:
        with _engine(address(url, "public"), os.getpid()).begin() as con:
            yield con
    except exc.DBAPIError as error:
        raise BadInput(f"{place(url)} cannot be used ({_reason(error)}): look at {SETTING}, and whether the server runs.") from None


@lru_cache(maxsize=16)
def _engine(address: str, process: int) -> "sql.Engine":
    """A connection is asked whether it still lives before it is used again; a forked process gets its own."""
    import sqlalchemy as sql

    del process
    try:
        return sql.create_engine(address, pool_pre_ping=True, pool_size=2, max_overflow=8)
    except ImportError:
        raise BadInput(
            f"{SETTING} needs the drivers of PostgreSQL: `pip install -c constraints.txt 'found-platform[postgres]'`."
        ) from None


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", error)).split()).rstrip(".")
