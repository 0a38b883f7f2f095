"""Locks between machines: two homes with one number stand for one home that two machines see, whose files lock nothing there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from filelock import Timeout

from found_platform import database, home, lake, shared_locks
from found_platform.errors import JobFailed

HOLDER = """
import sys
from pathlib import Path
from found_platform import home
with home.hold(Path(sys.argv[1]), ["run-training"], "found demo", seconds=0):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def machines(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The home as two machines see it."""
    monkeypatch.setenv(database.SETTING, database_url)
    here, other_machine = tmp_path / "here", tmp_path / "there"
    database.of_home(here, database_url)
    other_machine.mkdir()
    (other_machine / database.MARKER).write_text((here / database.MARKER).read_text())
    return here, other_machine


@contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, at work on a machine."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_free(folder: Path) -> None:
    end = time.monotonic() + 30
    while not home.is_free(folder, "run-training"):
        assert time.monotonic() < end
        time.sleep(0.05)


def cut(url: str) -> None:
    """What a network does to the connections that hold locks."""
    with database._opened(url) as con:
        con.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND granted"
        )


@pytest.mark.slow
def test_processes_of_two_machines_take_turns_and_a_killed_one_frees_its_lock(machines: tuple[Path, Path]) -> None:
    here, other_machine = machines
    with holder(other_machine) as other:
        assert not home.is_free(here, "run-training")
        assert home.is_free(here, "run-benchmark"), "another lock is nobody's"
        (here / "locks" / "run-training.holder").write_text(
            (other_machine / "locks" / "run-training.holder").read_text()
        )  # one folder for both
        with pytest.raises(JobFailed, match=rf"run-training in .* is still held by pid {other.pid} on \S+ \(found demo\): wait"):
            home.hold(here, ["run-training"], "found demo", seconds=0.1).__enter__()
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        with home.lock(here, "run-training", timeout=60) as held:
            assert held.lock_file.startswith(str(here))
    with holder(other_machine) as other:
        os.kill(other.pid, signal.SIGKILL)
        wait_until_free(here)


def test_homes_of_other_numbers_and_homes_without_a_database_do_not_meet(
    machines: tuple[Path, Path], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other_machine = machines
    database.of_home(tmp_path / "other", database_url)
    with home.lock(here, "vault") as held:
        assert held.is_shared
        assert not home.is_free(other_machine, "vault")
        assert home.is_free(tmp_path / "other", "vault")
        assert not home.lock(tmp_path / "files", "vault").is_shared
        with pytest.raises(Timeout):
            home.lock(other_machine, "vault", timeout=0).acquire()
    assert home.is_free(other_machine, "vault")
    monkeypatch.delenv(database.SETTING)
    with home.lock(here, "vault") as held:
        assert not held.is_shared


def test_a_writer_whose_connection_is_cut_stops_before_it_commits(machines: tuple[Path, Path], database_url: str) -> None:
    """A table, a file of the home, and another lock; afterwards it can begin anew."""
    here, other_machine = machines
    table = pa.table({"n": pa.array([1, 2, 3], pa.int64())})
    lake.append(here / "lake", "numbers", table, schema=table.schema)

    def rows() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches()
        cut(database_url)  # while they are written

    with pytest.raises(JobFailed, match="has lost its locks, and another may write by now"):
        lake.append(here / "lake", "numbers", pa.RecordBatchReader.from_batches(table.schema, rows()), schema=table.schema)
    assert lake.version(here / "lake", "numbers") == 1
    assert home.is_free(other_machine, "numbers")

    with home.lock(here, "run-training"):
        home.write_whole(here / "verdict.json", "before")
        cut(database_url)
        with home.lock(other_machine / "elsewhere", "a home of its own"):
            pass
        with pytest.raises(JobFailed, match=r"has lost its locks.* is not written: run this again\."):
            home.write_whole(here / "verdict.json", "after")
        with pytest.raises(JobFailed, match="has lost its locks"):
            lake.append(here / "lake", "numbers", table, schema=table.schema)
    assert (here / "verdict.json").read_text() == "before"
    assert [path.name for path in here.glob(".verdict*")] == []
    lake.append(here / "lake", "numbers", table, schema=table.schema)
    assert shared_locks.check() is None


def test_a_server_that_does_not_answer_is_a_sentence_and_no_lock_is_taken(
    machines: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = machines
    monkeypatch.setenv(database.SETTING, "postgresql://shop:hunter2@127.0.0.1:1/postgres")
    with pytest.raises(JobFailed, match=r"postgres at 127\.0\.0\.1 does not answer .*the locks of the home lie there") as refused:
        home.lock(here, "vault").acquire()
    assert "hunter2" not in str(refused.value)
    monkeypatch.delenv(database.SETTING)
    assert home.is_free(here, "vault")
