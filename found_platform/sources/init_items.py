"""Lists within rows, such as the items of an order: a sample with a row of each, and the query that makes such rows.

What belongs here: what the columns of such a sample are called, and their SQL. What does not: whether a list is worth it
(`init_tables`).
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_sample import Table, fields, flat
from found_platform.sources.init_text import Line

ITEM = "item"


@dataclass(frozen=True)
class Items:
    """The list of which a table has a row for each value, and the SQL of each of its columns."""

    name: str
    sql: dict[str, str]
    own: frozenset[str]  # columns of the values, not of the row that holds the list


def unnested(table: Table, name: str) -> tuple[Table, Items]:
    """A sample with a row for each value of a list. Points in the names of columns become underscores: a query names them anew."""
    rows, sql, own = list[dict[str, Any]](), dict[str, str](), set[str]()
    paths = dict[str, str]()
    is_text = table.kind == "jsonl"
    for row in table.nested:
        outer = {path: value for path, value in fields(row) if not isinstance(value, list)}
        for value in _values(row, name):
            inner = dict(fields(value)) if isinstance(value, dict) else {"": value}
            named = {_plain(path): (path, cell, False) for path, cell in outer.items()}
            named |= {_plain(f"{name}.{path}".strip(".")): (path, cell, True) for path, cell in inner.items()}
            rows.append({column: cell for column, (_, cell, _) in named.items() if not isinstance(cell, list)})
            for column, (path, _, is_own) in named.items():
                sql[column] = _of_item(path) if is_own else _of_row(path, is_text=is_text)
                paths[column] = f"{name}.{path}".strip(".") if is_own else path
                own |= {column} if is_own else set()
    columns, _ = flat(rows)
    types = {column: kind for column, kind in table.types.items() if column in columns}
    return replace(table, columns=columns, types=types, lists=[], nested=[], paths=paths), Items(name, sql, frozenset(own))


def entry_of(table: Table, items: Items, path: dict[str, Any], used: Collection[str], numbers: Collection[str]) -> list[Line]:
    """The `tables` and the `query` of an entry that reads these columns, `numbers` of them as numbers.

    A number of the row that holds the list is shared out among its values: the total of an order counts once.
    """
    top, *steps = items.name.split(".")
    rows = f"CAST({of_column(top)} AS JSON)"
    listed = f"json_extract({rows}, {literal(_steps(steps) + '[*]')})"
    chosen = []
    for column in used:
        value, name = items.sql[column], of_column(column)
        if column in numbers:
            share = "" if column in items.own else f" / json_array_length({rows}, {literal(_steps(steps))})"
            value = f"CAST({value} AS DOUBLE){share}"
        chosen.append(value if value == name else f"{value} AS {name}")
    query = "SELECT " + ",\n       ".join(chosen) + f"\nFROM (SELECT *, unnest({listed}) AS {ITEM} FROM rows)\n"
    comment = f"a row for each value of {items.name}; rows without one make none"
    return [Line("tables", {"rows": path.pop("path") if path.keys() == {"path"} else path}), Line("query", query, comment)]


def _values(row: dict[str, Any], name: str) -> Iterator[Any]:
    value: Any = row
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    yield from value if isinstance(value, list) else ()


def _of_item(path: str) -> str:
    return f"{ITEM}->>{literal(_steps(path.split('.')) if path else '$')}"


def _of_row(path: str, *, is_text: bool) -> str:
    top, *steps = path.split(".")
    if not steps:
        return of_column(top)
    return f"{of_column(top) if is_text else f'CAST({of_column(top)} AS JSON)'}->>{literal(_steps(steps))}"


def _steps(steps: list[str]) -> str:
    """A JSON path through these keys."""
    return "$" + "".join(f".{step}" if re.fullmatch(r"[A-Za-z_]\w*", step) else f'."{step}"' for step in steps)


def _plain(path: str) -> str:
    return path.replace(".", "_")
