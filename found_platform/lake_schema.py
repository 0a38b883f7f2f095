"""Columns of a table of the lake: which have statistics, of which types later ones may be, and a table that has other ones.

What belongs here: what Delta keeps of columns, and its words. What does not: writing (`lake`), what columns there are (`contract`).
"""

from collections.abc import Iterable

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.schema import DataType, PrimitiveType

from found_platform.errors import BadInput
from found_platform.lake_place import Place

STATISTICS = "delta.dataSkippingStatsColumns"


def statistics(schema: pa.Schema, partition_by: Iterable[str]) -> str:
    """Statistics stay in the log when a row is gone: only times and our own ids may enter it, never what a person is or said."""
    left_out = set(partition_by)
    named = [f.name for f in schema if f.name not in left_out and (pa.types.is_temporal(f.type) or f.name == "text_id")]
    return ",".join(named[:32])


DELTA_TYPES = {
    pa.string(): PrimitiveType("string"),
    pa.int64(): PrimitiveType("long"),
    pa.float64(): PrimitiveType("double"),
    pa.bool_(): PrimitiveType("boolean"),
}
"""Types of the columns that a table can get later: those of profile attributes."""

EVOLVED = "found.evolved"
"""Property of a table whose older files lack some of its columns."""


def check(about: DeltaTable, lake: Place, table: str, schema: pa.Schema) -> None:
    """Raises BadInput that names the first column in which a table differs from the schema that rows are written with."""
    has, needs = ({f.name: f.type for f in s.fields} for s in (about.schema(), Schema.from_arrow(schema)))
    for column in (*needs, *has):
        if has.get(column) == needs.get(column):
            continue
        difference = (
            f"has no column {column!r}, which is written now"
            if column not in has
            else f"has a column {column!r}, which is written no longer"
            if column not in needs
            else f"holds {_name(has[column])} in the column {column!r}, where {_name(needs[column])} is written now"
        )
        raise BadInput(
            f"The table {table!r} under {lake} {difference}: it was made by another version of the platform, or from other columns "
            "of the source. Make a new home from the same source: `found demo --source FILE --home NEW`."
        )


def _name(kind: DataType) -> str:
    return kind.type if isinstance(kind, PrimitiveType) else f"{kind.type} values"
