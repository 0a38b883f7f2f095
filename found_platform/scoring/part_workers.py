"""Parts of a published population on the workers of an engine: what is asked of each user is asked there.

What belongs here: what a worker is sent, and what it sends back. What does not: what is asked (`replay`, `scorers`), parts on the
cores of one machine (`everybody`).

A population goes as the place of its snapshot, whose files a worker maps, so that of a user nothing travels but the answer. The
question goes with the task, as an engine's client sends every function; it may hold something of every text.
"""

# pyright: reportMissingImports=false
# (the extra `scale` is not part of the default install)

import atexit
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from found_platform import threads
from found_platform.cache import single_flight
from found_platform.errors import BadInput, JobFailed
from found_platform.scoring import parts
from found_platform.scoring.population import Population
from found_platform.settings import Settings

if TYPE_CHECKING:
    from found_platform.engine import Engine

MANY = 4_194_304
"""Users whom the cores of one machine take seconds to score: of more, an engine that is set is asked."""

AT_ONCE = threading.BoundedSemaphore(os.cpu_count() or 1)
"""A process of an engine may be given all parts at once, as Sail's is."""

TASKS = pa.schema([("task", pa.int64()), ("start", pa.int64()), ("stop", pa.int64())])
REPORT = pa.schema([("task", pa.int64()), ("answer", pa.binary()), ("refusal", pa.string())])


def takes(population: Population) -> bool:
    """Whether the parts of a population are asked on an engine: its users are many, and published, and an engine is set."""
    return len(population.keys) > MANY and population.settings.engine != "duckdb" and population.place is not None


@dataclass(frozen=True)
class PartWorker:
    """A function of one row of `TASKS` that an engine sends to its workers."""

    population: Population
    question: Callable[[Population], Any]

    def __call__(self, tasks: pa.Table) -> pa.Table:
        ((number, start, stop),) = (row.values() for row in tasks.to_pylist())
        answer, refusal = None, None
        try:
            with AT_ONCE, threads.one_each():
                answer = _packed(self.question(parts.part(self.population, slice(start, stop))))
        except BadInput as error:
            refusal = str(error)
        return pa.table([[number], [answer], [refusal]], schema=REPORT)


def ask(population: Population, question: Callable[[Population], Any]) -> list[Any]:
    """The answer of each part, in their order: an array, or several. Raises BadInput as the question does, JobFailed where the
    engine cannot answer."""
    bounds = list(parts.bounds(population, parts.WHOLE))  # a task costs an engine something, however little is asked
    tasks = pa.table([list(range(len(bounds))), *map(list, zip(*bounds, strict=True))], schema=TASKS)
    worker = PartWorker(population, question)
    try:
        reports = _reports(_kept_open(population.settings), tasks, worker)
    except JobFailed:  # an engine ends a session that nobody used for long: in another one it is asked again
        _kept_open.cache_clear()
        reports = _reports(_kept_open(population.settings), tasks, worker)
    if refusals := reports["refusal"].drop_null().to_pylist():
        raise BadInput(refusals[0])
    return [_unpacked(answer.as_py()) for answer in reports["answer"]]


@single_flight(1)
def _kept_open(settings: Settings) -> "Engine":
    """A session for all that is asked: Spark starts new workers for each, and loading libraries takes them seconds."""
    from found_platform import engine  # it brings Ibis, which a look-up in one process does without

    opened = engine.of(settings)
    atexit.register(opened.close)
    return opened


def _reports(opened: "Engine", tasks: pa.Table, worker: PartWorker) -> pa.Table:
    name = f"answers_{threading.get_ident()}"  # several threads may ask in one session
    opened.each(name, tasks, worker, REPORT)
    reports = opened.read(f"SELECT task, answer, refusal FROM {name}").read_all().sort_by("task")
    if reports["task"].to_pylist() != tasks["task"].to_pylist():
        raise JobFailed(f"The engine {opened.name} has not answered of every part: ask again.")
    return reports


def _packed(answer: np.ndarray | tuple[np.ndarray, ...]) -> bytes:
    file = io.BytesIO()
    if isinstance(answer, tuple):
        np.savez(file, *answer)
    else:
        np.save(file, answer, allow_pickle=False)
    return file.getvalue()


def _unpacked(content: bytes) -> Any:
    arrays = np.load(io.BytesIO(content), allow_pickle=False)
    return arrays if isinstance(arrays, np.ndarray) else tuple(arrays.values())
