"""Whatever the filter: Milvus, DuckDB and a slow evaluator of three-valued logic select the same users, and no text breaks out."""

import contextlib
import operator
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.scoring import filters

HOSTILE = [
    "",
    " ",
    "Ulm",
    "ulm",
    "münchen",
    "mu\u0308nchen",
    "😀",
    "\uffff",
    "O'Hara",
    "''",
    'say "hi"',
    "back\\slash",
    "ends in \\",
    '\\" or age > 0 or city == "',
    "\\u0041",
    "new\nline",
    "\r\n\t\v\f\b\x01\x7f\u2028",
    '" or age > 0 or city == "',
    "' OR 1=1 --",
    "'; DROP TABLE users; --",
    "{age}",
    "$meta",
    "%",
    "null",
    "true",
    "Ulm' AND city <> 'Ulm",
]
"""Values of texts, of rows and of filters."""

WHOLE = [-(2**63) + 1, -(2**53) - 1, -3, -1, 0, 1, 2, 7, 2**53, 2**53 + 1, 2**63 - 1]
SMALL = [-3, -1, 0, 1, 2, 7]
REAL = [-1e300, -2.5, -0.0, 0.0, 5e-324, 0.1, 1.0, 2.5, 1e16, 1.7976931348623157e308]
POOL = {"string": HOSTILE, "whole": WHOLE, "small": SMALL, "real": REAL, "bool": [True, False]}
TYPES = {"string": pa.string(), "whole": pa.int64(), "small": pa.int64(), "real": pa.float64(), "bool": pa.bool_()}
COLUMNS = {
    "city": "string",
    "segment": "string",
    "age": "small",
    "number": "whole",
    "balance": "real",
    "vip": "bool",
    "Vip2": "bool",
}
USERS = 300


def rows_of(columns: dict[str, str], users: int, seed: int) -> list[dict[str, Any]]:
    """Users with values of each column's pool, a quarter of them missing."""
    chance = random.Random(seed)
    return [{n: None if chance.random() < 0.25 else chance.choice(POOL[kind]) for n, kind in columns.items()} for _ in range(users)]


def schema_of(columns: dict[str, str]) -> pa.Schema:
    return pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])


# a filter as it was thought of: its text, and what it says of a row, None where that is unknown


@dataclass(frozen=True)
class Thought:
    text: str
    says: Callable[[dict[str, Any]], bool | None]


def negation(value: bool | None) -> bool | None:
    return None if value is None else not value


def conjunction(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def of_column(column: str, test: Callable[[Any], bool]) -> Callable[[dict[str, Any]], bool | None]:
    return lambda row: None if row[column] is None else test(row[column])


def written(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


SIGNS = {
    "=": operator.eq,
    "==": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@st.composite
def conditions(draw: st.DrawFn, columns: dict[str, str]) -> Thought:
    """One condition on one column."""
    column = draw(st.sampled_from(list(columns)))
    kind, name = columns[column], lake.quote(column)
    values = st.sampled_from(POOL[kind])
    form = draw(st.sampled_from(["compare", "in", "null"] if kind == "bool" else ["compare", "compare", "in", "between", "null"]))
    no = draw(st.sampled_from(["", "NOT "]))
    turned = negation if no else (lambda value: value)
    if form == "null":
        return Thought(f"{name} IS {no}NULL", lambda row: (row[column] is None) != bool(no))
    if form == "in":
        listed = draw(st.lists(values, min_size=1, max_size=4))
        says = of_column(column, lambda value: value in listed)
        return Thought(f"{name} {no}IN ({', '.join(map(written, listed))})", lambda row: turned(says(row)))
    if form == "between":
        low, high = draw(values), draw(values)
        says = of_column(column, lambda value: low <= value <= high)
        return Thought(f"{name} {no}BETWEEN {written(low)} AND {written(high)}", lambda row: turned(says(row)))
    sign = draw(st.sampled_from([s for s in SIGNS if kind != "bool" or s in ("=", "<>")]))
    if kind == "small" and sign in MIRRORED:  # a fraction between whole numbers
        values |= st.sampled_from([Decimal("1.5"), Decimal("-0.5"), Decimal("6.99"), Decimal("1.0")])
    value = draw(values)
    says = of_column(column, lambda cell: SIGNS[sign](cell, value))
    if draw(st.booleans()):
        return Thought(f"{written(value)} {MIRRORED.get(sign, sign)} {name}", says)
    return Thought(f"{name} {sign} {written(value)}", says)


def joined(parts: list[Thought], word: str) -> Thought:
    text = f" {word} ".join(f"({part.text})" for part in parts)
    if word == "AND":
        return Thought(text, lambda row: conjunction([part.says(row) for part in parts]))
    return Thought(text, lambda row: negation(conjunction([negation(part.says(row)) for part in parts])))


def thoughts(columns: dict[str, str]) -> st.SearchStrategy[Thought]:
    """Random trees of AND, OR and NOT over conditions."""
    return st.recursive(
        conditions(columns),
        lambda inner: (
            st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["AND", "OR"]))
            | inner.map(lambda part: Thought(f"NOT ({part.text})", lambda row: negation(part.says(row))))
        ),
        max_leaves=8,
    )


@dataclass(repr=False)
class Engines:
    """The same users in both; what a filter, or a WHERE clause as it stands, selects."""

    rows: list[dict[str, Any]]
    con: duckdb.DuckDBPyConnection
    milvus: Callable[[str], set[int]]

    def duckdb(self, clause: str, parameters: list[Any]) -> set[int]:
        return {row[0] for row in self.con.execute(f"SELECT id FROM users WHERE {clause}", parameters).fetchall()}


@contextlib.contextmanager
def milvus_of(path: Path, columns: dict[str, str], rows: list[dict[str, Any]]) -> Iterator[Callable[[str], set[int]]]:
    """A collection as the index makes one, with half of the users on disk and half in memory."""
    from milvus_lite.server_manager import server_manager_instance
    from pymilvus import DataType, MilvusClient

    kinds = {"string": DataType.VARCHAR, "real": DataType.DOUBLE, "bool": DataType.BOOL}
    client = MilvusClient(str(path))
    try:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        for name, kind in columns.items():
            options: dict[str, Any] = {"max_length": 65_535} if kind == "string" else {}
            schema.add_field(name, kinds.get(kind, DataType.INT64), nullable=True, **options)
        params = client.prepare_index_params()
        params.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_collection("users", schema=schema, index_params=params)
        data = [{"id": i, "vector": [1.0, 0.0], **row} for i, row in enumerate(rows)]
        client.insert("users", data[: len(data) // 2])
        client.flush("users")
        client.insert("users", data[len(data) // 2 :])
        client.load_collection("users")

        def select(expression: str) -> set[int]:
            # among others, as the index asks it; a search, since that is what users wait for
            hits = client.search("users", data=[[1.0, 0.0]], limit=16_000, filter=f"id >= 0 and {expression}", output_fields=["id"])
            return {int(hit["id"]) for hit in hits[0]}

        yield select
    finally:
        client.close()
        server_manager_instance.release_all()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    rows = rows_of(COLUMNS, USERS, seed=0)
    con = lake.connect()
    con.register(
        "users",
        pa.Table.from_pylist([{"id": i, **r} for i, r in enumerate(rows)], pa.schema([("id", pa.int64()), *schema_of(COLUMNS)])),
    )
    with milvus_of(tmp_path_factory.mktemp("milvus") / "t.db", COLUMNS, rows) as milvus:
        yield Engines(rows, con, milvus)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(thought=thoughts(COLUMNS))
def test_all_select_the_users_for_whom_it_is_true(engines: Engines, thought: Thought) -> None:
    parsed = filters.parse(thought.text, schema_of(COLUMNS))
    expected = {i for i, row in enumerate(engines.rows) if thought.says(row) is True}
    assert engines.duckdb(*parsed.to_duckdb()) == expected
    assert engines.milvus(parsed.to_milvus()) == expected
    if not re.search(r'"balance" (NOT )?IN', thought.text):  # there DuckDB tells -0.0 from 0.0
        assert engines.duckdb(thought.text, []) == expected, "SQL itself reads it otherwise"
    refused = {i for i, row in enumerate(engines.rows) if thought.says(row) is False}
    assert engines.milvus(parsed.negated().to_milvus()) == engines.duckdb(*parsed.negated().to_duckdb()) == refused


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("balance IN (0, 2.5)", lambda row: row["balance"] in (0, 2.5)),
        ("balance NOT IN (-0.0, 2.5)", lambda row: row["balance"] not in (None, 0, 2.5)),
        ("city NOT IN ('Ulm', 'null')", lambda row: row["city"] not in (None, "Ulm", "null")),
        ("NOT (city = 'Ulm' AND vip = true)", lambda row: row["city"] not in (None, "Ulm") or row["vip"] is False),
        ("age > 100 OR vip IS NULL", lambda row: row["vip"] is None),
        ("number = 9007199254740993", lambda row: row["number"] == 2**53 + 1),
        ("number > 9007199254740992.5", lambda row: row["number"] is not None and row["number"] > 2**53),
    ],
)
def test_what_engines_left_to_themselves_get_wrong(engines: Engines, text: str, test: Callable[[dict[str, Any]], bool]) -> None:
    """Zeros with a sign in lists, missing values and NOT, numbers beyond what a float holds."""
    parsed = filters.parse(text, schema_of(COLUMNS))
    expected = {i for i, row in enumerate(engines.rows) if test(row)}
    assert expected
    assert engines.milvus(parsed.to_milvus()) == engines.duckdb(*parsed.to_duckdb()) == expected


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | st.sampled_from(
    HOSTILE[2:]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), names=st.lists(NAMES, min_size=1, max_size=4, unique_by=str.casefold), seed=st.integers(0, 2**32))
def test_any_schema_and_any_column_name(data: st.DataObject, names: list[str], seed: int) -> None:
    columns = {name: data.draw(st.sampled_from(list(POOL))) for name in names}
    rows = rows_of(columns, 40, seed)
    con = lake.connect()
    con.register("users", pa.Table.from_pylist(rows, schema_of(columns)).append_column("row id", pa.array(range(40))))
    thought = data.draw(thoughts(columns))
    clause, parameters = filters.parse(thought.text, schema_of(columns)).to_duckdb()
    selected = {row[0] for row in con.execute(f'SELECT "row id" FROM users WHERE {clause}', parameters).fetchall()}
    assert selected == {i for i, row in enumerate(rows) if thought.says(row) is True}


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.sampled_from(HOSTILE)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(text=TEXTS, other=TEXTS)
def test_no_text_leaves_its_literal(engines: Engines, text: str, other: str) -> None:
    """A text that left it would select somebody else, or nobody could read what is left."""
    for condition, test in (
        (f"city = {written(text)}", lambda value: value == text),
        (f"city IN ({written(text)}, {written(other)})", lambda value: value in (text, other)),
        (f"NOT city BETWEEN {written(text)} AND {written(other)}", lambda value: not text <= value <= other),
    ):
        parsed = filters.parse(condition, schema_of(COLUMNS))
        expected = {i for i, row in enumerate(engines.rows) if row["city"] is not None and test(row["city"])}
        assert engines.milvus(parsed.to_milvus()) == engines.duckdb(*parsed.to_duckdb()) == expected


PIECES = st.sampled_from(
    [
        *[
            "age",
            "city",
            "vip",
            '"age"',
            "city.age",
            "3",
            "-1.5",
            "'Ulm'",
            "'",
            '"',
            "NULL",
            "true",
            "(",
            ")",
            ",",
            ";",
            "--",
            "/*",
            "*/",
        ],
        *[
            "=",
            "<>",
            ">=",
            "<",
            "AND",
            "OR",
            "NOT",
            "IN",
            "BETWEEN",
            "IS",
            "LIKE",
            "SELECT",
            "FROM users",
            "UNION",
            "DROP TABLE users",
        ],
        *[
            "CASE WHEN",
            "END",
            "+",
            "||",
            "::text",
            "lower(city)",
            "$1",
            "?",
            "[1]",
            "{",
            "}",
            "\\",
            "OR 1=1",
            "read_csv('/etc/passwd')",
        ],
    ]
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=40))
def test_whatever_is_written_is_a_filter_or_bad_input(text: str) -> None:
    try:
        parsed = filters.parse(text, schema_of(COLUMNS))
    except BadInput:
        return
    clause, parameters = parsed.to_duckdb()
    con = lake.connect()
    con.register("users", schema_of(COLUMNS).empty_table())
    con.execute(f"SELECT * FROM users WHERE {clause}", parameters)
    assert not set("'\\;") & set(clause), "a text stands in the query itself"
