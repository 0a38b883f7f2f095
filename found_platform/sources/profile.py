"""The profile: its columns become typed attributes, its rows good rows or reasons.

What belongs here: names, types and checks of the profile table. What does not: reading files (`files`), events (`scan`).
"""

import re
from typing import Any

import duckdb
import pyarrow as pa

from found_platform.contract import ACTIVITY_FEATURES, SEARCH_FEATURES, SEQUENCE_FEATURES, SNAPSHOT_KEYS
from found_platform.errors import BadInput
from found_platform.sources.config import ProfileEntry
from found_platform.sources.files import check_columns, csv_header, first_line, is_csv, make_view, query, quote, with_hashes


def profile_attributes(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """Attribute names and types of a profile table."""
    attributes: dict[str, str] = {}
    for column, kind in _profile_columns(con, entry).items():
        name = attribute_name(column)
        if name.lower() in {taken.lower() for taken in attributes}:
            raise BadInput(
                f"profile: the column {column!r} of {entry.path} would be the attribute {name!r}, which is taken: rename it."
            )
        attributes[name] = _attribute_type(kind)
    return attributes


def _profile_columns(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """DuckDB types of the attribute columns; makes the view `profile_rows`."""
    keys = [entry.key, *([entry.as_of] if entry.as_of else [])]
    files = entry.files()
    if is_csv(entry):
        header = csv_header(files[0])
        check_columns(keys, header, files[0], "profile")
        try:  # typed, unlike events: DuckDB guesses the types of whole columns
            paths: Any = [str(file) for file in files]
            relation = con.read_csv(paths, header=True, names=header, filename=True)
            relation.project("* EXCLUDE (filename), filename AS _file, row_number() OVER () AS _row").create_view("profile_rows")
        except duckdb.Error as error:
            raise BadInput(f"profile: {files[0]} cannot be read: {first_line(error)}.") from None
    else:
        make_view(con, entry, "profile_rows", keys, "profile")
    types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE profile_rows)").fetchall())
    return {name: kind for name, kind in types.items() if name not in (*keys, "_file", "_row")}


def _attribute_type(kind: str) -> str:
    if kind == "BOOLEAN":
        return "bool"
    if kind.endswith("INT") or kind.endswith("INTEGER"):
        return "int"
    return "float" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "string"


def attribute_name(column: str) -> str:
    """A profile column as an attribute: letters, digits and underscores, as filters and the index need it.

    A name that means something else in the platform or its index gets the prefix `profile_`.
    """
    name = re.sub(r"\W", "_", column.strip(), flags=re.ASCII) or "_"
    name = f"_{name}" if name[:1].isdigit() else name
    return f"profile_{name}" if name.lower() in RESERVED else name


RESERVED = frozenset(
    {
        *(f.name for f in (*SNAPSHOT_KEYS, *ACTIVITY_FEATURES, *SEQUENCE_FEATURES, *SEARCH_FEATURES)),
        *("user_id", "fold", "as_of", "vector", "history_events", "day", "first_day", "reason", "newest", "_file", "_row"),
        *("and", "or", "not", "in", "like", "is", "null", "exists", "true", "false"),  # of the index's expressions
    }
)


def read_profile(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, schema: dict[str, str]) -> tuple[pa.Table, pa.Table]:
    """Good profile rows (user_id, as_of, attributes) and refused ones (quarantine columns).

    One row a user and `as_of` is kept; without `as_of` one row a user.
    """
    columns = _profile_columns(con, entry)
    sql_types = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
    found = {attribute_name(c): _attribute_type(kind) for c, kind in columns.items()}
    if found != schema:
        changed = sorted(set(found.items()) ^ set(schema.items()))
        raise BadInput(
            f"profile: the attributes of {entry.path} are not those this home was made with "
            f"({', '.join(dict.fromkeys(name for name, _ in changed))}): use another --home for them."
        )
    as_of = f"TRY_CAST({quote(entry.as_of)} AS TIMESTAMPTZ)" if entry.as_of else "CAST(NULL AS TIMESTAMPTZ)"
    attributes = ""
    for column in columns:
        name = attribute_name(column)
        value = f"TRY_CAST({quote(column)} AS {sql_types[schema[name]]})"
        if schema[name] == "float":  # NaN and infinity mean unknown, and compare differently from engine to engine
            value = f"CASE WHEN isfinite({value}) THEN {value} END"
        attributes += f", {value} AS {quote(name)}"
    query(
        con,
        "profile",
        "CREATE OR REPLACE TEMP TABLE profile_scanned AS SELECT *, CASE WHEN user_id IS NULL THEN 'no user_id' "
        "WHEN trim(user_id) = '' THEN 'empty user_id' "
        + ("WHEN as_of IS NULL THEN 'no readable as_of' " if entry.as_of else "")
        + "WHEN row_number() OVER (PARTITION BY user_id, as_of ORDER BY _file, _row) > 1 THEN 'repeated profile row' END AS reason "
        f"FROM (SELECT _file, _row, CAST({quote(entry.key)} AS VARCHAR) AS user_id, {as_of} AS as_of{attributes} "
        "FROM profile_rows)",
    )
    good = con.execute("SELECT * EXCLUDE (_file, _row, reason) FROM profile_scanned WHERE reason IS NULL").to_arrow_table()
    bad = con.execute(
        "SELECT 'profile' AS channel, _file AS file, _row AS row_number, reason FROM profile_scanned WHERE reason IS NOT NULL"
    ).to_arrow_table()
    return good, with_hashes(bad)
