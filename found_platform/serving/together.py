"""Everything with a page, side by side on loopback: the console, Dagster (webserver and daemon), MLflow and Evidently; one Ctrl-C
ends them.

What belongs here: starting, watching and stopping the others. What does not: the console itself, which is `server`.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from found_platform import command_line
from found_platform.app import database, monitoring
from found_platform.app.context import Actor, Context, account
from found_platform.errors import BadInput, JobFailed
from found_platform.serving import server
from found_platform.serving.options import Options
from found_platform.serving.server import Started

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10

WORKSPACE = "load_from:\n  - python_module: {module_name: dagster_defs.definitions, location_name: found}\n"
"""As `workspace.yaml` of the repository; runs that a command queues name the location."""


@dataclass(frozen=True)
class Neighbour:
    """Another server: its name, its port and its command."""

    name: str
    port: int
    command: tuple[str, ...]

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


@dataclass(frozen=True)
class Ports:
    """Where the others listen."""

    dagster: int
    mlflow: int
    evidently: int


def neighbours(home: Path, files: str, reports: Path, ports: Ports) -> tuple[Neighbour, Neighbour, Neighbour]:
    """Dagster, MLflow and Evidently over a home whose models' files and reports lie in their places."""
    workspace = home / "tmp" / "workspace.yaml"
    dagster = ("dagster", "dev", "-w", str(workspace), "-h", LOOPBACK, "-p", str(ports.dagster), "--log-level", "warning")
    mlflow = ("mlflow", "server", "--artifacts-destination", files)
    mlflow += ("--host", LOOPBACK, "--port", str(ports.mlflow), "--workers", "1")
    evidently = ("evidently.cli", "ui", "--workspace", str(reports), "--host", LOOPBACK, "--port", str(ports.evidently))
    return (
        Neighbour("Dagster", ports.dagster, dagster),
        Neighbour("MLflow", ports.mlflow, mlflow),
        Neighbour("Evidently", ports.evidently, evidently),
    )


def run(options: Options, ports: Ports, started: Callable[[Started, tuple[Neighbour, ...]], None]) -> None:
    """Serves all of them until somebody stops this, or one of them ends by itself.

    Raises BadInput for a taken port, before anything starts, and JobFailed where a server ended.
    """
    home = options.home.resolve()
    context = Context(home, Actor(account(), "cli"))
    others = neighbours(home, database.mlflow_files(context), monitoring.workspace(context), ports)
    for name, port in (("the console", options.port), *((other.name, other.port) for other in others)):
        check_free(name, port)
    options = replace(options, dagster=others[0].address, mlflow=others[1].address, webserver=others[0].address)
    server.check(options)
    store = database.mlflow_store(context)
    links = {
        "FOUND_CONSOLE_URL": options.address,
        "FOUND_MLFLOW_URL": others[1].address,
        "FOUND_EVIDENTLY_URL": others[2].address,
    }
    (home / "tmp").mkdir(exist_ok=True)
    (home / "tmp" / "workspace.yaml").write_text(WORKSPACE)
    processes: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_stop, processes)
        for other in others:
            processes.append(_start(other, home, store, links))
        ended: list[str] = []
        stopping = threading.Event()
        stack.callback(stopping.set)
        threading.Thread(target=_watch, args=(others, processes, ended, stopping), daemon=True).start()
        server.run(options, lambda where: started(where, others))
        if ended:
            name = ended[0]
            log = next(_log(home, other) for other in others if other.name == name)
            raise JobFailed(f"{name} ended by itself, and the others were stopped: {log} says why.")


def check_free(name: str, port: int) -> None:
    """Raises BadInput that says by what a port is taken."""
    import psutil

    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                raise BadInput(
                    f"Port {port}, for {name}, is taken by {_holder(connection.pid)}: stop that, or choose another port."
                )


def _holder(pid: int | None) -> str:
    """A process, as a person knows it."""
    import psutil

    if pid is None:
        return "a process of somebody else"
    with contextlib.suppress(psutil.Error):
        return f"process {pid} ({command_line.line(command_line.words(psutil.Process(pid).cmdline()))})"
    return f"process {pid}"


def _start(other: Neighbour, home: Path, store: str, links: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A server in a group of its own, so that Ctrl-C reaches this process alone. What it says goes into its log.

    Args:
        store: MLflow's database. It may hold a password, which every process could read in a command.
        links: settings that say where pages are, unless the environment does.
    """
    places = {"FOUND_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONWARNINGS": "ignore"}
    places["MLFLOW_BACKEND_STORE_URI"] = store
    places["EVIDENTLY_SECRET"] = secrets.token_hex()  # without one, every page that a browser is on may change the reports
    command = [sys.executable, "-m", *other.command]
    with _log(home, other).open("wb") as log:
        return subprocess.Popen(command, env={**links, **os.environ, **places}, stdout=log, stderr=log, start_new_session=True)


def _stop(processes: list["subprocess.Popen[bytes]"]) -> None:
    """Asks all of them to end, as Ctrl-C does; who has not ended in time is ended, with its children."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    end = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(end - time.monotonic(), 0.1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _log(home: Path, other: Neighbour) -> Path:
    return home / "tmp" / f"{other.name.lower()}.log"


def _watch(
    others: tuple[Neighbour, ...], processes: list["subprocess.Popen[bytes]"], ended: list[str], stopping: threading.Event
) -> None:
    """Stops everything once one of the others ends by itself."""
    while not stopping.wait(1):
        ended += [other.name for other, process in zip(others, processes, strict=True) if process.poll() is not None]
        if ended and not stopping.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            return
