"""`progress.jsonl`: how a run gets on, for whoever watches it. Needs nothing but the standard library.

A line every few steps: step, steps, loss, parts of the loss, gradient_norm, learning_rate, rows_per_second, seconds. And one for
each look at held-out users: step, steps, held_out.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path


class Log:
    """Writes the file; a resumed run keeps the lines up to where it goes on."""

    def __init__(self, path: Path, every: int, batch: int, steps: int, *, enabled: bool, resumed: int):
        self._path, self._every, self._batch, self._steps, self._enabled = path, every, batch, steps, enabled
        if enabled:
            kept = [line for line in read_progress(path) if line["step"] <= resumed] if resumed else []
            path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._since, self._last = time.monotonic(), resumed

    def step(self, step: int, seconds: float, parts: dict[str, float], norm: float, rate: float) -> None:
        """After an optimiser step."""
        if step % self._every and step != self._steps:
            return
        moment = time.monotonic()
        speed = (step - self._last) * self._batch / max(moment - self._since, 1e-9)
        self._since, self._last = moment, step
        self._write(
            step=step,
            steps=self._steps,
            loss=sum(parts.values()),
            parts=parts,
            gradient_norm=norm,
            learning_rate=rate,
            rows_per_second=round(speed, 1),
            seconds=round(seconds, 2),
        )

    def held_out(self, step: int, figures: dict[str, float]) -> None:
        """After a look at held-out users."""
        self._write(step=step, steps=self._steps, held_out=figures)

    def _write(self, **line: object) -> None:
        if self._enabled:
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def read_progress(path: Path) -> Iterator[dict]:
    """The lines written so far; one that is still being written is left out."""
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return
