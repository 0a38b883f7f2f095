"""The filter language: typed comparisons joined by AND, compiled to DuckDB parameters and to a Milvus expression.

A filter is parsed and checked against the columns first; no string of a person's is ever pasted into a query. A null value
satisfies no comparison, in either.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from found_platform.errors import BadInput

OPERATORS: dict[type[exp.Expr], str] = {exp.EQ: "==", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}


MAX_FILTER = 1000


@dataclass(frozen=True)
class Comparison:
    """One `column operator value`; the value has the column's type."""

    column: str
    operator: str
    value: str | int | float | bool


def parse(text: str, columns: pa.Schema) -> list[Comparison]:
    """Reads a filter such as `age_band = '25-34' AND events_28d >= 3`.

    Raises BadInput that names the column, the type or the part that is not understood.
    """
    if len(text) > MAX_FILTER:
        raise BadInput(f"The filter has {len(text):,} characters: at most {MAX_FILTER:,} are read.")
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except (ParseError, TokenError, RecursionError):
        raise BadInput(
            f"The filter {text!r} cannot be read: write comparisons joined by AND, such as age = '35-44' AND events_28d >= 3."
        ) from None
    return [_comparison(part, text, columns) for part in _conjuncts(tree)]


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        return _conjuncts(node.left) + _conjuncts(node.right)
    return [node]


def _comparison(node: exp.Expr, text: str, columns: pa.Schema) -> Comparison:
    operator = OPERATORS.get(type(node))
    if operator is None or not isinstance(node, exp.Binary):
        raise BadInput(
            f"The filter {text!r} holds {node.sql()!r}: only comparisons (=, <>, <, <=, >, >=) joined by AND are understood."
        )
    left, right = node.left, node.right
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right, operator = right, left, MIRRORED[operator]
    if not isinstance(left, exp.Column) or left.table:
        raise BadInput(f"The filter {text!r} holds {node.sql()!r}: compare a column with a value.")
    name = left.name
    if name not in columns.names:
        raise BadInput(f"The filter names the column {name!r}, which is not there; there are {', '.join(columns.names)}.")
    return Comparison(name, operator, _value(right, name, columns.field(name).type))


def _value(node: exp.Expr, column: str, kind: pa.DataType) -> Any:
    negative = isinstance(node, exp.Neg)
    literal = node.this if negative else node
    if pa.types.is_boolean(kind) and isinstance(literal, exp.Boolean):
        return bool(literal.this)
    if pa.types.is_string(kind) and isinstance(literal, exp.Literal) and literal.is_string and not negative:
        return str(literal.this)
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and isinstance(literal, exp.Literal) and not literal.is_string:
        number = float(literal.this)
        if math.isfinite(number) and abs(number) < 2**53:
            number = -number if negative else number
            return int(number) if pa.types.is_integer(kind) and number.is_integer() else number
    wanted = "a text in single quotes" if pa.types.is_string(kind) else "true or false" if pa.types.is_boolean(kind) else "a number"
    raise BadInput(f"The filter compares {column!r} with {node.sql()}: it takes {wanted}.")


def to_duckdb(comparisons: list[Comparison]) -> tuple[str, list[Any]]:
    """A WHERE clause with placeholders, and its parameters."""
    if not comparisons:
        return "true", []
    clause = " AND ".join('"' + c.column.replace('"', '""') + f'" {c.operator} ?' for c in comparisons)
    return clause, [c.value for c in comparisons]


def to_milvus(comparisons: list[Comparison]) -> str:
    """A Milvus boolean expression. Its string literals are JSON-escaped; Milvus Lite has no parameters."""
    parts = [f"{c.column} is not null and {c.column} {c.operator} {json.dumps(c.value, ensure_ascii=False)}" for c in comparisons]
    return " and ".join(parts)
