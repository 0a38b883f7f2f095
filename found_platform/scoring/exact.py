"""Exact scoring of everybody: the best rows of a user matrix for a query vector.

The cost is one pass over the matrix, which is what a matrix product costs; nothing the size of the matrix is copied, so it may be
memory-mapped.
"""

import numpy as np

NARROW = 8
"""Where a mask keeps less than one user in this many, reading those alone is cheaper than passing over everybody."""

BLOCK = 65_536
"""Rows gathered at once under a narrow mask: bounds memory."""

SAMPLE = 16
"""The floor of the best is guessed from one score in this many."""


def top_users(vectors: np.ndarray, query: np.ndarray, top: int, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The `top` best rows by inner product and their scores: ((K,) int64, (K,) float32), best first, ties in row order.

    `vectors` (B, D) float32, rows contiguous; `query` (D',) asks the first D' <= D places; `mask` (B,) bool keeps some of the rows.
    K is `top`, or less where fewer rows are kept.
    """
    query = np.pad(query.astype(np.float32, copy=False), (0, vectors.shape[1] - len(query)))
    if mask is not None and np.count_nonzero(mask) * NARROW < len(vectors):
        kept = np.flatnonzero(mask)
        parts = [vectors[kept[i : i + BLOCK]] @ query for i in range(0, len(kept), BLOCK)]
        rows, scores = best(np.concatenate(parts) if parts else np.empty(0, np.float32), top)
        return kept[rows], scores
    return best(vectors @ query, top, mask)


def best(scores: np.ndarray, top: int, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the `top` highest scores (B,) that `mask` (B,) keeps, and those scores, best first, ties in row order."""
    rows = np.flatnonzero(_over_floor(scores, top, mask))
    rows = rows[np.argsort(-scores[rows], kind="stable")][:top]
    return rows, scores[rows]


def _over_floor(scores: np.ndarray, top: int, mask: np.ndarray | None) -> np.ndarray:
    """(B,) bool: at least the `top` best of the kept rows, with few others where there are many rows."""
    kept = np.ones(len(scores), bool) if mask is None else mask
    sample = scores[::SAMPLE][kept[::SAMPLE]]
    place = top * 3 // (2 * SAMPLE) + SAMPLE  # deep enough in the sample that the floor is hardly ever too high
    if place < len(sample):
        over = (scores >= np.partition(sample, len(sample) - place)[len(sample) - place]) & kept
        if np.count_nonzero(over) >= top:
            return over
    if top < np.count_nonzero(kept):
        eligible = scores[kept]
        return (scores >= np.partition(eligible, len(eligible) - top)[len(eligible) - top]) & kept
    return kept
