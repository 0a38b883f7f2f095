"""A table of any database that SQLAlchemy speaks to, that holds the present members of audiences.

The address is SQLAlchemy's, with the table behind `#`; a password stands in the environment and is named as `${NAME}`. A whole
delivery replaces the rows of its audience, one of changes deletes who left and inserts who joined, each in one transaction.
"""

from typing import TYPE_CHECKING

from found_platform.audiences.receivers import CHANGES, NotTaken, Place, Shipment, check_options, table
from found_platform.errors import BadInput
from found_platform.sources import addresses, databases

if TYPE_CHECKING:
    import sqlalchemy as sa

TABLE = "found_audiences"
"""The table, where the address names none."""
LENGTH = 255  # of names and ids: MySQL has no key of a text without a length


def check(place: Place) -> None:
    """An address of a database that holds no password."""
    check_options(place)
    url, _ = _parts(place)
    try:
        addresses.check_url(url)
    except ValueError as problem:
        raise BadInput(f"{place.address.partition('://')[0]}: {problem}.") from None


def send(place: Place, shipment: Shipment) -> str:
    """Replaces or changes the rows of the audience in one transaction."""
    import sqlalchemy as sa
    from sqlalchemy import exc

    url, name = _parts(place)
    try:
        engine, secrets = databases.engine(url, "the destination")
    except BadInput as problem:
        raise NotTaken(str(problem).rstrip(".")) from None
    rows = _table(name)
    try:
        with engine.begin() as connection:
            _prepare(connection, rows)
            members, this_audience = table.members(shipment).to_pylist(), rows.c.audience == shipment.audience
            if shipment.content == CHANGES:
                ids = [*shipment.removed, *(member["user_id"] for member in members)]
                one = sa.delete(rows).where(this_audience, rows.c.user_id == sa.bindparam("id"))
                if ids:
                    connection.execute(one, [{"id": user_id} for user_id in ids])
            else:
                connection.execute(sa.delete(rows).where(this_audience))
            if members:
                connection.execute(sa.insert(rows), members)
    except (exc.SQLAlchemyError, OSError) as problem:
        raise NotTaken(databases.line(problem, secrets)) from None
    finally:
        engine.dispose()
    return ""


def _parts(place: Place) -> tuple[str, str]:
    url, _, name = place.address.partition("#")
    return url, name or TABLE


def _table(name: str) -> "sa.Table":
    import sqlalchemy as sa

    schema, _, table_name = name.rpartition(".")
    return sa.Table(
        table_name,
        sa.MetaData(schema=schema or None),
        sa.Column("audience", sa.String(LENGTH), primary_key=True),
        sa.Column("user_id", sa.String(LENGTH), primary_key=True),
        sa.Column("score", sa.Float(53)),
        sa.Column("probability", sa.Float(53)),
        sa.Column("refresh", sa.Integer),
        sa.Column("as_of", sa.Date),
        sa.Column("model_version", sa.String(LENGTH)),
        sa.Column("delivery", sa.String(LENGTH)),
    )


def _prepare(connection: "sa.Connection", rows: "sa.Table") -> None:
    """Makes the table where there is none. Raises NotTaken for another table of the name."""
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    if not inspector.has_table(rows.name, rows.schema):
        rows.create(connection)
        return
    present = {column["name"] for column in inspector.get_columns(rows.name, rows.schema)}
    if missing := [column.name for column in rows.columns if column.name not in present]:
        raise NotTaken(f"the table {rows.fullname} has no column {missing[0]!r}: it is not one of audiences, name another behind #")
