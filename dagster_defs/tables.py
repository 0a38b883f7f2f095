"""Tables on the page of a run: rows with named columns, as Dagster shows them.

What belongs here: the form. A figure that is to be plotted over partitions is a number of its own in the metadata, not a cell.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.TableMetadataValue:
    """Rows with these columns; `columns` maps a name to `string`, `int` or `float`."""
    records = [dg.TableRecord({name: row[name] for name in columns}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema.from_name_type_dict(dict(columns)))
