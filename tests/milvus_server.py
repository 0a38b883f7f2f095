"""Milvus behind an address: a real server, the embedded build of Milvus 2.3 that the package `milvus` has, and Milvus Lite."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = "FOUND_MILVUS_SERVER"
ETCD_PEERS = 2380
"""A port that this build always takes."""

Start = Callable[..., contextlib.AbstractContextManager[str]]


@pytest.fixture(scope="session")
def milvus_start() -> Iterator[Start]:
    """Starts a server, empty, with some settings of Milvus such as `common.storageType=minio`; gives its address."""
    program = os.environ.get(PROGRAM) or shutil.which("milvus-server")
    if program is None:
        pytest.skip(f"no Milvus server is installed: python -m venv V, V/bin/pip install milvus, {PROGRAM}=V/bin/milvus-server")
    with socket.socket() as peers:
        if peers.connect_ex(("127.0.0.1", ETCD_PEERS)) == 0:
            pytest.skip(f"port {ETCD_PEERS}, which a Milvus server needs, is taken")
    folder = Path(tempfile.mkdtemp(prefix="found-milvus-"))

    @contextlib.contextmanager
    def start(*settings: str) -> Iterator[str]:
        port = _free_port()
        shutil.rmtree(folder / "data", ignore_errors=True)  # what was unpacked stays
        command = [program, "--data", str(folder), "--proxy-port", str(port)]
        for setting in settings:
            command += ["--extra-config", setting]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait(server, folder)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # it takes half an hour to end when it is asked to
            server.wait()
            while _answers(ETCD_PEERS):
                time.sleep(0.1)

    yield start
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def lite_server(folder: Path) -> Iterator[str]:
    """Milvus Lite as a server of its own: what runs here of Milvus behind an address."""
    port = _free_port()
    code = f"from milvus_lite.adapter.grpc.server import run_server; run_server({str(folder)!r}, '127.0.0.1', {port})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # asked kindly it may wait for ever for calls that it thinks are open
        process.wait()


@pytest.fixture
def milvus_lite_server(tmp_path: Path) -> Iterator[str]:
    """The address of Milvus Lite as a server."""
    with lite_server(tmp_path / "server") as uri:
        yield uri


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the server says that all of it is healthy; it prints where it says so."""
    log = folder / "logs" / "milvus-stdout.log"
    for _ in range(1800):
        if server.poll() is not None:
            break
        for port in range(9091, 9100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as health:
                if health.read() == b"OK":
                    return
        time.sleep(0.1)
    raise RuntimeError(f"the Milvus server did not start: {log.read_text()[-2000:] if log.exists() else 'no log'}")


def _answers(port: int) -> bool:
    with socket.socket() as other:
        return other.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
