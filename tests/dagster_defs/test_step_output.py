"""What a step prints is in its file and comes to whoever watches, to the last character, and no process is started for it."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
import dagster as dg
import psutil
from dagster_defs import step_output

@dg.asset
def a() -> None:
    print("of Python")
    print("an error", file=sys.stderr)
    os.write(1, b"of a library")
    os.write(1, "\\nthe last word \\u00e4".encode())
    assert not psutil.Process().children(recursive=True)

with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
    step_output.install(instance)
    print("before", flush=True)
    for _ in range(2):
        assert dg.materialize([a], instance=instance).success
    print("after")
"""
OUT = "of Python\nof a library\nthe last word ä"


def _run(folder: Path, stdout: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DAGSTER_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)


def _files(folder: Path, suffix: str) -> list[str]:
    return [path.read_text() for path in folder.rglob(f"*.{suffix}") if "compute_logs" in path.parts]


def test_what_a_step_prints_goes_to_its_file_and_on(tmp_path: Path) -> None:
    out, err = _run(tmp_path, subprocess.PIPE).communicate()
    assert out == f"before\n{OUT}{OUT}after\n"
    assert err.count("an error") == 2
    assert _files(tmp_path, "out") == [OUT, OUT]
    assert all("an error" in text for text in _files(tmp_path, "err"))
    assert len(_files(tmp_path, "complete")) == 2


def test_a_step_ends_where_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    """As behind `| head -1`: the files have all of it."""
    process = _run(tmp_path, subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "before\n"
    process.stdout.close()
    process.communicate()
    assert _files(tmp_path, "out") == [OUT, OUT]
