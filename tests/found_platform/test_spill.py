"""Folders that DuckDB spills into: nothing of anybody else is touched, and what killed processes left is removed."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from found_platform import lake, spill

MADE = "import sys, pathlib, time; from found_platform import spill; print(spill.folder(pathlib.Path(sys.argv[1])), flush=True); "


def started(temp: Path, then: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that made a folder, and that folder."""
    process = subprocess.Popen([sys.executable, "-c", MADE + then, temp], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip()).parent
    assert folder.parent == temp
    return process, folder


@pytest.mark.parametrize("name", ["duckdb-x-y", "duckdb-1-2", "found-spill-x", "found-spill-"])
@pytest.mark.parametrize("kind", ["file", "folder", "folder with an owner", "link"])
def test_what_is_not_ours_stays_and_stops_nobody(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(tmp_path)
    else:
        path.mkdir()
        if kind == "folder with an owner":
            (path / spill.OWNER).write_text("another machine")
    assert lake.connect(temp=tmp_path).execute("SELECT 1").fetchall() == [(1,)]
    assert path.is_symlink() or path.exists()


def test_only_the_folder_of_a_process_that_is_gone_is_removed(tmp_path: Path) -> None:
    """Whatever its number: in a container other processes have the same ones."""
    killed, left = started(tmp_path, "time.sleep(600)")
    alive, kept = started(tmp_path, "time.sleep(600)")
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert left.exists()
        own = spill.folder(tmp_path).parent
        assert not left.exists()
        assert kept.exists()
        assert own.exists()
    finally:
        alive.kill()
        alive.wait()


def test_what_a_process_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = spill.folder(tmp_path).parent
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / spill.OWNER)] == [0o700, 0o600]


def test_a_folder_of_another_machine_on_a_shared_disc_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, left = started(tmp_path, "time.sleep(600)")
    killed.kill()
    killed.wait()
    (left / spill.OWNER).write_text(platform.node() + "-other")
    spill.folder(tmp_path)
    assert left.exists()


def test_a_process_leaves_nothing_behind(tmp_path: Path) -> None:
    process, folder = started(tmp_path, "pass")
    assert process.wait(timeout=60) == 0
    assert not folder.exists()
