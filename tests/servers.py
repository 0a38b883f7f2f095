"""Servers of other makes, on this machine: what a platform is connected to."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest


@pytest.fixture(scope="session")
def bucket() -> Iterator[tuple[object, str]]:
    """A bucket of a local S3 server, its client, and its address."""
    reason = "moto and boto3, which stand in for S3, are not installed: pip install 'found-platform[dev]'"
    pytest.importorskip("moto", reason=reason)
    boto3 = pytest.importorskip("boto3", reason=reason)
    os.environ["FOUND_TEST_SECRET"] = "hunter2-hunter2"
    with served(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p") as address:
        client = boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="someone", aws_secret_access_key="x", region_name="us-east-1"
        )
        client.create_bucket(Bucket="events")
        yield client, address
    del os.environ["FOUND_TEST_SECRET"]


@contextlib.contextmanager
def served(*command: str) -> Iterator[str]:
    """The address of a server that a command starts on the port that comes after it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with socket.socket() as ready:
                if ready.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


REDIS_PASSWORD = "p/w@hunter2"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address, password included, of a Redis server of these tests."""
    pytest.importorskip("redis", reason="Redis' client is not installed: pip install 'found-platform[redis]'")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no Redis server is installed: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="found-redis-"))
    options = {"bind": "127.0.0.1", "port": port, "dir": folder, "requirepass": f'"{REDIS_PASSWORD}"', "save": '""'}
    (folder / "redis.conf").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    server = subprocess.Popen([program, folder / "redis.conf"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as ready:
                if ready.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"redis://:{quote(REDIS_PASSWORD, safe='')}@127.0.0.1:{port}/3"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def postgres_programs() -> Path | None:
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.environ.get("PATH", "").split(":"))]
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of this test, with the password as a variable."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed: pip install 'found-platform[postgres]'")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="found-pg-"))
    if user:
        shutil.chown(folder, user)
    (folder / "password").write_text("hunter2")
    os.chmod(folder / "password", 0o644)

    def run(*args: str) -> None:
        subprocess.run(args, user=user, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    data = str(folder / "data")
    run(str(programs / "initdb"), "-D", data, "-U", "shop", "--auth=scram-sha-256", "--pwfile", str(folder / "password"), "-N")
    run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses=''", "start")
    os.environ["FOUND_TEST_PASSWORD"] = "hunter2"
    try:
        yield f"postgresql+psycopg://shop:${{FOUND_TEST_PASSWORD}}@/postgres?host={folder}"
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
        del os.environ["FOUND_TEST_PASSWORD"]


@pytest.fixture(scope="module")
def lakes(bucket: tuple[object, str]) -> Iterator[tuple[Any, str]]:
    """The client of a bucket for lakes in the same server, and the address for `FOUND_LAKE_URI`; credentials are set."""
    client, address = bucket
    client.create_bucket(Bucket="lakes")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "someone")
        environment.setenv("AWS_SECRET_ACCESS_KEY", LAKE_PASSWORD)
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_ENDPOINT_URL", address)
        yield client, "s3://lakes/of-tests"


LAKE_PASSWORD = "hunter3-hunter3"


DEAF = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
application = DomainDispatcherApplication(create_backend_app)
def deaf(environ, start):
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return application(environ, start)
run_simple("127.0.0.1", int(sys.argv[1]), deaf, threaded=True)
"""


@pytest.fixture
def losing(lakes: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server of S3 in the environment that takes every PUT, whatever `If-None-Match` says, with a bucket `lakes`."""
    with served(sys.executable, "-c", DEAF) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        urllib.request.urlopen(urllib.request.Request(f"{address}/lakes", method="PUT"))
        yield
