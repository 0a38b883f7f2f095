"""Values that are missing, on a Milvus that knows none: servers before 2.5.

There a collection has what it can hold in their place, and one more field that names, for each user, the columns without a value.
An expression asks that field in place of `is null`. What belongs here: nothing but this difference of versions.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

FIELD = "_missing"
"""The field with the names of the columns that a user has no value in."""

_BEFORE = re.compile(r"v?2\.[0-4]\.")
_INSTEAD = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0, pa.bool_(): False}
_TEXT_OR_TEST = re.compile(r'"(?:[^"\\]|\\.)*"|\b(?P<column>[A-Za-z_]\w*) is (?P<there>not )?null\b')


def are_listed(client: "MilvusClient") -> bool:
    """Whether a server takes no missing values. Milvus Lite does, whose version has its name in front."""
    version: Any = client.get_server_version()
    return _BEFORE.match(str(version)) is not None


def add_field(schema: "CollectionSchema") -> None:
    """The field that names columns without a value."""
    from pymilvus import DataType

    of_names: dict[str, Any] = {"element_type": DataType.VARCHAR, "max_capacity": 64, "max_length": 512}
    schema.add_field(FIELD, DataType.ARRAY, **of_names)


def listed(table: pa.Table) -> pa.Table:
    """A table whose missing values are named in FIELD, and replaced."""
    rows, columns = np.nonzero(np.stack([column.is_null().to_numpy() for column in table.columns], 1))
    offsets = np.searchsorted(rows, np.arange(len(table) + 1)).astype(np.int32)
    names = pa.ListArray.from_arrays(offsets, pa.array(np.array(table.column_names, object)[columns], pa.string()))
    filled = [pc.fill_null(table[field.name], _INSTEAD[field.type]) for field in table.schema]
    return pa.table([*filled, names], [*table.column_names, FIELD])


def tested(expression: str) -> set[str]:
    """The columns that an expression asks for a missing value."""
    return {match["column"] for match in _TEXT_OR_TEST.finditer(expression) if match["column"]}


def asked(expression: str) -> str:
    """An expression for such a collection; what stands in a text is left alone."""

    def test(match: re.Match[str]) -> str:
        if not match["column"]:
            return match[0]
        missing = f'array_contains({FIELD}, "{match["column"]}")'
        return f"(not {missing})" if match["there"] else missing

    return _TEXT_OR_TEST.sub(test, expression)
