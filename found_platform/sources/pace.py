"""How fast this machine is at the moment, against the one that the estimate's constants were measured on.

What belongs here: a small piece of work and the time it takes. What does not: what a run is expected to take (`estimate`).
"""

import contextlib
import hashlib
import json
import statistics
import time
from collections.abc import Iterator

REFERENCE = 0.018
"""Seconds of the piece on two quiet cores of the machine that the constants come from: the lower half of eighty."""

TRIES = 5
SLOWEST, FASTEST = 4.0, 0.25
"""Bounds: a machine that is busy now need not be so all the time."""


_measured: list[float] = []


@contextlib.contextmanager
def measured() -> Iterator[None]:
    """Within it the machine is as fast as it is now: whoever has others work beside it would find it slow."""
    _measured.append(slowness())
    try:
        yield
    finally:
        _measured.pop()


def slowness() -> float:
    """How many times as long as the reference this machine takes for the same work. Takes a tenth of a second, unless measured."""
    return _measured[-1] if _measured else bounded(statistics.median(_seconds() for _ in range(TRIES)))


def bounded(seconds: float) -> float:
    """The ratio of the seconds of a piece to the reference's, within the bounds."""
    return min(SLOWEST, max(FASTEST, seconds / REFERENCE))


def _seconds() -> float:
    began = time.perf_counter()
    _piece()
    return time.perf_counter() - began


def _piece() -> None:
    """What a run mostly does: objects of Python, hashes, products of matrices, sorting."""
    import numpy as np

    rows = [{"user": i, "text": f"text {i % 97} of things", "amount": i * 0.5} for i in range(4000)]
    content = json.dumps(rows)
    hashlib.sha256(content.encode()).digest()
    json.loads(content)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 128)).astype(np.float32)
    for _ in range(8):
        vectors = vectors @ (vectors.T @ vectors)
        vectors /= np.abs(vectors).max()
    np.sort(rng.random(100_000))
