"""The users of a publication as rows for Milvus, a block of them at a time: records that are inserted, or a table of a file.

What belongs here: the fields of a collection and what stands in them. What does not: how it gets there (`collection`, `imports`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from found_platform.index import missing
from found_platform.privacy.user_keys import UserKeys

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient


@dataclass(frozen=True)
class Rows:
    """Keys (U,), vectors (U, D) and filter columns (U rows), which may be mapped; rows are those of the users who are `kept` (U,).

    `lists_missing`: missing values are named in a field of their own, see `missing`.
    """

    keys: UserKeys
    vectors: np.ndarray
    attributes: pa.Table
    kept: np.ndarray
    lists_missing: bool = False

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return int(np.count_nonzero(self.kept))

    def schema(self, client: "MilvusClient") -> "CollectionSchema":
        """The fields of a collection of these users."""
        from pymilvus import DataType

        kinds = {
            pa.string(): DataType.VARCHAR,
            pa.int64(): DataType.INT64,
            pa.float64(): DataType.DOUBLE,
            pa.bool_(): DataType.BOOL,
        }
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("user_key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.vectors.shape[1])
        for column in self.attributes.schema:
            options: dict[str, Any] = {"max_length": 65_535} if column.type == pa.string() else {}
            schema.add_field(column.name, kinds[column.type], nullable=not self.lists_missing, **options)
        if self.lists_missing:
            missing.add_field(schema)
        return schema

    def records(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The rows of users from one place among the keys to another, as they are inserted."""
        rows, columns = self._block(start, stop)
        users = zip(self.keys.take(rows), self.vectors[rows], columns.to_pylist(), strict=True)
        return [{"user_key": key, "vector": vector, **values} for key, vector, values in users]

    def table(self, start: int, stop: int) -> pa.Table:
        """The same rows as a table."""
        rows, columns = self._block(start, stop)
        vectors = np.ascontiguousarray(self.vectors[rows], np.float32)
        offsets = np.arange(len(rows) + 1, dtype=np.int32) * vectors.shape[1]
        arrays = [pa.array(self.keys.take(rows), pa.string()), pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))]
        return pa.table([*arrays, *columns.columns], ["user_key", "vector", *columns.column_names])

    def _block(self, start: int, stop: int) -> tuple[np.ndarray, pa.Table]:
        """Where the users stand among the keys, and their filter columns."""
        searchable = self.kept[start:stop]
        columns = self.attributes.slice(start, len(searchable)).filter(pa.array(searchable))
        return start + np.flatnonzero(searchable), missing.listed(columns) if self.lists_missing else columns
