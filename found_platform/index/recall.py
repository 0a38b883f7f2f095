"""How much of the exact answer an index finds, under filters that keep many users and under filters that keep few.

A graph or cell index that is asked for a rare kind of user may walk past all of them; so each kind of filter is measured by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from found_platform import mapped
from found_platform.privacy.user_keys import UserKeys

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


def measure(
    find: Find, keys: Sequence[str], vectors: np.ndarray, table: pa.Table, among: np.ndarray | None = None
) -> tuple[RecallCheck, ...]:
    """Recall of an index of these users under filters of about the SHARES, widest first.

    `keys` (U,) are in order, beside `vectors` (U, D) and `table` (U rows of filter columns); the index holds those `among` (U,)
    bool, or all. Queries are the vectors of some of them. Vectors are compared a block of users at a time.
    """
    ordered, among = UserKeys.of(keys), np.ones(len(keys), bool) if among is None else among
    users = int(np.count_nonzero(among))
    asking = np.flatnonzero(among)[np.linspace(0, users - 1, min(QUERIES, users)).astype(int)]
    queries = vectors[asking]
    checks = []
    for share in SHARES:
        expression, kept = ("", among) if share == 1 else _narrow(table, share, among)
        count = int(np.count_nonzero(kept))
        top = min(TOP, count)
        floors = _floors(vectors, queries, kept, top)
        shares = []
        for query, floor, hits in zip(queries, floors, find(queries, top, expression), strict=True):
            rows = ordered.rows(key for key, _ in hits)
            rows = rows[rows >= 0]
            near = floor - 1e-5 * max(1.0, abs(float(floor)))  # an equal score is as good
            shares.append(np.count_nonzero(vectors[rows[kept[rows]]] @ query >= near) / top)
        checks.append(RecallCheck(round(count / users, 6), expression, round(float(np.mean(shares)), 4)))
    return tuple(checks)


def _floors(vectors: np.ndarray, queries: np.ndarray, kept: np.ndarray, top: int) -> np.ndarray:
    """(Q,) the lowest of the `top` best scores of the users who are kept (U,) bool, for each query (Q, D)."""
    best = np.empty((0, len(queries)), np.float32)
    for start in range(0, len(vectors), mapped.ROWS):
        rows = start + np.flatnonzero(kept[start : start + mapped.ROWS])
        scores = np.concatenate([best, vectors[rows] @ queries.T])
        best = np.partition(scores, len(scores) - top, axis=0)[len(scores) - top :] if len(scores) > top else scores
    return best.min(0)


def _narrow(table: pa.Table, share: float, among: np.ndarray) -> tuple[str, np.ndarray]:
    """A column at or over a number that keeps as nearly as possible this share of the users, and whom it keeps (U,) bool."""
    count = max(1, round(share * np.count_nonzero(among)))
    best: tuple[float, str, np.ndarray] | None = None
    for name in table.column_names:
        if not (pa.types.is_integer(table.schema.field(name).type) or pa.types.is_floating(table.schema.field(name).type)):
            continue
        values = table[name].to_numpy().astype(np.float64)  # a missing value is a nan, which is over no number
        present = np.sort(values[among & ~np.isnan(values)])
        if len(present) < count:
            continue
        floor = present[-count]
        kept = among & (values >= floor)
        miss = abs(np.log(np.count_nonzero(kept) / count))
        if best is None or miss < best[0]:
            number = int(floor) if pa.types.is_integer(table.schema.field(name).type) else float(floor)  # as old servers ask for it
            best = (miss, f"({name} is not null and {name} >= {number!r})", kept)  # as a filter is compiled
    return (best[1], best[2]) if best else ("", among)
