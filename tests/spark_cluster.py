"""Apache Spark as a cluster of processes on loopback: a master, workers, executors, a Spark Connect server."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
ITS_OWN = ROOT / ".venv/spark"
"""Where CONTRIBUTING says to install it: beside its client it cannot be."""

DEPLOY, SERVER = "org.apache.spark.deploy", "org.apache.spark.sql.connect.service.SparkConnectServer"
SECONDS = 180
"""Until a process of the cluster answers, on a machine that does other things."""

CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.executor.cores": "1",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def home() -> Path:
    """The folder of a Spark 4 with its jars; skips where none is, or no Java."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Apache Spark needs Java 17: apt install openjdk-17-jre-headless")
    places = [Path(os.environ["SPARK_HOME"])] if "SPARK_HOME" in os.environ else ITS_OWN.glob("lib/python*/site-packages/pyspark")
    for place in places:
        if list(place.glob("jars/spark-connect_*.jar")):
            return place
    pytest.skip("no Apache Spark with its jars, which a client does not bring: CONTRIBUTING.md, `make spark`")


@dataclass
class Cluster:
    """A running one; `log` has what its processes say."""

    folder: Path
    workers: int = 2
    conf: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.master, self.port = free_port(), free_port()
        self.address, self.log = f"sc://127.0.0.1:{self.port}", self.folder / "spark.log"

    def start(self) -> None:
        self._process(
            "spark-class", f"{DEPLOY}.master.Master", "--host", "127.0.0.1", "--port", str(self.master), "--webui-port", "0"
        )
        self._answers(self.master)
        own = (
            "--host",
            "127.0.0.1",
            "--cores",
            "1",
            "--memory",
            "2g",
            "--webui-port",
            "0",
            "--work-dir",
            str(self.folder / "work"),
        )
        for _ in range(self.workers):
            self._process("spark-class", f"{DEPLOY}.worker.Worker", *own, f"spark://127.0.0.1:{self.master}")
        self.serve()

    def serve(self) -> None:
        """Starts the server; its process is the last one."""
        own = {"spark.connect.grpc.binding.port": str(self.port)}
        options = [part for name, value in {**CONF, **own, **self.conf}.items() for part in ("--conf", f"{name}={value}")]
        self._process("spark-submit", "--master", f"spark://127.0.0.1:{self.master}", *options, "--class", SERVER, "spark-internal")
        self._answers(self.port)

    def kill_server(self) -> None:
        end(self.processes.pop(), signal.SIGKILL)

    def executors(self) -> list[psutil.Process]:
        """The processes that do the work, children of the workers."""
        processes = []
        for process in self.processes:
            for below in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it has just ended
                    processes += [below] if "CoarseGrainedExecutorBackend" in " ".join(below.cmdline()) else []
        return processes

    def _process(self, command: str, *arguments: str) -> None:
        spark = home()
        env = {
            **{k: v for k, v in os.environ.items() if k not in ("SPARK_REMOTE", "PYTHONPATH")},
            "SPARK_HOME": str(spark),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_CONF_DIR": str(self.folder),  # what is set on this machine is not for these
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
        }
        with self.log.open("ab") as out:
            self.processes.append(
                subprocess.Popen(
                    [str(spark / "bin" / command), *arguments],
                    env=env,
                    cwd=self.folder,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # its group ends with it: executors, and their Pythons
                )
            )

    def _answers(self, port: int) -> None:
        for _ in range(SECONDS * 5):
            with socket.socket() as ready:
                if ready.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self.processes[-1].poll() is not None:
                break
            time.sleep(0.2)
        raise AssertionError(f"Spark did not start: {self.log.read_text()[-2000:]}")


@contextlib.contextmanager
def running(folder: Path, workers: int = 2, **conf: str) -> Iterator[Cluster]:
    """A cluster whose workers have one core each."""
    home()
    cluster = Cluster(folder, workers, conf)
    try:
        cluster.start()
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            end(process)


def end(process: subprocess.Popen, how: int = signal.SIGTERM) -> None:
    """Ends a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Waiting(threading.Thread):
    """Work of a cluster whose Pythons touch a file of their process's number in `signs` and wait there for the file `go`."""

    def __init__(self, signs: Path):
        super().__init__(daemon=True)
        self.signs = signs
        self.failure: Exception | None = None
        signs.mkdir()

    def begun(self) -> psutil.Process:
        """A Python that has begun."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.is_alive():
            if signs := list(self.signs.iterdir()):
                return psutil.Process(int(signs[0].name))
            time.sleep(0.1)
        raise AssertionError(f"no worker has begun: {self.failure}")


def free_port() -> int:
    """Below those that the system gives away: a server needs half a minute until it takes its own."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as free:
            port = random.randrange(20_000, 30_000)
            free.bind(("127.0.0.1", port))
            return port
