"""Forks of a process that has its libraries: they print to their file, end with their parent, and say how they ended."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from found_platform import workers


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with workers.beside():
        yield


def _print_and_leave(status: int) -> None:
    print("金の指輪", flush=True)
    os.write(2, b"last words\n")
    raise SystemExit(status)


def _kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise RuntimeError("the disc is full")


def test_without_a_process_that_forks_there_is_no_fork(tmp_path: Path) -> None:
    assert workers.fork(_fail, output=tmp_path / "output.txt") is None
    assert workers.context() is None


def test_a_fork_prints_to_its_file_and_says_how_it_ended(server: None, tmp_path: Path) -> None:
    for work, arguments, status, last in [
        (_print_and_leave, (0,), 0, "last words"),
        (_print_and_leave, (3,), 3, "last words"),
        (_fail, (), 1, "RuntimeError: the disc is full"),
        (_kill_itself, (), -signal.SIGKILL, None),
    ]:
        output = tmp_path / "output.txt"
        fork = workers.fork(work, *arguments, output=output)
        assert fork is not None
        fork.join(60)
        assert fork.exitcode == status
        lines = output.read_text("utf-8").splitlines()
        assert (lines[-1] if lines else None) == last
        assert work is not _print_and_leave or lines[0] == "金の指輪"


def test_a_fork_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from found_platform import workers

        def wait(file):
            import os
            Path(file).write_text(str(os.getpid()))
            time.sleep(600)

        if __name__ == "__main__":
            with workers.beside():
                workers.fork(wait, sys.argv[1], output=Path(sys.argv[2]))
                time.sleep(600)
        """)
    )
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, str(script), str(pid_file), str(tmp_path / "output.txt")])
    try:
        deadline = time.monotonic() + 120
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        fork = int(pid_file.read_text())
        os.kill(fork, 0)
    finally:
        parent.kill()
        parent.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(fork, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(fork, 0)
    assert "is gone" in (tmp_path / "output.txt").read_text()


def test_modules_are_loaded_one_at_a_time_by_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("needed_soon", "needed_later"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    workers.load_while_waiting("needed_soon", "that_is_not_installed", "needed_later")
    loaded = []
    for _ in range(4):
        workers.use_the_wait()
        loaded.append([name for name in ("needed_soon", "needed_later") if name in sys.modules])
    assert loaded == [["needed_soon"], ["needed_soon"], ["needed_soon", "needed_later"], ["needed_soon", "needed_later"]]
