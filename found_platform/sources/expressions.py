"""Expressions of a source file: what a row means, said in DuckDB's language, and nothing else that this language can do.

What belongs here: which expressions are allowed, what they read. What does not: where the columns are (`mapping`).

The engine itself parses an expression; what is allowed is a list of parts and its own list of functions that give the same answer
for the same row. So no file, no setting, no network and no other row is within reach, whatever functions a later version brings.
"""

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from found_platform.lake import quote

PARTS = {"COLUMN_REF", "CONSTANT", "FUNCTION", "OPERATOR", "COMPARISON", "CONJUNCTION", "CAST", "CASE", "BETWEEN", "COLLATE"}
REFUSED_PARTS = {
    "SUBQUERY": "a query within it",
    "WINDOW": "a window function, which reads other rows",
    "STAR": "`*` in place of a column",
    "LAMBDA": "an arrow (a nested field is written with points, `properties.name`)",
    "PARAMETER": "a parameter",
}
OF_THE_ENGINE = {"current_setting", "getvariable", "version", "current_schemas", "current_database", "in_search_path", "parse_path"}
"""Functions that tell of the engine instead of the row."""
MACROS = {"nullif", "fdiv", "fmod", "round_even", "roundbankers", "date_add", "ifnull", "list_sum", "list_min", "list_max"}


@dataclass(frozen=True)
class Expression:
    """A parsed expression: `template` is its SQL with a name of ours, `aliases` in order, in place of each column it reads."""

    text: str
    template: dict[str, Any]
    columns: tuple[tuple[str, ...], ...]  # each by its parts: `a.b` is two

    def sql(self, con: duckdb.DuckDBPyConnection, aliases: dict[tuple[str, ...], str]) -> str:
        """The SQL with the columns under other names."""
        changed = json.loads(json.dumps(self.template))
        for node in _nodes(changed):
            if node.get("class") == "COLUMN_REF":
                node["column_names"] = [aliases[tuple(node["column_names"])]]
        row = con.execute("SELECT json_deserialize_sql(CAST(? AS JSON))", [json.dumps(changed)]).fetchone()
        assert row is not None
        return str(row[0]).removeprefix("SELECT ")


PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


@functools.cache
def _reserved() -> frozenset[str]:
    """Words of the language that are no column unless they are quoted, such as `at`, `order` and `left`."""
    sql = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    with duckdb.connect() as con:
        return frozenset(word for (word,) in con.execute(sql).fetchall())


def of_column(name: str) -> str:
    """A column or nested field as an expression reads it: in double quotes where it is no plain word."""
    parts = name.split(".")
    if not all(map(PLAIN_NAME.fullmatch, parts)):
        parts = [name]
    return ".".join(part if PLAIN_NAME.fullmatch(part) and part.lower() not in _reserved() else quote(part) for part in parts)


class Refused(ValueError):
    """An expression that cannot be used; the message continues "`...` "."""


MOST_SIGNS = 10_000
"""Characters of an expression."""
DEEPEST = 300
"""Parts of the parsed expression within each other, lists and objects counted: about a hundred parentheses."""
TOO_DEEP = "is nested too deeply: write it with fewer parts within each other"


def is_name(text: str) -> bool:
    """Whether a text that is no column cannot be meant as anything but one: letters, digits, spaces."""
    return all(c.isalnum() or c in "_ " for c in text)


def parse(con: duckdb.DuckDBPyConnection, text: str) -> Expression:
    """Parses one expression. Raises Refused with the reason, in words of ours."""
    if len(text) > MOST_SIGNS:
        raise Refused(f"has {len(text):,} characters: at most {MOST_SIGNS:,} are read")
    row = con.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [f"SELECT {text}\n"]).fetchone()
    assert row is not None
    try:
        document = json.loads(row[0])
    except RecursionError:
        raise Refused(TOO_DEEP) from None
    if document.get("error"):
        problem = str(document.get("error_message", "")).split("\n")[0]
        if "expression depth" in problem or "memory exhausted" in problem:
            raise Refused(TOO_DEEP)
        raise Refused("is more than one expression" if "Only SELECT" in problem else f"is no expression: {problem}")
    node = document["statements"][0]["node"]
    clauses = ("where_clause", "group_expressions", "having", "qualify", "sample", "modifiers")
    plain = node.get("type") == "SELECT_NODE" and not any(node.get(clause) for clause in clauses)
    if len(document["statements"]) != 1 or not plain or node["from_table"]["type"] != "EMPTY" or len(node["select_list"]) != 1:
        raise Refused("is more than one expression")
    columns: dict[tuple[str, ...], None] = {}
    for part in _nodes(node["select_list"][0]):
        kind = part.get("class")
        if not isinstance(kind, str):
            continue
        if kind not in PARTS:
            raise Refused(
                f"holds {REFUSED_PARTS.get(kind, 'a part of a kind ' + repr(kind.lower()))}: only the columns of a row can be used"
            )
        if kind == "FUNCTION":
            _check_function(part)
        if kind == "COLUMN_REF":
            columns[tuple(part["column_names"])] = None
    return Expression(text, document, tuple(columns))


def _check_function(part: dict[str, Any]) -> None:
    name = str(part["function_name"]).lower()
    kinds = _functions().get(name)
    if kinds is None:
        raise Refused(f"uses {name}(), which is no function of DuckDB")
    if "aggregate" in kinds:
        raise Refused(f"uses {name}(), which reads other rows: only the columns of a row can be used")
    if name in OF_THE_ENGINE or (kinds != {"row"} and name not in MACROS):
        raise Refused(f"uses {name}(), which reads or gives what is not in the row: only the columns of a row can be used")


@functools.cache
def _functions() -> dict[str, set[str]]:
    """What each function of the engine is: `row` where the same arguments always give the same value."""
    kinds: dict[str, set[str]] = {}
    with duckdb.connect() as con:
        rows = con.execute("SELECT DISTINCT lower(function_name), function_type, stability FROM duckdb_functions()").fetchall()
    for name, kind, stability in rows:
        word = "row" if kind == "scalar" and stability == "CONSISTENT" else "aggregate" if kind == "aggregate" else "other"
        kinds.setdefault(name, set()).add(word)
    return kinds


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """The objects of a parsed expression, an object before what is in it. Raises Refused where it is too deep."""
    waiting = [(part, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise Refused(TOO_DEEP)
        if isinstance(part, dict):
            yield part
        inner = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
        waiting += [(value, depth + 1) for value in reversed(inner)]


def engine_words(error: Exception, names: dict[str, str]) -> str:
    """What the engine says of an expression, without its own words for things: aliases become the columns' names again."""
    line = str(error).splitlines()[0]
    kind, _, problem = line.partition(": ")
    problem = problem if kind.endswith("Error") else line
    problem = problem.split(" - an explicit cast")[0].split(". You might need")[0].replace("_LITERAL", "").rstrip(".!")
    for alias, name in sorted(names.items(), key=lambda pair: -len(pair[0])):
        problem = problem.replace(quote(alias), name).replace(alias, name)
    return problem
