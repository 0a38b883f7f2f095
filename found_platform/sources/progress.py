"""Progress: a bar with what was read and the time left, while files, databases and stores take longer than a few seconds.

What belongs here: the bars, which show on a terminal alone. What does not: reading.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from tqdm import tqdm

PATIENCE = 3.0  # seconds before a bar is shown
EVERY = 0.5  # seconds between two looks


@contextmanager
def pulling(what: str, unit: str, total: Callable[[], int | None] = lambda: None) -> Iterator[Callable[[int], object]]:
    """A bar over rows (`unit` is " rows") or bytes ("B") that are pulled; what it yields says that so many more have come.

    `total` is asked for where somebody looks: counting may take a database a while. Without one there is no time left to show.
    """
    bar = tqdm(desc=f"pulling {what}", unit=unit, unit_scale=True, disable=None, leave=False, delay=PATIENCE, mininterval=EVERY)
    with bar:
        bar.total = None if bar.disable else total()
        yield bar.update


class Progress:
    """A bar over the bytes of files, with the rows of those that were read. It shows only on a terminal."""

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
    def files(self, names: Sequence[str]) -> Iterator[None]:
        """Moves the bar while some files are read."""
        size = sum(Path(name).stat().st_size for name in names if Path(name).is_file())
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

    def rows(self, count: int) -> None:
        """Says how many rows were read so far."""
        self._bar.set_postfix_str(f"{count:,} rows", refresh=False)

    def close(self) -> None:
        self._bar.close()
