"""How much of the exact answer an index finds, under filters that keep many users and under filters that keep few.

A graph or cell index that is asked for a rare kind of user may walk past all of them; so each kind of filter is measured by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

SHARES = (1.0, 0.1, 0.01, 0.001)
TOP, QUERIES = 100, 16
RECALL = 0.99
"""Under this, users are scored exactly instead."""

SOUND = 0.5
"""Under this, with no filter at all, an index is not approximate but broken."""

Find = Callable[[np.ndarray, int, str], list[list[tuple[str, float]]]]
"""Searches with queries (Q, D), a number of users and a Milvus expression: for each query the user keys and scores."""


@dataclass(frozen=True)
class RecallCheck:
    """recall@100 under a filter (a Milvus expression) that keeps this share of the users."""

    share: float
    filter: str
    recall: float


def measure(find: Find, keys: list[str], vectors: np.ndarray, table: pa.Table) -> tuple[RecallCheck, ...]:
    """Recall of an index of these users under filters of about the SHARES, widest first.

    `keys` (B,), `vectors` (B, D), `table` (B rows of filter columns). Queries are the vectors of some of the users.
    """
    queries = vectors[np.linspace(0, len(keys) - 1, min(QUERIES, len(keys))).astype(int)]
    rows = {key: i for i, key in enumerate(keys)}
    checks = []
    for share in SHARES:
        expression, kept = ("", np.arange(len(keys))) if share == 1 else _narrow(table, share)
        top = min(TOP, len(kept))
        exact = vectors[kept] @ queries.T
        floors = np.partition(exact, len(kept) - top, axis=0)[len(kept) - top]
        allowed = set(kept.tolist())
        shares = []
        for query, floor, hits in zip(queries, floors, find(queries, top, expression), strict=True):
            places = [rows[key] for key, _ in hits if rows.get(key) in allowed]
            near = floor - 1e-5 * max(1.0, abs(float(floor)))  # an equal score is as good
            shares.append(np.count_nonzero(vectors[places] @ query >= near) / top)
        checks.append(RecallCheck(round(len(kept) / len(keys), 6), expression, round(float(np.mean(shares)), 4)))
    return tuple(checks)


def _narrow(table: pa.Table, share: float) -> tuple[str, np.ndarray]:
    """A column at or over a number that keeps as nearly as possible this share of the users, and the rows it keeps."""
    count = max(1, round(share * table.num_rows))
    best: tuple[float, str, np.ndarray] | None = None
    for name in table.column_names:
        if not (pa.types.is_integer(table.schema.field(name).type) or pa.types.is_floating(table.schema.field(name).type)):
            continue
        values = table[name].to_numpy().astype(np.float64)  # a missing value is a nan, which is over no number
        present = np.sort(values[~np.isnan(values)])
        if len(present) < count:
            continue
        floor = present[-count]
        kept = np.flatnonzero(values >= floor)
        miss = abs(np.log(len(kept) / count))
        if best is None or miss < best[0]:
            best = (miss, f"({name} is not null and {name} >= {float(floor)!r})", kept)  # as a filter is compiled
    return (best[1], best[2]) if best else ("", np.arange(table.num_rows))
