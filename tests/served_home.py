"""A server over a copy of the demo's home, with a token of each role; once a session."""

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from api_document import Document
from starlette.testclient import TestClient

from found_platform.app import access
from found_platform.app.context import Actor, Context
from found_platform.serving.application import create_app
from found_platform.serving.limits import RateLimit
from found_platform.serving.options import Options
from found_platform.settings import Settings

ADDRESS = "http://127.0.0.1:8321"


@dataclass
class Api:
    """A client of a server, which holds every answer against the document. `tokens` are by role."""

    client: TestClient
    tokens: dict[str, str]
    home: Path
    document: Document

    def __call__(self, method: str, path: str, role: str | None = "viewer", **options: Any) -> Any:
        """The answer to a request, which a token of this role sends; a job is waited for, and its result is the answer."""
        headers = {"authorization": f"Bearer {self.tokens[role]}"} if role else {}
        headers |= options.pop("headers", {})
        answer = self.client.request(method, f"/api/v1{path}", headers=headers, **options)
        content_type = answer.headers["content-type"]
        body = answer.json() if content_type.endswith("json") else None
        fault = self.document.fault(method, f"/api/v1{path}", answer.status_code, content_type, body)
        assert fault is None, fault
        if answer.status_code == 202 and "location" in answer.headers:
            self.client.get(f"{answer.headers['location']}/events", headers=headers)
            answer = self.client.get(answer.headers["location"], headers=headers)
            job = answer.json()
            body = job["result"] if job["state"] == "done" else job["problem"]
            fault = self.document.result_fault(method, f"/api/v1{path}", body) if job["state"] == "done" else None
            assert fault is None, fault
            answer._content = json.dumps(body).encode()
            answer.status_code = 200 if job["state"] == "done" else job["problem"]["status"]
        return answer


@pytest.fixture(scope="session")
def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home to be served, and a token of each role."""
    home = Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("served") / "found"))
    context = Context(home, Actor("ann", "test"))
    return home, {role: access.create_token(context, access.NewToken(role.value, role)).secret for role in access.Role}


@pytest.fixture(scope="session")
def api(served: tuple[Path, dict[str, str]]) -> Iterator[Api]:
    home, tokens = served
    app = create_app(Options(home, rate=100_000), warm=False)
    app.state.server.sign_ins = RateLimit(100_000)  # each test of a page signs in, from one address
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield Api(client, tokens, home, Document(client.get("/api/v1/openapi.json").json()))


@pytest.fixture
def opened(served: tuple[Path, dict[str, str]]) -> Iterator[Callable[..., TestClient]]:
    """Opens servers over the same home with other limits."""
    clients: list[TestClient] = []

    def open_server(**limits: Any) -> TestClient:
        client = TestClient(create_app(Options(served[0], **limits), warm=False), base_url=ADDRESS, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield open_server
    for client in clients:
        client.__exit__(None, None, None)


@contextlib.contextmanager
def listening(home: Path, **limits: Any) -> Iterator[str]:
    """A server of a home that listens on loopback as `found serve` does, in a thread; yields its address."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(Options(home, port=port, **limits), warm=False), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
