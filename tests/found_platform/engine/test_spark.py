"""Apache Spark as a cluster of processes, some of which are killed."""

import contextlib
import datetime as dt
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from spark_cluster import Cluster, Waiting

from found_platform import daily, engine, lake
from found_platform.errors import JobFailed
from found_platform.features import write
from found_platform.settings import Settings

pytestmark = pytest.mark.long

START, END = dt.date(2023, 12, 31), dt.date(2024, 4, 1)
TABLE = "behavior_sequence"
SECONDS = 300


@pytest.fixture
def home(edge_home: Settings, spark: Cluster, tmp_path: Path) -> Settings:
    shutil.copytree(edge_home.home, tmp_path / "home")
    return edge_home.model_copy(update={"home": tmp_path / "home", "engine": spark.address})


def held(signs: Path) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for workers that says in which process it is, and goes on when it may."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            (signs / str(os.getpid())).touch()
            while not (signs / "go").exists():
                time.sleep(0.1)
            yield batch

    return run


class Writing(Waiting):
    """All days of a table, written again by an engine whose workers wait for a sign."""

    def __init__(self, settings: Settings, signs: Path):
        super().__init__(signs)
        self.settings = settings

    def run(self) -> None:
        try:
            with contextlib.closing(engine.of(self.settings)) as opened:
                opened.table(TABLE)
                schema = write.schema(self.settings, TABLE)
                opened.map(f"SELECT * FROM {TABLE}", held(self.signs), schema, "held")
                rows = "SELECT * FROM held"
                daily.replace_days(self.settings.lake, TABLE, rows, START, END, schema=schema, replace=opened.replace)
        except Exception as error:
            self.failure = error


def kept(settings: Settings) -> tuple[int, dict[str, tuple[int, str]]]:
    return lake.version(settings.lake, TABLE), daily.day_hashes(settings.lake, TABLE, START, END)


def test_an_executor_that_is_killed_is_replaced_and_every_row_is_there_once(home: Settings, spark: Cluster, tmp_path: Path) -> None:
    version, before = kept(home)
    writing = Writing(home, tmp_path / "signs")
    writing.start()
    parents = {process.pid for process in writing.begun().parents()}
    (executor,) = (process for process in spark.executors() if process.pid in parents)
    executor.send_signal(signal.SIGKILL)
    executor.wait(SECONDS)
    (writing.signs / "go").touch()
    writing.join(SECONDS)
    assert (writing.is_alive(), writing.failure) == (False, None)
    assert len(list(writing.signs.iterdir())) > 2  # another process has made the rows again
    assert kept(home) == (version + 1, before)


def test_a_server_that_is_killed_in_the_middle_of_a_write_leaves_the_old_days(
    home: Settings, spark: Cluster, tmp_path: Path
) -> None:
    """And what it had written is gone; started again it writes them."""
    before = kept(home)
    writing = Writing(home, tmp_path / "signs")
    writing.start()
    writing.begun()
    spark.kill_server()
    (writing.signs / "go").touch()
    writing.join(SECONDS)
    assert isinstance(writing.failure, JobFailed)
    assert f"The engine {spark.address} could not finish" in str(writing.failure)
    assert kept(home) == before
    spark.serve()
    again = Writing(home, tmp_path / "again")
    (again.signs / "go").touch()
    again.start()
    again.join(SECONDS)
    assert (again.is_alive(), again.failure) == (False, None)
    assert kept(home) == (before[0] + 1, before[1])
