"""Progress: a bar with the rows read and the time left, while files are read that take longer than a few seconds.

What belongs here: the bar. What does not: reading.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from tqdm import tqdm

PATIENCE = 3.0  # seconds before a bar is shown
EVERY = 0.5  # seconds between two looks


class Progress:
    """A bar over files, weighed by their bytes and counted in rows once the first ones are known. It shows only on a terminal."""

    def __init__(self, con: duckdb.DuckDBPyConnection, name: str, files: Sequence[str | Path]) -> None:
        self._con = con
        sizes = [Path(file).stat().st_size for file in files if Path(file).is_file()]
        self._bar = tqdm(
            total=sum(sizes) or None,
            desc=name,
            unit="B",
            unit_scale=True,
            disable=None,
            leave=False,
            delay=PATIENCE,
            mininterval=EVERY,
        )

    @contextmanager
    def file(self, name: str) -> Iterator[None]:
        """Moves the bar while one file is read."""
        size = Path(name).stat().st_size if Path(name).is_file() else 0
        if self._bar.disable:
            yield
            return
        before, over = self._bar.n, threading.Event()
        watcher = threading.Thread(target=self._watch, args=(before, size, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self._bar.update(before + size - self._bar.n)

    def _watch(self, before: int, size: int, over: threading.Event) -> None:
        while not over.wait(EVERY):
            percent = self._con.query_progress()
            if 0 <= percent <= 100:
                self._bar.update(max(0, before + int(size * percent / 100) - self._bar.n))

    def close(self) -> None:
        self._bar.close()
