"""Apache Spark as a cluster of processes on loopback: a master, workers, their executors, and the server that speaks Spark Connect."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
ITS_OWN = ROOT / ".venv/spark"
"""Where CONTRIBUTING says to install it: beside its client it cannot be."""

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
    "spark.ui.showConsoleProgress": "false",
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

    address: str
    ui: str
    log: Path
    server: subprocess.Popen
    processes: list[subprocess.Popen] = field(default_factory=list)

    def executors(self) -> list[psutil.Process]:
        """The processes that do the work, children of the workers."""
        below = [p for worker in self.processes for p in psutil.Process(worker.pid).children(recursive=True)]
        return [p for p in below if "CoarseGrainedExecutorBackend" in " ".join(p.cmdline())]


@contextlib.contextmanager
def running(folder: Path, workers: int = 2, **conf: str) -> Iterator[Cluster]:
    """A cluster whose workers have one core each."""
    spark = home()
    env = {
        **{k: v for k, v in os.environ.items() if k not in ("SPARK_REMOTE", "PYTHONPATH")},
        "SPARK_HOME": str(spark),
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_CONF_DIR": str(folder),  # whatever is set for the machine is not for these
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
        "FOUND_TEST_CLUSTER": str(folder),
    }
    log = folder / "spark.log"
    master, ui, worker_uis, connect = (free_port() for _ in range(4))
    url = f"spark://127.0.0.1:{master}"
    started: list[subprocess.Popen] = []

    def start(*command: str) -> subprocess.Popen:
        with log.open("ab") as out:
            process = subprocess.Popen(
                [str(spark / "bin" / command[0]), *command[1:]],
                env=env,
                cwd=folder,
                stdout=out,
                stderr=out,
                start_new_session=True,  # its group ends with it, executors and their Pythons too
            )
        started.append(process)
        return process

    deploy = "org.apache.spark.deploy"
    try:
        start("spark-class", f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(master), "--webui-port", str(ui))
        answers(master, started[-1], log)
        own = ("--host", "127.0.0.1", "--cores", "1", "--memory", "2g", "--webui-port", "0", "--work-dir", str(folder / "work"))
        slaves = [start("spark-class", f"{deploy}.worker.Worker", *own, url) for _ in range(workers)]
        given = {**CONF, "spark.ui.port": str(worker_uis), "spark.connect.grpc.binding.port": str(connect), **conf}
        options = [part for name, value in given.items() for part in ("--conf", f"{name}={value}")]
        server = start(
            "spark-submit", "--master", url, *options, "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"
        )
        answers(connect, server, log)
        yield Cluster(f"sc://127.0.0.1:{connect}", f"http://127.0.0.1:{worker_uis}", log, server, slaves)
    finally:
        for process in reversed(started):
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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(SECONDS * 5):
        with socket.socket() as ready:
            if ready.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(f"Spark did not start: {log.read_text()[-2000:]}")
