"""Requests that are sent twice: what came with an Idempotency-Key is done once, and answered the same each time.

What failed or was cancelled has no answer to repeat: the same request tries again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from found_platform.errors import BadInput
from found_platform.serving.jobs import Job

MOST_REPEATS = 1000
"""Requests with an Idempotency-Key that are remembered by a server."""


class Repeats:
    """Which job answered a key. The second request with a key gets the answer of the first, and nothing is done twice."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[str, str], tuple[str, Job]] = OrderedDict()
        self._lock = threading.Lock()

    def get_or_start(self, owner: str, key: str, request_hash: str, start: Callable[[], Job]) -> Job:
        """Raises BadInput where the key came with another request before."""
        with self._lock:
            kept = self._jobs.get((owner, key))
            if kept is not None and kept[0] != request_hash:
                raise BadInput(f"The Idempotency-Key {key!r} came with another request before: use a new one for each request.")
            if kept is not None and kept[1].state not in ("cancelled", "failed"):
                return kept[1]
            job = start()
            self._jobs[owner, key] = request_hash, job
            while len(self._jobs) > MOST_REPEATS:
                self._jobs.popitem(last=False)
            return job
