"""Forks of a process that has its libraries: they print to their file, end with their parent, and say how they ended."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from found_platform import workers
from found_platform.errors import BadInput


@pytest.fixture
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
    assert not workers.forks()


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


def _pid_and(value: object) -> tuple[int, object]:
    if isinstance(value, Exception):
        raise value
    return os.getpid(), value


def _only_here(pid: int) -> int:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return pid


def test_a_program_that_would_run_again_in_a_fork_has_none(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import os\nfrom found_platform import workers\n"
        "with workers.beside():\n    assert workers.ahead(os.getpid)() == os.getpid()\n    print(workers.forks())\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")


def test_what_is_begun_ahead_is_done_in_a_fork_and_its_error_is_raised(server: None) -> None:
    answers = [workers.ahead(_pid_and, value) for value in ("first", b"x" * 1_000_000)]
    pids, values = zip(*(answer() for answer in answers), strict=True)
    assert values == ("first", b"x" * 1_000_000)
    assert os.getpid() not in pids
    with pytest.raises(BadInput, match="too small"):
        workers.ahead(_pid_and, BadInput("too small"))()


def test_what_no_fork_can_do_is_done_here(server: None) -> None:
    assert workers.ahead(_only_here, os.getpid())() == os.getpid(), "the fork was killed"
    assert workers.ahead(lambda: os.getpid())() == os.getpid(), "it cannot be sent to a fork"


def test_without_a_process_that_forks_what_is_begun_ahead_is_done_when_it_is_asked_for() -> None:
    calls: list[str] = []
    answer = workers.ahead(calls.append, "here")
    assert not calls
    answer()
    assert calls == ["here"]


def test_one_thing_at_a_time_is_done_by_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("needed_soon", "needed_later"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, "_later", deque())
    workers.load_later("needed_soon", "that_is_not_installed", "needed_later")
    loaded = []
    for _ in range(4):
        workers.use_the_wait()
        loaded.append([name for name in ("needed_soon", "needed_later") if name in sys.modules])
    assert loaded == [["needed_soon"], ["needed_soon"], ["needed_soon", "needed_later"], ["needed_soon", "needed_later"]]
