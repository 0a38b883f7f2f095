"""How many requests one token, session or address may send: a bucket that fills evenly and is emptied by requests."""

import threading
import time
from collections import OrderedDict

MOST_BUCKETS = 10_000
"""Buckets that are kept; the one that was used longest ago goes first, and it is full by then."""


class RateLimit:
    """`rate` requests a minute of each key."""

    def __init__(self, rate: int):
        self._rate, self._lock = rate, threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was

    def wait(self, key: str) -> float:
        """0 where a request may go on, which it is counted as; else the seconds until one may."""
        moment, per_second = time.monotonic(), self._rate / 60
        with self._lock:
            left, since = self._buckets.pop(key, (float(self._rate), moment))
            left = min(float(self._rate), left + (moment - since) * per_second)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, moment)
            while len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / per_second
