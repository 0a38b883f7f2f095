"""The filter language: a typed tree of conditions on users, compiled to DuckDB parameters and to a Milvus expression.

A filter selects the users for whom it is true under SQL's three-valued logic: a condition on a missing value is unknown, and so is
its negation. `NOT` is pushed down to the conditions as they are read. What is left is AND, OR and conditions, where taking unknown
for false changes no answer; so both compilations may ask each condition of the users who have a value, and select the same users.
No text of a person's reaches a query but as a parameter or as a literal that it cannot leave.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from found_platform import lake
from found_platform.cache import single_flight
from found_platform.errors import BadInput
from found_platform.lake import quote

if TYPE_CHECKING:
    import duckdb

MAX_FILTER = 10_000
"""Characters."""

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Value = str | int | float | bool

OPERATORS: dict[type[exp.Expr], Operator] = {
    exp.EQ: "==",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
MIRRORED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NEGATED: dict[Operator, Operator] = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}

WRITTEN = {"==": "=", "!=": "<>"}
"""Operators that a person writes otherwise."""

MILVUS_WORDS = frozenset(
    {"and", "or", "not", "in", "like", "is", "null", "exists", "true", "false", "iso", "interval"}
)  # of Milvus's expressions, in any case
MILVUS_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
"""All that a Milvus literal needs; it does not know JSON's other escapes, and takes every other character as it is."""


@dataclass(frozen=True)
class Comparison:
    """`column operator value`; the value has the column's type."""

    column: str
    operator: Operator
    value: Value

    def negated(self) -> "Comparison":
        return Comparison(self.column, NEGATED[self.operator], self.value)

    def to_duckdb(self) -> tuple[str, list[Value]]:
        return f"{quote(self.column)} {self.operator} ?", [self.value]

    def to_milvus(self) -> str:
        return _where_known(self.column, f"{self.operator} {_milvus_literal(self.value)}")


@dataclass(frozen=True)
class Membership:
    """`column IN (values)` or `NOT IN`; the values have the column's type, and there is at least one."""

    column: str
    values: tuple[Value, ...]
    included: bool = True

    def negated(self) -> "Membership":
        return Membership(self.column, self.values, not self.included)

    def to_duckdb(self) -> tuple[str, list[Value]]:
        return f"{quote(self.column)} {'IN' if self.included else 'NOT IN'} ({', '.join('?' * len(self.values))})", [*self.values]

    def to_milvus(self) -> str:
        values = ", ".join(map(_milvus_literal, self.values))
        return _where_known(self.column, f"{'in' if self.included else 'not in'} [{values}]")


@dataclass(frozen=True)
class NullTest:
    """`column IS NULL` or `IS NOT NULL`."""

    column: str
    missing: bool = True

    def negated(self) -> "NullTest":
        return NullTest(self.column, not self.missing)

    def to_duckdb(self) -> tuple[str, list[Value]]:
        return f"{quote(self.column)} {'IS NULL' if self.missing else 'IS NOT NULL'}", []

    def to_milvus(self) -> str:
        return f"{_milvus_name(self.column)} {'is null' if self.missing else 'is not null'}"


@dataclass(frozen=True)
class Junction:
    """All parts, or any part, of at least two."""

    operator: Literal["and", "or"]
    parts: tuple["Filter", ...]

    def negated(self) -> "Junction":
        return Junction("or" if self.operator == "and" else "and", tuple(part.negated() for part in self.parts))

    def to_duckdb(self) -> tuple[str, list[Value]]:
        clauses, parameters = zip(*(part.to_duckdb() for part in self.parts), strict=True)
        return f"({f' {self.operator} '.join(clauses)})", [value for values in parameters for value in values]

    def to_milvus(self) -> str:
        return f"({f' {self.operator} '.join(part.to_milvus() for part in self.parts)})"


Filter = Comparison | Membership | NullTest | Junction
"""`to_duckdb()` gives a WHERE clause with placeholders, and its parameters; `to_milvus()` an expression to stand among others.
`negated()` is true where the filter is false, and unknown where the filter is."""


def parse(text: str, columns: pa.Schema) -> Filter:
    """Reads a filter such as `age_band IN ('25-34', '35-44') AND NOT (events_28d < 3 OR city IS NULL)`.

    Args:
        columns: what it may name, with the types (string, bool, any integer or float).

    Raises BadInput that names the column, the type or the part that is not understood.
    """
    if len(text) > MAX_FILTER:
        raise BadInput(f"The filter has {len(text):,} characters: at most {MAX_FILTER:,} are read.")
    if re.search(r"[\0\ud800-\udfff]", text):
        raise BadInput(f"The filter {_short(text)!r} holds a character that is no text: leave it out.")
    try:
        return _filter(sqlglot.parse_one(text, dialect="duckdb"), columns)
    except (ParseError, TokenError):
        raise BadInput(
            f"The filter {_short(text)!r} cannot be read: write conditions joined by AND and OR, such as "
            "age = '35-44' AND events_28d >= 3, with texts in single quotes."
        ) from None
    except RecursionError:
        raise BadInput(f"The filter {_short(text)!r} cannot be read: its parentheses are nested too deeply.") from None


def selected(where: Filter, table: pa.Table, duckdb_memory: str) -> np.ndarray:
    """(N,) bool: which rows of a table of filter columns a filter selects."""
    clause, parameters = where.to_duckdb()
    with _engine(duckdb_memory).cursor() as con:  # of its own for each thread
        con.register("users", table.select(columns_of(where)))
        rows = con.execute(f"SELECT coalesce({clause}, false) AS is_selected FROM users", parameters).to_arrow_table()
    return rows["is_selected"].to_numpy()


@single_flight(2)
def _engine(duckdb_memory: str) -> "duckdb.DuckDBPyConnection":
    """Kept: to make one takes longer than to filter a hundred thousand users."""
    return lake.connect(duckdb_memory)


def in_words(where: Filter) -> str:
    """A filter as a person may write it."""
    if isinstance(where, Junction):
        return "(" + f" {where.operator.upper()} ".join(in_words(part) for part in where.parts) + ")"
    if isinstance(where, NullTest):
        return f"{where.column} IS {'' if where.missing else 'NOT '}NULL"
    if isinstance(where, Membership):
        return f"{where.column} {'IN' if where.included else 'NOT IN'} ({', '.join(map(_written, where.values))})"
    return f"{where.column} {WRITTEN.get(where.operator, where.operator)} {_written(where.value)}"


def columns_of(where: Filter) -> list[str]:
    """The columns that a filter asks, each once, in order."""
    parts = where.parts if isinstance(where, Junction) else ()
    return list(dict.fromkeys(c for part in parts for c in columns_of(part))) if parts else [where.column]  # pyright: ignore


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_duckdb(where: Filter | Sequence[Any] | None) -> tuple[str, list[Value]]:
    """A WHERE clause with placeholders, and its parameters; of everybody where there is no filter."""
    return where.to_duckdb() if isinstance(where, Filter) else ("true", [])


def to_milvus(where: Filter | Sequence[Any] | None) -> str:
    """A Milvus boolean expression; empty where there is no filter."""
    return where.to_milvus() if isinstance(where, Filter) else ""


ARGUMENTS: dict[type[exp.Expr], set[str]] = {
    exp.And: {"this", "expression"},
    exp.Or: {"this", "expression"},
    exp.Not: {"this"},
    exp.Is: {"this", "expression"},
    exp.In: {"this", "expressions"},
    exp.Between: {"this", "low", "high"},
    **{kind: {"this", "expression"} for kind in OPERATORS},
}
"""The nodes that are understood, and all that they may hold."""


def _filter(node: exp.Expr, columns: pa.Schema) -> Filter:
    node = node.unnest()
    if {name for name, value in node.args.items() if value} - ARGUMENTS.get(type(node), set()):
        raise _not_understood(node)
    if isinstance(node, exp.Not):
        return _filter(node.this, columns).negated()
    if isinstance(node, exp.And | exp.Or):
        parts = [_filter(part, columns) for part in node.flatten()]
        return Junction("and" if isinstance(node, exp.And) else "or", tuple(parts))
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return NullTest(_column(node.this, node, columns).name)
    if isinstance(node, exp.In) and node.expressions:
        column = _column(node.this, node, columns)
        values = [_value(value.unnest(), column) for value in node.expressions]
        if pa.types.is_floating(column.type):  # both engines look lists up by hash, and -0.0 has another than 0.0
            equal = [Comparison(column.name, "==", value) for value in values]
            return Junction("or", tuple(equal)) if len(equal) > 1 else equal[0]
        return Membership(column.name, tuple(values))
    if isinstance(node, exp.Between):
        column = _column(node.this, node, columns)
        return Junction("and", (_comparison(column, ">=", node.args["low"]), _comparison(column, "<=", node.args["high"])))
    if type(node) in OPERATORS:
        left, right, operator = node.this.unnest(), node.expression.unnest(), OPERATORS[type(node)]
        if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
            left, right, operator = right, left, MIRRORED[operator]
        return _comparison(_column(left, node, columns), operator, right)
    raise _not_understood(node)


def _not_understood(node: exp.Expr) -> BadInput:
    return BadInput(
        f"The filter holds {_short(_sql(node))!r}, which is not understood: only =, <>, <, <=, >, >=, IN, BETWEEN, IS NULL, AND, "
        "OR and NOT are."
    )


def _column(node: exp.Expr, condition: exp.Expr, columns: pa.Schema) -> pa.Field:
    node = node.unnest()
    if not isinstance(node, exp.Column) or node.table:
        raise BadInput(f"The filter holds {_short(_sql(condition))!r}: compare a column with a value.")
    if node.name not in columns.names:
        near = difflib.get_close_matches(node.name.lower(), columns.names, n=1)
        hint = f": did you mean {near[0]}? There" if near else "; there"
        raise BadInput(f"The filter names the column {node.name!r}, which is not there{hint} are {', '.join(columns.names)}.")
    return columns.field(node.name)


def _comparison(column: pa.Field, operator: Operator, node: exp.Expr) -> Comparison:
    node = node.unnest()
    if pa.types.is_boolean(column.type) and operator not in ("==", "!="):
        raise BadInput(f"The filter puts {column.name!r} in order: it is true or false, so ask it with = or <>.")
    if pa.types.is_integer(column.type) and operator not in ("==", "!=") and (number := _number(node)) is not None:
        # more than 2.5 is more than 2, less than 2.5 less than 3: a fraction would be compared as a float, which is not exact
        whole = number.to_integral_value(ROUND_FLOOR if operator in (">", ">=") else ROUND_CEILING)
        if whole != number:
            operator = ">" if operator in (">", ">=") else "<"
        node = exp.Literal.number(str(whole))
    return Comparison(column.name, operator, _value(node, column))


def _value(node: exp.Expr, column: pa.Field) -> Value:
    """A literal as a value of the column's type."""
    kind, number = column.type, _number(node)
    if pa.types.is_boolean(kind):
        expected = "true or false"
        if isinstance(node, exp.Boolean):
            return bool(node.this)
    elif pa.types.is_string(kind):
        expected = "a text in single quotes"
        if isinstance(node, exp.Literal) and node.is_string:
            return str(node.this)
    elif pa.types.is_integer(kind):
        expected = "a whole number of at most 64 bits"
        if number is not None and number.copy_abs() < 2**63 and number == number.to_integral_value():
            return int(number)
    elif pa.types.is_floating(kind):
        expected = "a number"
        if number is not None and abs(value := float(number)) != float("inf"):
            return value
    else:
        raise BadInput(f"The filter names the column {column.name!r}, whose type {kind} no filter can ask.")
    hint = ": a missing value is asked with IS NULL" if isinstance(node, exp.Null) else ""
    raise BadInput(f"The filter compares {column.name!r} with {_short(_sql(node))}: it takes {expected}{hint}.")


def _number(node: exp.Expr) -> Decimal | None:
    """A number as it is written, with its sign; None where the node is none."""
    negative = False
    while isinstance(node, exp.Neg | exp.Paren):
        negative, node = negative != isinstance(node, exp.Neg), node.this
    if not isinstance(node, exp.Literal) or node.is_string:
        return None
    try:
        number = Decimal(node.this)
    except InvalidOperation:
        return None
    return number.copy_negate() if negative else number  # a sign by arithmetic would round


def _where_known(column: str, condition: str) -> str:
    """The guard is needed: to Milvus Lite a missing value is `not in` every list."""
    name = _milvus_name(column)
    return f"({name} is not null and {name} {condition})"


def _milvus_name(column: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column) or column.lower() in MILVUS_WORDS:
        raise BadInput(f"The index cannot be asked for the column {column!r}, whose name it reads otherwise: use --exact.")
    return column


def _milvus_literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value.translate(MILVUS_ESCAPES)}"' if isinstance(value, str) else repr(value)


def _sql(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"
