"""The profile: its columns become typed attributes, its rows good rows or reasons.

What belongs here: names, types and checks of the profile table. What does not: reading files (`files`), events (`scan`).
"""

import re
from collections import Counter
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from found_platform.contract import ACTIVITY_FEATURES, SEARCH_FEATURES, SEQUENCE_FEATURES, SNAPSHOT_KEYS
from found_platform.errors import BadInput
from found_platform.lake import quote
from found_platform.sources.config import ProfileEntry
from found_platform.sources.files import is_csv, locate_refused, make_view, query, take_rejects, with_hashes


@dataclass(frozen=True)
class ProfileReport:
    """How many rows the profile has; `bad` counts the refused ones by reason, `lost` the cells that became null by attribute: those
    whose value does not fit the attribute's type."""

    rows: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def bad_rows(self) -> int:
        return sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        return self.bad_rows / self.rows if self.rows else 0.0


def profile_attributes(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """Attribute names and types of a profile table. A column of a CSV file is a number where each of its values is one."""
    attributes: dict[str, str] = {}
    columns = _profile_columns(con, entry)
    of_texts = _kinds_of_texts(con, [c for c, kind in columns.items() if kind is None])
    for column, kind in columns.items():
        name = attribute_name(column)
        if name.lower() in {taken.lower() for taken in attributes}:
            raise BadInput(
                f"profile: the column {column!r} of {entry.path} would be the attribute {name!r}, which is taken: rename it."
            )
        attributes[name] = kind or of_texts[column]
    if is_csv(entry):
        take_rejects(con, "profile")  # else a scan on this connection would count them again
    return attributes


def _profile_columns(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str | None]:
    """The attribute columns and their types, None where a CSV file says nothing of them; makes the view `profile_rows`."""
    keys = [entry.key, *([entry.as_of] if entry.as_of else [])]
    columns = [c for c in make_view(con, entry, "profile_rows", keys, "profile", key=entry.key) if c not in keys]
    if is_csv(entry):
        return dict.fromkeys(columns)
    types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE profile_rows)").fetchall())
    return {c: _attribute_type(types[c]) for c in columns}


def _attribute_type(kind: str) -> str:
    if kind == "BOOLEAN":
        return "bool"
    if kind.endswith("INT") or kind.endswith("INTEGER"):
        return "int"
    return "float" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "string"


def _kinds_of_texts(con: duckdb.DuckDBPyConnection, columns: list[str]) -> dict[str, str]:
    """The narrowest type that all values of a column of texts have; string where there are none."""
    if not columns:
        return {}
    reads = {(c, kind): f"count({read.format(quote(c))})" for c in columns for kind, read in TEXTS.items()}
    counts = ", ".join([*reads.values(), *(f"count({quote(c)})" for c in columns)])
    (found,) = query(con, "profile", f"SELECT {counts} FROM profile_rows").fetchall()
    fits, there = dict(zip(reads, found, strict=False)), dict(zip(columns, found[len(reads) :], strict=True))
    return {c: next((k for k in TEXTS if there[c] and fits[c, k] == there[c]), "string") for c in columns}


TEXTS = {
    "bool": "CASE lower(trim({0})) WHEN 'true' THEN true WHEN 'false' THEN false END",
    "int": "CASE WHEN regexp_full_match(trim({0}), '[+-]?[0-9]+') THEN TRY_CAST(trim({0}) AS BIGINT) END",  # a cast alone rounds
    "float": "TRY_CAST({0} AS DOUBLE)",
}
"""How a text is read as a value of each type: null where it is none."""
COLUMNS = {"bool": "TRY_CAST({0} AS BOOLEAN)", "int": "TRY_CAST({0} AS BIGINT)", "float": "TRY_CAST({0} AS DOUBLE)"}
"""The same of a typed column."""
SQL_TYPES = {"bool": "BOOLEAN", "int": "BIGINT", "float": "DOUBLE", "string": "VARCHAR"}
KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}
"""What a value of each type is, in words."""


def _read(column: str, type_there: str | None, kind: str) -> str:
    """A column as a value of a type: null where it is none. `type_there` is None where all values are texts."""
    name = quote(column)
    if kind == "string":
        return f"CAST({name} AS VARCHAR)"
    if type_there is None:
        return TEXTS[kind].format(name)
    if type_there == kind:
        return COLUMNS[kind].format(name)
    if (type_there, kind) == ("float", "int"):  # whole numbers beside nulls, as pandas writes them
        return f"CASE WHEN {name} = floor({name}) THEN TRY_CAST({name} AS BIGINT) END"
    return TEXTS[kind].format(f"CAST({name} AS VARCHAR)")


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
        *("user_id", "fold", "as_of", "vector", "history_events", "day", "first_day", "reason", "newest"),
        *("_file", "_row", "entry", "file", "row_number"),
        *("and", "or", "not", "in", "like", "is", "null", "exists", "true", "false"),  # of the index's expressions
    }
)


def read_profile(
    con: duckdb.DuckDBPyConnection, entry: ProfileEntry, schema: dict[str, str]
) -> tuple[pa.Table, pa.Table, ProfileReport]:
    """Good profile rows (user_id, as_of, attributes), refused ones (quarantine columns), and their counts.

    One row a user and `as_of` is kept; without `as_of` one row a user. A value that does not fit the type of the schema is null,
    and so is an attribute of which the table has no column; a column that the schema does not know is left out.
    """
    columns = {attribute_name(c): (c, kind) for c, kind in _profile_columns(con, entry).items()}
    as_of = f"TRY_CAST({quote(entry.as_of)} AS TIMESTAMPTZ)" if entry.as_of else "CAST(NULL AS TIMESTAMPTZ)"
    attributes, misfits = "", []
    for name, kind in schema.items():
        column, type_there = columns.get(name, (None, None))
        read = _read(column, type_there, kind) if column else f"CAST(NULL AS {SQL_TYPES[kind]})"
        if column and kind != "string":
            misfits.append(f"count(*) FILTER ({quote(column)} IS NOT NULL AND {read} IS NULL) AS {quote(name)}")
        # NaN and infinity mean unknown, and compare differently from engine to engine
        attributes += f", {f'CASE WHEN isfinite({read}) THEN {read} END' if kind == 'float' else read} AS {quote(name)}"
    lost: dict[str, int] = {}
    if misfits:
        counted = query(con, "profile", f"SELECT {', '.join(misfits)} FROM profile_rows")
        names = [d[0] for d in counted.description]
        lost = {name: n for name, n in zip(names, counted.fetchall()[0], strict=True) if n}
        if is_csv(entry):
            take_rejects(con, "profile")  # else the next query would count them again
    query(
        con,
        "profile",
        "CREATE OR REPLACE TEMP TABLE profile_scanned AS SELECT * REPLACE (CASE WHEN user_id IS NULL THEN 'no user_id' "
        "WHEN trim(user_id) = '' THEN 'empty user_id' "
        + ("WHEN as_of IS NULL THEN 'no readable as_of' " if entry.as_of else "")
        + "WHEN row_number() OVER (PARTITION BY user_id, as_of ORDER BY file, row_number) > 1 THEN 'repeated profile row' END "
        "AS reason) FROM (SELECT 0 AS entry, _file AS file, _row AS row_number, "
        f"CAST({quote(entry.key)} AS VARCHAR) AS user_id, {as_of} AS as_of{attributes}, CAST(NULL AS VARCHAR) AS reason "
        "FROM profile_rows)",
    )
    con.execute("CREATE OR REPLACE TEMP TABLE rejected (entry INTEGER, file VARCHAR, row_number BIGINT, reason VARCHAR)")
    if is_csv(entry):
        take_rejects(con, "profile")
        con.execute("INSERT INTO rejected SELECT 0, file, row_number, reason FROM rejects")
        locate_refused(con, "profile_scanned")
    good = con.execute(
        "SELECT * EXCLUDE (entry, file, row_number, reason) FROM profile_scanned WHERE reason IS NULL"
    ).to_arrow_table()
    bad = con.execute(
        "SELECT 'profile' AS channel, file, row_number, reason FROM profile_scanned WHERE reason IS NOT NULL "
        "UNION ALL SELECT 'profile', file, row_number, reason FROM rejected ORDER BY file, row_number"
    ).to_arrow_table()
    report = ProfileReport(good.num_rows + bad.num_rows, dict(Counter(bad["reason"].to_pylist()).most_common()), lost)
    return good, with_hashes(bad), report
