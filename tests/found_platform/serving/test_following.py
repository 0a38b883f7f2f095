"""Dagster's code location is loaded again when the source of a home changes, and only then."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from found_platform.serving import following, together


class Webserver(ThreadingHTTPServer):
    """Answers GraphQL as Dagster's webserver does. `answers` has the types of the next answers, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers = ["WorkspaceLocationEntry"]
        self.asked: list[dict] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Webserver

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        kind = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": {"reloadRepositoryLocation": {"__typename": kind}}}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    server = Webserver()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_changed_source_is_loaded_once_and_tried_again_where_it_could_not_be(
    webserver: Webserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.02)
    webserver.answers = ["PythonError", "WorkspaceLocationEntry"]
    (tmp_path / "source.yaml").write_text("name: before")
    stopping = threading.Event()
    watcher = threading.Thread(target=following.watch, args=(tmp_path, webserver.address, stopping))
    watcher.start()
    time.sleep(0.2)
    assert webserver.asked == []
    (tmp_path / "source.yaml").write_text("name: after")
    time.sleep(0.5)
    stopping.set()
    watcher.join()
    assert len(webserver.asked) == 2
    assert {request["variables"]["location"] for request in webserver.asked} == {following.LOCATION}


def test_a_server_that_is_not_there_is_no_error() -> None:
    assert not following.reload("http://127.0.0.1:9")


def test_the_location_is_that_of_the_workspace_and_dagster_has_the_mutation() -> None:
    from dagster_graphql.schema import create_schema

    assert f"location_name: {following.LOCATION}" in together.WORKSPACE
    assert "reloadRepositoryLocation(repositoryLocationName: String!)" in str(create_schema())
