"""Databases: the rows of a query, or of a table, of any database that SQLAlchemy speaks to, streamed into a snapshot.

What belongs here: connecting, reading in batches, going on behind a cursor, errors of databases. What does not: addresses as they
stand in a source file (`addresses`), how a snapshot is kept (`snapshots`), what the rows mean (`scan`, `profile`).
"""

import datetime as dt
import filecmp
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from found_platform.errors import BadInput
from found_platform.sources.addresses import SECRETS, expand, is_variable, parse
from found_platform.sources.progress import pulling
from found_platform.sources.snapshots import ROWS_A_GROUP, PartWriter, Snapshot, State, recast

if TYPE_CHECKING:
    import sqlalchemy as sa

CONNECT_SECONDS = 15
"""How long an address may stay silent: drivers of PostgreSQL and MySQL wait for minutes otherwise."""

ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}.*)?")


@dataclass(frozen=True)
class Query:
    """What is read of which database. `where` begins each message: the channel, or the profile."""

    url: str
    query: str | None
    table: str | None
    cursor: str | None
    where: str


def pull(query: Query, snapshot: Snapshot, *, full: bool = False) -> int:
    """Reads the rows of a query into a snapshot and returns how many are new; 0 leaves its files as they are.

    With a cursor only rows from its newest value on are read; those of that very value replace the ones that were read before, so
    that a row which came later with the same value is not lost. Without one, or with `full`, everything is read anew.

    Raises:
        BadInput: The database cannot be reached, or the query or the cursor cannot be used.
    """
    with snapshot.work() as work:
        return _pull(query, snapshot, work, full=full)


def _pull(query: Query, snapshot: Snapshot, work: Path, *, full: bool) -> int:
    before = snapshot.state()
    state = State(readings=before.readings) if full or not query.cursor else before
    tail: list[Sequence[Any]] = []
    with _rows(query, state.cursor) as (names, batches), pulling(query.where, " rows", lambda: _count(query, state.cursor)) as more:
        writer = PartWriter(work, names, state.types, where=query.where)
        position = _cursor_position(query, names)
        for batch in batches:
            more(len(batch))
            if position is None:
                writer.write(batch)
            else:
                _check_cursor(query, [row[position] for row in batch])
                rows, tail = _split([*tail, *batch], position)
                writer.write(rows)
    if state.files and not tail and query.cursor:  # the rows of the newest value are gone: what was read before stays
        return 0
    is_longer = writer.rows > 0 and state.cursor is not None
    writer.end_file()
    writer.write(tail)
    files = writer.close()
    kept = [name for name in state.files if name != state.tail]
    replaced = [snapshot.rows / name for name in before.files if name not in kept]
    if not is_longer and _equal(files, replaced):
        return 0
    for name in kept:
        recast(snapshot.rows / name, writer.types, query.where)
    parts = [(path, f"{state.readings + 1:06d}-{number:04d}.parquet") for number, path in enumerate(files)]
    again = sum(pq.read_metadata(path).num_rows for path in replaced) if state.cursor else 0
    snapshot.commit(
        State(
            files=(*kept, *(name for _, name in parts)),
            tail=parts[-1][1] if tail else None,
            cursor=_stored_cursor(tail[-1][position]) if position is not None and tail else None,
            types={**state.types, **writer.types},
            readings=state.readings + 1,
        ),
        parts,
    )
    return max(writer.rows - again, 1)


def _equal(files: list[Path], others: list[Path]) -> bool:
    """Whether files hold the same, byte by byte: then nothing has to be scanned again."""
    return len(files) == len(others) and all(filecmp.cmp(a, b, shallow=False) for a, b in zip(files, others, strict=True))


@contextmanager
def _rows(query: Query, newest: dict[str, str] | None) -> Iterator[tuple[list[str], Iterator[Sequence[Sequence[Any]]]]]:
    """The column names of a query, and its rows in batches: those from the cursor's newest value on, in its order."""
    from sqlalchemy import exc

    opened, secrets = _engine(query)
    try:
        with _connection(query, opened, secrets) as connection:
            try:
                result = connection.execution_options(stream_results=True, yield_per=ROWS_A_GROUP).execute(
                    _statement(query, newest)
                )
                yield list(result.keys()), result.partitions()
            except exc.SQLAlchemyError as error:
                what = f"the table {query.table!r}" if query.table else "the query"
                raise BadInput(f"{query.where}: {what} cannot be read from {_shown(query)}: {line(error, secrets)}.") from None
    finally:
        opened.dispose()


def _count(query: Query, newest: dict[str, str] | None) -> int | None:
    """How many rows there are to read; None where the database does not say: then the reading itself says why."""
    import sqlalchemy as sa
    from sqlalchemy import exc

    opened, secrets = _engine(query)
    try:
        with _connection(query, opened, secrets) as connection:
            rows = _statement(query, newest).order_by(None).subquery("counted")
            return connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar()
    except exc.SQLAlchemyError:
        return None
    finally:
        opened.dispose()


def _statement(query: Query, newest: dict[str, str] | None) -> "sa.Select":
    import sqlalchemy as sa

    everything = sa.literal_column("*")
    if query.table:
        schema, _, table = query.table.rpartition(".")
        rows: sa.FromClause = sa.table(table, *_cursor_columns(query), schema=schema or None)
    else:
        text = (query.query or "").strip().rstrip(";")
        # a colon within the query is no parameter of ours
        rows = sa.text(text.replace(":", r"\:") + "\n").columns(*_cursor_columns(query)).subquery("pulled")
    if not query.cursor:
        return sa.select(everything).select_from(rows)
    cursor = rows.c[query.cursor]
    statement = sa.select(everything).select_from(rows).order_by(cursor)
    if newest is None:
        return statement
    # rows without a cursor value are asked for too, to be refused: otherwise they would be left out untold
    value = _restored_cursor(newest)
    zoned = (
        sa.DateTime(timezone=True) if isinstance(value, dt.datetime) and value.tzinfo else None
    )  # else read in the session's zone
    return statement.where(sa.or_(cursor >= sa.bindparam("newest", value, type_=zoned), cursor.is_(None)))


def _cursor_columns(query: Query) -> list[Any]:
    import sqlalchemy as sa

    return [sa.column(query.cursor)] if query.cursor else []


def _engine(query: Query) -> "tuple[sa.Engine, list[str]]":
    """The engine of a query, which only reads, and what must be in no message."""
    from sqlalchemy import event

    opened, secrets = engine(query.url, query.where)
    if opened.dialect.name == "sqlite":
        event.listen(opened, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    return opened, secrets


def engine(url: str, where: str) -> "tuple[sa.Engine, list[str]]":
    """The engine of an address, with its variables put in, and what must be in no message.

    Raises BadInput for an address that cannot be used, for a driver that is not there, and for an SQLite file that there is not.
    """
    import sqlalchemy as sa
    from sqlalchemy import exc

    parsed = parse(expand(url, where) if is_variable(url) else url)
    if parsed is None:
        raise BadInput(f"{where}: {url} holds no address of a database, such as postgresql+psycopg://user@host/db.")
    parts: dict[str, Any] = {
        n: expand(v, where) for n in ("username", "password", "host", "database") if isinstance(v := getattr(parsed, n), str)
    }
    options = {k: expand(v, where) for k, v in parsed.query.items() if isinstance(v, str)}
    parsed = parsed.set(**parts, query={**parsed.query, **options})
    secrets = [s for s in (parts.get("password"), *(v for k, v in options.items() if SECRETS.search(k))) if s]
    backend = parsed.get_backend_name()
    file = parsed.database if backend == "sqlite" and parsed.database != ":memory:" else None
    if file and not file.startswith("file:") and not Path(file).is_file():  # SQLite would make an empty one
        raise BadInput(f"{where}: there is no SQLite file {file}: check `url` (a relative path starts at the source file).")
    try:
        connect = {"connect_timeout": CONNECT_SECONDS} if backend in ("postgresql", "mysql", "mariadb") else {}
        return sa.create_engine(parsed, connect_args=connect, poolclass=sa.pool.NullPool), secrets
    except exc.NoSuchModuleError:
        raise BadInput(
            f"{where}: SQLAlchemy has no dialect {parsed.drivername!r}: check `url`, or install the package of that database."
        ) from None
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{where}: the driver {error.name!r} of {parsed.drivername} is not installed: install it, or name another one in "
            "`url` (postgresql+psycopg:// is the extra `postgres`)."
        ) from None
    except (exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise BadInput(f"{where}: `url` cannot be used: {line(error, secrets)}.") from None


@contextmanager
def _connection(query: Query, opened: "sa.Engine", secrets: list[str]) -> "Iterator[sa.Connection]":
    """A connection that only reads, where the database knows such a thing."""
    from sqlalchemy import exc

    try:
        connection = opened.connect()
    except (exc.SQLAlchemyError, OSError, UnicodeError) as error:
        raise BadInput(
            f"{query.where}: {_shown(query)} cannot be reached: {line(error, secrets)}; check host, user and password."
        ) from None
    with connection:
        yield connection.execution_options(postgresql_readonly=True) if opened.dialect.name == "postgresql" else connection


def _shown(query: Query) -> str:
    """The address as it stands in the source file, which holds no password."""
    return query.url


def line(error: Exception, secrets: list[str]) -> str:
    """What a database says, in one line, without a password."""
    text = str(getattr(error, "orig", None) or error).strip()
    line = " ".join(text.splitlines()[:1]).rstrip(".") or type(error).__name__
    for secret in secrets:
        line = line.replace(secret, "***")
    return line


def _cursor_position(query: Query, names: list[str]) -> int | None:
    if len(set(names)) < len(names):
        raise BadInput(f"{query.where}: the query names a column twice ({', '.join(names)}): give one another name with AS.")
    if not query.cursor:
        return None
    by_case = {name.lower(): number for number, name in enumerate(names)}
    if query.cursor.lower() not in by_case:
        raise BadInput(f"{query.where}: the query has no column {query.cursor!r} for the cursor; it has {', '.join(names)}.")
    return by_case[query.cursor.lower()]


def _split(rows: list[Sequence[Any]], position: int) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
    """Rows in the cursor's order: those before its last value, and those of that value."""
    first = len(rows)
    while first and rows[first - 1][position] == rows[-1][position]:
        first -= 1
    return rows[:first], rows[first:]


def _check_cursor(query: Query, values: Sequence[Any]) -> None:
    """Raises BadInput where a cursor's order is not the order in which rows come."""
    if any(v is None for v in values):
        raise BadInput(f"{query.where}: the cursor {query.cursor!r} is null in a row: choose a column that every row has.")
    kinds = {type(v) for v in values}
    if kinds <= {int} or kinds <= {Decimal} or kinds <= {dt.date} or all(issubclass(k, dt.datetime) for k in kinds):
        return
    if kinds == {float} and all(map(math.isfinite, values)):
        return
    if kinds == {str} and all(ISO_TIME.fullmatch(v) for v in values):  # SQLite has no other times
        return
    example = max((v for v in values if not isinstance(v, int | dt.date)), default=values[0], key=lambda v: len(str(v)))
    raise BadInput(
        f"{query.where}: the cursor {query.cursor!r} holds {str(example)!r}, whose order need not be the order in which rows come: "
        "choose a growing number or a time, or leave `cursor` out to read everything each time."
    )


CURSORS: dict[str, Any] = {
    "int": int,
    "float": float,
    "Decimal": Decimal,
    "str": str,
    "date": dt.date.fromisoformat,
    "datetime": dt.datetime.fromisoformat,
}


def _stored_cursor(value: Any) -> dict[str, str]:
    kind = next(name for name in reversed(CURSORS) if name in {k.__name__ for k in type(value).__mro__})
    return {
        "kind": kind,
        "value": value.isoformat() if isinstance(value, dt.date) else repr(value) if kind == "float" else str(value),
    }


def _restored_cursor(cursor: dict[str, str]) -> Any:
    return CURSORS[cursor["kind"]](cursor["value"])
