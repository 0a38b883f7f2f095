"""What every method made of every user who was judged, in the Delta table `benchmark_scores`: what methods are compared by.

A row is a method's scores of one user in one scenario. Users are in it, so it is one of `privacy.user_tables`.
"""

import datetime as dt
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.evaluation.judging import Answered
from found_platform.evaluation.scenario import Scenario
from found_platform.settings import Settings

TABLE = "benchmark_scores"

SCHEMA = pa.schema(
    [
        pa.field("cutoff", pa.date32(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("thresholds", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`scores` has one score a draw, null where the user was one of those shown, and `thresholds` the method's line in that draw."""


def as_table(cutoff: dt.date, answered: Iterable[Answered], scenarios: Iterable[Scenario]) -> pa.Table:
    """The rows of what methods answered."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    parts = [_rows(cutoff, a, by_name[name], name) for a in answered for name in a.answers]
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def _rows(cutoff: dt.date, answered: Answered, scenario: Scenario, name: str) -> pa.Table:
    draws = answered.answers[name].draws
    users, count = len(scenario.user_keys), len(draws)
    values = np.stack([draw.scores for draw in draws], 1).astype(np.float32)  # (N, D)
    lines = np.tile(np.array([draw.threshold for draw in draws], np.float32), users)
    offsets = pa.array(np.arange(users + 1, dtype=np.int32) * count)
    flat = pa.array(values.reshape(-1), pa.float32(), from_pandas=True)  # NaN becomes null
    constants = {"cutoff": cutoff, "task": answered.task, "method": answered.method, "scenario": name}
    columns = {column: pa.array([value] * users, SCHEMA.field(column).type) for column, value in constants.items()}
    return pa.table(
        {
            **columns,
            "user_key": pa.array(scenario.user_keys, pa.string()),
            "label": pa.array(scenario.labels, pa.int64()),
            "scores": pa.ListArray.from_arrays(offsets, flat),
            "thresholds": pa.ListArray.from_arrays(offsets, pa.array(lines)),
        },
        schema=SCHEMA,
    )


def replace(settings: Settings, cutoff: dt.date, table: pa.Table) -> None:
    """Writes all rows of a cutoff."""
    predicate = f"cutoff = '{cutoff.isoformat()}'"
    lake.replace(settings.lake, TABLE, table, schema=SCHEMA, partition_by=("cutoff",), predicate=predicate)


def append(settings: Settings, table: pa.Table) -> None:
    """Adds rows."""
    lake.append(settings.lake, TABLE, table, schema=SCHEMA, partition_by=("cutoff",))


def read(settings: Settings, cutoff: dt.date, columns: list[str] | None = None) -> pa.Table:
    """The rows of a cutoff. Raises BadInput where no benchmark has run there."""
    if lake.exists(settings.lake, TABLE):
        rows = lake.read(settings.lake, TABLE, pad.field("cutoff") == cutoff, columns)
        if rows.num_rows:
            return rows
    raise BadInput(f"No benchmark has run at the cutoff {cutoff}: run `found benchmark run` first.")
