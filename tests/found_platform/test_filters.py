"""The filter language: what it reads, what it refuses, and that both compilations select the same users."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.targeting import filters
from found_platform.targeting.filters import Comparison

COLUMNS = pa.schema([("city", pa.string()), ("age", pa.int64()), ("balance", pa.float64()), ("vip", pa.bool_())])
WEIRD = [
    "Ulm",
    "O'Hara",
    'say "hi"',
    "back\\slash",
    "new\nline",
    "münchen",
    '" or age > 0 or city == "',
    "'; DROP TABLE users; --",
    "",
]
ROWS = [
    {"user_key": f"{i:032x}", "city": c, "age": a, "balance": b, "vip": v}
    for i, (c, a, b, v) in enumerate(
        (c, a, b, v) for c in [*WEIRD, None] for a in (18, 40, None) for b in (-2.5, 0.0, None) for v in (True, False, None)
    )
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory):
    """The same users in Milvus Lite and in DuckDB; each engine gives the keys that comparisons select."""
    from pymilvus import DataType

    from found_platform import index

    path: Path = tmp_path_factory.mktemp("milvus") / "t.db"
    con = lake.connect()
    con.register("users", pa.Table.from_pylist(ROWS, schema=pa.schema([("user_key", pa.string()), *COLUMNS])))
    with index._client(path) as client:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("user_key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        kinds = {"city": DataType.VARCHAR, "age": DataType.INT64, "balance": DataType.DOUBLE, "vip": DataType.BOOL}
        for name, kind in kinds.items():
            schema.add_field(name, kind, nullable=True, **({"max_length": 100} if kind == DataType.VARCHAR else {}))
        client.create_collection("t", schema=schema)
        client.insert("t", [{**r, "vector": [1.0, 0.0]} for r in ROWS])
        params = client.prepare_index_params()
        params.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_index("t", params)
        client.load_collection("t")

        def milvus(comparisons: list[Comparison]) -> set[str]:
            found = client.query("t", filter=filters.to_milvus(comparisons), output_fields=["user_key"], limit=16_000)
            return {r["user_key"] for r in found}

        def duck(comparisons: list[Comparison]) -> set[str]:
            clause, parameters = filters.to_duckdb(comparisons)
            return {r[0] for r in con.execute(f"SELECT user_key FROM users WHERE {clause}", parameters).fetchall()}

        yield milvus, duck


def selected(comparisons: list[Comparison]) -> set[str]:
    """What the comparisons mean, in plain Python."""
    compare = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    return {
        r["user_key"]
        for r in ROWS
        if all(r[c.column] is not None and compare[c.operator](r[c.column], c.value) for c in comparisons)
    }


OPERATORS = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


COMPARISONS = st.one_of(
    st.builds(lambda o, v: f"city {o} {quoted(v)}", OPERATORS, st.sampled_from([*WEIRD, "zzz"])),
    st.builds(lambda o, v: f"age {o} {v}", OPERATORS, st.sampled_from([17, 18, 40, 41, -1])),
    st.builds(lambda o, v: f"{v} {o} balance", OPERATORS, st.sampled_from([-2.5, 0, 0.5, "1e3"])),
    st.builds(lambda o, v: f"vip {o} {v}", st.sampled_from(["=", "<>"]), st.sampled_from(["true", "FALSE"])),
)


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(COMPARISONS, min_size=1, max_size=3))
def test_milvus_duckdb_and_python_select_the_same_users(engines, parts: list[str]) -> None:
    milvus, duck = engines
    comparisons = filters.parse(" AND ".join(parts), COLUMNS)
    assert milvus(comparisons) == duck(comparisons) == selected(comparisons)


@given(st.text(max_size=30))
def test_no_value_breaks_out_of_its_literal(text: str) -> None:
    (comparison,) = (
        filters.parse(f"city = {quoted(text)}", COLUMNS)
        if "\\" not in text and "\x00" not in text
        else [Comparison("city", "==", text)]
    )
    assert comparison == Comparison("city", "==", text)
    assert filters.to_duckdb([comparison]) == ('"city" == ?', [text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("height > 3", "column 'height'.*there are city, age, balance, vip"),
        ("city = 3", "takes a text in single quotes"),
        ("age = 'x'", "takes a number"),
        ("vip = 1", "takes true or false"),
        ("age > 1 OR vip = true", "only comparisons"),
        ("age", "only comparisons"),
        ("1 = 1", "compare a column with a value"),
        ("age > balance", "takes a number"),
        ("age >", "cannot be read"),
        ("age > 1; DROP TABLE users", "only comparisons"),
        ("age IN (SELECT 1)", "only comparisons"),
        ("other.age = 1", "compare a column"),
        ("age > 1e999", "takes a number"),
        ("city = 'unclosed", "cannot be read"),
        ("(" * 900 + "age = 1" + ")" * 900, "at most 1,000"),
        ("(" * 450 + "age = 1", "cannot be read"),
    ],
)
def test_a_filter_that_is_not_understood_is_named(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        filters.parse(text, COLUMNS)
