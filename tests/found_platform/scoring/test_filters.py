"""The filter language: what it reads, how it is compiled, and what it refuses."""

import pyarrow as pa
import pytest

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.scoring import filters
from found_platform.scoring.filters import Comparison, Junction, Membership, NullTest

COLUMNS = pa.schema(
    [
        *[("city", pa.string()), ("age", pa.int64()), ("balance", pa.float64()), ("vip", pa.bool_())],
        *[("born", pa.date32()), ("iso", pa.string())],
    ]
)
OLD, YOUNG = Comparison("age", ">=", 40), Comparison("age", "<", 40)
VIP, LOST = Comparison("vip", "==", True), NullTest("city")


def both(*parts: filters.Filter) -> Junction:
    return Junction("and", parts)


def either(*parts: filters.Filter) -> Junction:
    return Junction("or", parts)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("age >= 40", OLD),
        ("40 <= age", OLD),
        ("((age)) >= (40)", OLD),
        ("age == 40", Comparison("age", "==", 40)),
        ("age >= -40 -- a comment", Comparison("age", ">=", -40)),
        ("age < 4e1", YOUNG),
        ("NOT age >= 40", YOUNG),
        ("NOT NOT age >= 40", OLD),
        ("age > 39.5", Comparison("age", ">", 39)),
        ("age >= 39.5", Comparison("age", ">", 39)),
        ("age <= 39.5", YOUNG),
        ("age > -0.5", Comparison("age", ">", -1)),
        ("age >= 2.99999999999999999999999999999999999", Comparison("age", ">", 2)),
        ("age = 9223372036854775807", Comparison("age", "==", 2**63 - 1)),
        ("balance = 3", Comparison("balance", "==", 3.0)),
        ("vip <> TRUE", Comparison("vip", "!=", True)),
        ("city = 'O''Hara'", Comparison("city", "==", "O'Hara")),
        (r"city = 'a\nb\'", Comparison("city", "==", r"a\nb" + "\\")),
        ("city IN ('Ulm', 'Bonn')", Membership("city", ("Ulm", "Bonn"))),
        ("city NOT IN ('Ulm')", Membership("city", ("Ulm",), included=False)),
        ("NOT city IN ('Ulm')", Membership("city", ("Ulm",), included=False)),
        ("balance IN (1)", Comparison("balance", "==", 1.0)),
        ("balance NOT IN (1, 2)", both(Comparison("balance", "!=", 1.0), Comparison("balance", "!=", 2.0))),
        ("city IS NULL", LOST),
        ("city IS NOT NULL", NullTest("city", missing=False)),
        ("NOT city IS NOT NULL", LOST),
        ("born IS NULL", NullTest("born")),
        ("age BETWEEN 40 AND 50", both(OLD, Comparison("age", "<=", 50))),
        ("age NOT BETWEEN 40 AND 50", either(YOUNG, Comparison("age", ">", 50))),
        ("age >= 40 AND vip = true OR city IS NULL", either(both(OLD, VIP), LOST)),
        ("age >= 40 AND (vip = true OR city IS NULL)", both(OLD, either(VIP, LOST))),
        ("NOT age >= 40 AND vip = true", both(YOUNG, VIP)),
        ("NOT (age >= 40 AND vip = true)", either(YOUNG, Comparison("vip", "!=", True))),
        ("NOT (age < 40 OR NOT (vip = true OR city IS NULL))", both(OLD, either(VIP, LOST))),
    ],
)
def test_what_is_read(text: str, meaning: filters.Filter) -> None:
    assert filters.parse(text, COLUMNS) == meaning


def test_a_filter_becomes_placeholders_and_guarded_conditions() -> None:
    parsed = filters.parse("""NOT (city IN ('say "hi"', 'b\\s') OR vip = true) AND balance > 1e300""", COLUMNS)
    assert filters.to_duckdb(parsed) == (
        '(("city" NOT IN (?, ?) and "vip" != ?) and "balance" > ?)',
        ['say "hi"', "b\\s", True, 1e300],
    )
    assert filters.to_milvus(parsed) == (
        r'(((city is not null and city not in ["say \"hi\"", "b\\s"]) and (vip is not null and vip != true)) '
        "and (balance is not null and balance > 1e+300))"
    )


def test_no_filter_selects_everybody() -> None:
    assert filters.to_duckdb(None) == ("true", [])
    assert filters.to_milvus(None) == ""


@pytest.mark.parametrize(
    "name", ['a"b', "a b", "x; DROP TABLE users; --", "naïve", "1st", "😀", "a\\", "select", "iso", "NOT", "a.b", "$meta"]
)
def test_any_column_name_is_quoted_for_duckdb_and_refused_for_milvus_where_it_cannot_be_said(name: str) -> None:
    columns = pa.schema([(name, pa.int64()), ("plain", pa.int64())])
    parsed = filters.parse(f"{lake.quote(name)} >= 2 AND plain = 1", columns)
    con = lake.connect()
    con.register("users", pa.table({name: [1, 2, 3, None], "plain": [1, 1, 2, 1]}, schema=columns))
    clause, parameters = filters.to_duckdb(parsed)
    assert con.execute(f"SELECT {lake.quote(name)} FROM users WHERE {clause}", parameters).fetchall() == [(2,)]
    if name == "select":  # means something to SQL alone
        assert "select >= 2" in filters.to_milvus(parsed)
        return
    with pytest.raises(BadInput, match=r"The index cannot be asked.*--exact"):
        filters.to_milvus(parsed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("height > 3", "column 'height'.*there are city, age, balance, vip"),
        ('"age""; DROP" = 1', "column 'age\"; DROP'"),
        ("city = 3", "takes a text in single quotes"),
        ('city = "Ulm"', "takes a text in single quotes"),
        ("age = 'x'", "'age' with 'x': it takes a whole number"),
        ("age = 2.5", "takes a whole number"),
        ("age IN (1, 2.5)", "takes a whole number"),
        ("age = 9223372036854775808", "at most 64 bits"),
        ("age > 1e999999999", "at most 64 bits"),
        ("balance > 1e999", "takes a number"),
        ("balance > 'NaN'", "takes a number"),
        ("vip = 1", "takes true or false"),
        ("vip < true", "puts 'vip' in order"),
        ("vip BETWEEN false AND true", "puts 'vip' in order"),
        ("born = '2020-01-01'", "'born', whose type date32"),
        ("age = NULL", "asked with IS NULL"),
        ("age NOT IN (1, NULL)", "asked with IS NULL"),
        ("age", "'age', which is not understood"),
        ("NOT vip", "'vip', which is not understood"),
        ("true", "not understood"),
        ("1 = 1", "compare a column with a value"),
        ("age > 1 OR 1 = 1", "compare a column with a value"),
        ("age > balance", "takes a whole number"),
        ("age = -balance", "takes a whole number"),
        ("age = 1 = 1", "compare a column with a value"),
        ("(age = 1) IS NULL", "compare a column with a value"),
        ("age IS TRUE", "not understood"),
        ("age IS DISTINCT FROM 1", "not understood"),
        ("city LIKE 'U%'", "not understood"),
        ("city NOT LIKE 'U%'", "not understood"),
        ("city ~ 'U'", "not understood"),
        ("age IN ()", "not understood"),
        ("age IN (SELECT 1)", "not understood"),
        ("age IN (1 + 1)", "takes a whole number"),
        ("age BETWEEN SYMMETRIC 2 AND 1", "not understood"),
        ("5 BETWEEN age AND 6", "compare a column with a value"),
        ("EXISTS (SELECT 1)", "not understood"),
        ("CASE WHEN age = 1 THEN true END", "not understood"),
        ("(age, balance) = (1, 2)", "compare a column with a value"),
        ("lower(city) = 'ulm'", "compare a column with a value"),
        ("other.age = 1", "compare a column with a value"),
        ("age = ?", "takes a whole number"),
        ("city = 'a' 'b'", "takes a text"),
        (r"city = E'a\n'", "takes a text"),
        ("city = 'a' COLLATE nocase", "takes a text"),
        ("age > 1; DROP TABLE users", "not understood"),
        ("SELECT 1", "not understood"),
        ("", "cannot be read"),
        ("age >", "cannot be read"),
        ("age > 1 LIMIT 1", "cannot be read"),
        ("city = 'unclosed", "cannot be read"),
        ("city = 'a\0b'", "a character that is no text"),
        ("city = 'a\udcffb'", "a character that is no text"),
        ("age = 1 OR " * 1000 + "age = 1", "at most 10,000"),
        ("(" * 450 + "age = 1", "nested too deeply"),
        ("NOT (" * 450 + "age = 1" + ")" * 450, "nested too deeply"),
    ],
)
def test_a_filter_that_is_not_understood_is_named(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        filters.parse(text, COLUMNS)
    assert len(str(refused.value)) < 400


def test_a_filter_is_written_back_as_a_person_may_write_it() -> None:
    schema = pa.schema([("age", pa.string()), ("n", pa.int64()), ("x", pa.float64()), ("ok", pa.bool_())])
    text = "age IN ('a', 'b''c') AND (n >= 3 OR NOT x <= 2.5) AND ok = true AND age IS NOT NULL"
    where = filters.parse(text, schema)
    assert filters.in_words(where) == "(age IN ('a', 'b''c') AND (n >= 3 OR x > 2.5) AND ok = true AND age IS NOT NULL)"
    assert filters.parse(filters.in_words(where), schema) == where
    assert filters.columns_of(where) == ["age", "n", "x", "ok"]
