"""The servers that `make ui` opens side by side."""

import os
import socket
import time
from pathlib import Path

import pytest

from found_platform.errors import BadInput
from found_platform.serving import together
from found_platform.serving.together import Neighbour


def test_a_taken_port_is_said_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"Port {port}, for Dagster, is taken by process {os.getpid()} \\("):
            together.check_free("Dagster", port)
    together.check_free("Dagster", port)


def test_the_others_are_of_the_home_and_on_loopback_alone(tmp_path: Path) -> None:
    ports = together.Ports(3000, 5000, 8000)
    dagster, mlflow, evidently = together.neighbours(tmp_path, "s3://bucket/found_1/_artifacts", tmp_path / "reports", ports)
    assert dagster.command[-6:-2] == ("-h", "127.0.0.1", "-p", "3000")
    assert mlflow.command[mlflow.command.index("--artifacts-destination") + 1] == "s3://bucket/found_1/_artifacts"
    assert mlflow.command[mlflow.command.index("--host") + 1] == "127.0.0.1"
    assert evidently.command[1:] == ("ui", "--workspace", str(tmp_path / "reports"), "--host", "127.0.0.1", "--port", "8000")
    assert together.WORKSPACE.split(": ", 1)[1].split("\n")[1] in Path(__file__).parents[3].joinpath("workspace.yaml").read_text()


def test_who_is_started_is_ended_also_where_it_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "STOP_SECONDS", 0.5)
    (tmp_path / "tmp").mkdir()
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    (tmp_path / "stubborn.py").write_text(stubborn)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    processes = [together._start(Neighbour(name, 1, ("stubborn",)), tmp_path, "sqlite://", {}) for name in ("One", "Two")]
    while (tmp_path / "tmp" / "two.log").stat().st_size == 0:
        time.sleep(0.05)
    together._stop(processes)
    assert all(process.returncode is not None for process in processes)
