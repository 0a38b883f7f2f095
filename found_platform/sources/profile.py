"""The profile: its columns become typed attributes, its rows good rows or reasons.

What belongs here: names, types and checks of the profile table. What does not: reading files (`files`, `mapping`), events (`scan`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from found_platform.contract import ACTIVITY_FEATURES, SEARCH_FEATURES, SEQUENCE_FEATURES, SNAPSHOT_KEYS
from found_platform.errors import BadInput
from found_platform.lake import literal, quote
from found_platform.sources import mapping, times, values
from found_platform.sources.config import ProfileEntry, combine
from found_platform.sources.counts import Refusals
from found_platform.sources.files import (
    Part,
    check_whole,
    first_line,
    forget_rejects,
    gaps,
    parts,
    shift,
    take_rejects,
    with_hashes,
)
from found_platform.sources.mapping import Cells
from found_platform.sources.options import TimeColumn
from found_platform.sources.values import as_text

WHERE = "profile"  # what errors begin with


@dataclass(frozen=True)
class ProfileReport(Refusals):
    """How many rows the profile has; `bad` counts refused rows by reason, `lost` cells that are not of their attribute's type."""

    rows: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)  # how often a placeholder stands for no value, by `column: text`

    @property
    def judged(self) -> int:
        return self.rows


def profile_attributes(con: duckdb.DuckDBPyConnection, entry: ProfileEntry) -> dict[str, str]:
    """Attribute names and types of a profile: as declared, else a number where each value of a text column is one, else a text.

    A number with zeros or a plus sign before it is a text: a postal code, not a quantity.
    """
    files = parts(con, entry, WHERE)
    columns = _columns(con, entry, files)
    read = mapping.text_types(con, entry, files, WHERE, [(column,) for column in columns])
    attributes: dict[str, str] = {}
    for column, kind in columns.items():
        name = attribute_name(column)
        if name.lower() in {other.lower() for other in attributes}:
            raise BadInput(
                f"profile: the column {column!r} of {entry.path} would be the attribute {name!r}, which is taken: rename it."
            )
        read_as = mapping.declared(entry, (column,)) or read.get((column.lower(),))
        if any(consent.column == column for consent in entry.consent):
            read_as = "bool"
        attributes[name] = {"date": "string", "time": "string", None: _attribute_type(kind)}.get(read_as, read_as or "string")
    return attributes


def _columns(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, files: list[Part]) -> dict[str, str]:
    """The columns that become attributes, all but key and `as_of`, and their DuckDB types; where files differ, text."""
    columns: dict[str, str] = {}
    keys: set[str] = set()
    for part in files:
        cells = Cells(con, part, entry, WHERE)
        expression = mapping.expressions_in(con, cells, {"key": entry.key}).get("key")
        places = map(cells.read, expression.columns) if expression else [cells.position(entry.key)]
        keys |= {cells.paths[place][0] for place in places if place is not None}  # of an object that holds the key nothing is kept
        if (as_of := _as_of(entry)) is not None:
            if cells.position(as_of) is None:
                raise cells.missing(as_of)
            keys.add(as_of)
        for consent in entry.consent:
            if cells.position(consent.column) is None:
                raise cells.missing(consent.column)
        for column, kind in part.columns.items():
            kind = "VARCHAR" if part.json else kind
            columns[column] = kind if columns.setdefault(column, kind) == kind else "VARCHAR"
    return {column: kind for column, kind in columns.items() if column not in keys}


def _as_of(entry: ProfileEntry) -> str | None:
    return entry.as_of.column if isinstance(entry.as_of, TimeColumn) else entry.as_of


def _attribute_type(kind: str) -> str:
    if kind == "BOOLEAN":
        return "bool"
    if values.is_number(kind):
        return "float" if values.is_float(kind) or kind.startswith("DECIMAL") else "int"
    return "string"


SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
    | {"æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "ł": "l"}
)
"""How letters are spelt that Unicode does not decompose, and those that German spells with two."""


def attribute_name(column: str) -> str:
    """A profile column as an attribute: letters, digits and underscores, as filters and the index need it.

    Letters beyond ASCII are spelt with those of ASCII where there is a usual way. A name that means something else in the platform
    or its index gets the prefix `profile_`.
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", column.strip()).translate(SPELT))
    return _name("".join(letter for letter in letters if not unicodedata.combining(letter)))


def _name(column: str) -> str:
    name = re.sub(r"\W", "_", column.strip(), flags=re.ASCII) or "_"
    name = f"_{name}" if name[:1].isdigit() else name
    return f"profile_{name}" if name.lower() in RESERVED else name


RESERVED = frozenset(
    {
        *(f.name for f in (*SNAPSHOT_KEYS, *ACTIVITY_FEATURES, *SEQUENCE_FEATURES, *SEARCH_FEATURES)),
        *("user_id", "fold", "as_of", "vector", "history_events", "day", "first_day", "reason", "newest"),
        *("_row", "entry", "file", "row_number", "lost", "remarks"),
        *("and", "or", "not", "in", "like", "is", "null", "exists", "true", "false"),  # of the index's expressions
    }
)


GOOD = "profile_good"
"""The relation of a connection that `read_profile` leaves behind: user_id, as_of and the attributes of good rows."""


def read_profile(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, schema: dict[str, str]) -> tuple[pa.Table, ProfileReport]:
    """Leaves the good rows of a profile behind as GOOD; returns those that are refused (quarantine columns), and counts.

    One row a user and `as_of` is kept; without `as_of` one row a user. The attributes are those of `schema`, in its order: one
    without a column is null, and a cell that is not of its type is null and counted, for the row's other cells are good.
    """
    files = parts(con, entry, WHERE)
    own = _columns(con, entry, files)
    # homes of before lost the letters beyond ASCII: an attribute that one keeps under such a name has its column still
    earlier = {_name(column): column for column in own if _name(column) in schema}
    columns = earlier | {attribute_name(column): column for column in own}
    con.execute("CREATE OR REPLACE TEMP TABLE profile_unread (file VARCHAR, row_number BIGINT, reason VARCHAR)")
    has_table = False
    for part in files:
        select = f"SELECT {literal(part.file)} AS file, * FROM ({_rows(con, entry, part, schema, columns)})"
        try:
            con.execute(f"CREATE OR REPLACE TEMP TABLE profile_part AS {select}")
        except duckdb.Error as error:
            raise BadInput(f"{WHERE}: {part.file} cannot be read: {first_line(error)}.") from None
        if part.rejects:
            take_rejects(con, part, WHERE)
            counts = con.execute("SELECT (SELECT count(*) FROM profile_part), (SELECT count(*) FROM rejects)").fetchone()
            check_whole(part, sum(counts or ()), WHERE)
            con.execute("INSERT INTO profile_unread SELECT ?, row_number, reason FROM rejects", [part.file])
            shift(con, "profile_part", gaps(con, part))
        forget_rejects(con)
        con.execute(
            "INSERT INTO profile_scanned FROM profile_part"
            if has_table
            else "CREATE OR REPLACE TEMP TABLE profile_scanned AS FROM profile_part"
        )
        has_table = True
    con.execute(
        "CREATE OR REPLACE TEMP TABLE profile_scanned AS SELECT * REPLACE (CASE WHEN reason IS NOT NULL THEN reason "
        "WHEN row_number() OVER (PARTITION BY user_id, as_of, reason IS NULL ORDER BY file, row_number) > 1 "
        "THEN 'repeated profile row' END AS reason) FROM profile_scanned"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW {GOOD} AS SELECT * EXCLUDE (file, row_number, reason, lost, remarks) FROM profile_scanned "
        "WHERE reason IS NULL"
    )
    ((good,),) = con.execute(f"SELECT count(*) FROM {GOOD}").fetchall()
    bad = con.execute(
        "SELECT 'profile' AS channel, file, row_number, reason FROM profile_scanned WHERE reason IS NOT NULL "
        "UNION ALL SELECT 'profile', file, row_number, reason FROM profile_unread ORDER BY file, row_number"
    ).to_arrow_table()
    report = ProfileReport(
        good + bad.num_rows,
        dict(Counter(bad["reason"].to_pylist()).most_common()),
        _counts(con, "lost"),
        _counts(con, "remarks"),
    )
    return with_hashes(bad), report


def leave_out_of_good(con: duckdb.DuckDBPyConnection, users: Sequence[str]) -> None:
    """Takes the rows of some users, by their raw ids, out of GOOD."""
    con.register("left_out", pa.table({"user_id": pa.array(users, pa.string())}))
    con.execute("DELETE FROM profile_scanned WHERE reason IS NULL AND user_id IN (FROM left_out)")
    con.unregister("left_out")


def _counts(con: duckdb.DuckDBPyConnection, column: str) -> dict[str, int]:
    return dict(
        con.execute(
            f"SELECT item, count(*) FROM (SELECT unnest({column}) AS item FROM profile_scanned) WHERE item IS NOT NULL "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )


def _rows(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, part: Part, schema: dict[str, str], columns: dict[str, str]) -> str:
    """SQL of one file's rows with their first fault; `lost` and `remarks` are lists with nulls."""
    cells = Cells(con, part, entry, WHERE)
    key = _key(con, entry, cells)
    key_sql, key_kind = key.sql, key.kind
    as_of = "CAST(NULL AS TIMESTAMPTZ)"
    if entry.as_of:
        at = cells.position(_as_of(entry) or "")
        assert at is not None
        rule = combine(entry, entry.as_of)
        if not times.can_be_time(cells.kinds[at], rule):
            raise BadInput(
                f"{WHERE}: as_of is a column of type {cells.kinds[at]}, not a time: say its `unit:` or `format:` in "
                f"the source file."
            )
        as_of = times.moment(f"c{at}", cells.kinds[at], rule)
    attributes, lost, remarks = [], ["NULL"], ["NULL"]
    for name, kind in schema.items():
        column = columns.get(name)
        at = cells.position(column) if column is not None and column in part.columns else None
        if column is None or at is None:
            attributes.append(f"CAST(NULL AS {values.SQL_TYPES[kind]}) AS {quote(name)}")
            continue
        read = _attribute(entry, column, f"c{at}", cells.kinds[at], kind)
        if kind not in ("string",):
            lost.append(f"CASE WHEN c{at} IS NOT NULL AND {read} IS NULL THEN {literal(f'{name} is not {NAMED[kind]}')} END")
        if values.is_text(cells.kinds[at]):
            remarks.append(cells.placeholder(name, at))
        # NaN and infinity mean unknown, and compare differently from engine to engine
        attributes.append(f"{f'CASE WHEN isfinite({read}) THEN {read} END' if kind == 'float' else read} AS {quote(name)}")
    listed = "".join(f", {a}" for a in attributes)
    return (
        f"SELECT _row AS row_number, {as_text(key_sql, key_kind)} AS user_id, {as_of} AS as_of{listed}, "
        f"[{', '.join(lost)}] AS lost, [{', '.join(remarks)}] AS remarks, CASE WHEN NOT coalesce(_json, false) THEN "
        f"'not readable as JSON' "
        f"WHEN {values.lost_digits(key_sql, key_kind)} THEN 'user_id is a float without its last digits' "
        f"WHEN {key_sql} IS NULL THEN 'no user_id' WHEN trim({as_text(key_sql, key_kind)}) = '' THEN 'empty user_id' "
        f"{f'WHEN {as_of} IS NULL THEN {literal(NO_AS_OF)} ' if entry.as_of else ''}END AS reason "
        f"FROM {cells.relation(key.cell, numbered=True)} WHERE NOT _blank"
    )


def _key(con: duckdb.DuckDBPyConnection, entry: ProfileEntry, cells: Cells) -> mapping.Value:
    """The key of a row: a column, as declared where it is, or an expression."""
    texts = {"key": entry.key}
    parsed = mapping.expressions_in(con, cells, texts)
    paths = [tuple(step.lower() for step in path) for expression in parsed.values() for path in expression.columns]
    types: mapping.Types = {path: kind for path in paths if (kind := mapping.declared(entry, path))}
    key = mapping.values_of(cells, texts, parsed, types)["key"]
    if not values.is_plain(key.kind):
        raise BadInput(
            f"{WHERE}: key is {entry.key!r} of {cells.part.file}, which holds several values in one: name a field of it."
        )
    declared = mapping.declared(entry, cells.paths[key.cell]) if key.cell is not None else None
    if declared is None:
        return key
    return mapping.Value(values.as_type(key.sql, key.kind, declared, entry.decimal), values.SQL_TYPES[declared], key.cell)


NO_AS_OF = "no readable as_of"
NAMED = {"bool": "true or false", "int": "a whole number", "float": "a number"}


def _attribute(entry: ProfileEntry, column: str, value: str, kind: str, attribute_type: str) -> str:
    """SQL of an attribute's value: consent by the values that mean yes, else the value as its type."""
    consent = next((consent for consent in entry.consent if consent.column == column), None)
    if consent is not None:
        yes = ", ".join(literal(text.strip().lower()) for text in consent.yes)
        return f"CASE WHEN {value} IS NOT NULL THEN lower(trim({as_text(value, kind)})) IN ({yes}) END"
    if attribute_type == "string" and (declared := mapping.declared(entry, (column,))) in ("date", "time"):
        return f"CAST({values.as_type(value, kind, declared, entry.decimal)} AS VARCHAR)"
    return values.as_type(value, kind, attribute_type, entry.decimal)
