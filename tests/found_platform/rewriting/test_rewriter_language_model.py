"""A language model as rewriter: the words between it and us, when it is believed, which address may be asked; the command."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from small_shop import CUTOFF

from found_platform import rewriting
from found_platform.errors import BadInput
from found_platform.rewriting import Rewriting, instructions, language_model, retrieval
from found_platform.settings import Settings

# the words between a language model and us


def test_an_answer_is_read_as_it_was_written() -> None:
    items = {"purchase": ["gold ring", "Choc. bar 2.5 oz"], "search": ["cheap gold ring"]}
    told = retrieval.sentences(items, 28)
    assert instructions.items_of("Sure, here you are:\n" + " ".join(told)) == items
    assert instructions.items_of("\n".join(told).upper()) == {k: [i.upper() for i in v] for k, v in items.items()}
    assert instructions.items_of("In the next 28 days nobody pays for gold.") == {}
    assert instructions.items_of("") == {}


def test_a_model_is_shown_the_demand_and_the_items() -> None:
    messages = instructions.rewriting("people who like gold", [f"item {i}" for i in range(50)], 14)
    assert [m["role"] for m in messages] == ["system", "user"]
    assert "In the next 14 days this person pays for ITEM, ITEM." in messages[0]["content"]
    assert "people who like gold" in messages[1]["content"]
    assert messages[1]["content"].count("- item") == instructions.EXAMPLES


# a model behind an address


class Service:
    """A chat completions server on loopback: says what `reply` gives, remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict, Any]] = []
        self.reply: Callable[[], tuple[int, bytes, dict]] = lambda: (200, b"", {})
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append((self.path, dict(self.headers), body))
                status, content, headers = service.reply()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                service.asked.append((self.path, dict(self.headers), None))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, content: object) -> None:
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        self.reply = lambda: (200, body, {"Content-Type": "application/json"})


@pytest.fixture
def service() -> Iterator[Service]:
    endpoint = Service()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


@pytest.fixture
def ask(shop: Settings, service: Service) -> Callable[[str], Rewriting]:
    return rewriting.llm(shop, CUTOFF, "some-model", service.url).rewrite


@pytest.mark.slow
def test_an_endpoint_is_asked_and_believed_where_it_speaks_of_the_lake(service: Service, ask: Callable[[str], Rewriting]) -> None:
    service.says("In the next 14 days this person pays for newborn diapers, baby formula, warp drive, silver bar.")
    answer = ask("people whose nights are about to become short but not silver, in the next two weeks")
    assert answer.by == "llm:some-model"
    assert answer.phrases == ("newborn diapers", "baby formula")  # nothing that is not there, nothing that is unwanted
    assert answer.sentences == ("In the next 14 days this person pays for newborn diapers, baby formula.",)
    assert {m.text for m in answer.matches if not m.negated} >= set(answer.phrases)
    path, headers, body = service.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "some-model"
    assert body["temperature"] == 0
    assert "nights" in body["messages"][-1]["content"]
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("I cannot help with that.", "no sentence of the templates"),
        ("In the next 7 days this person pays for warp drive, neutron star.", "resembles the data"),
        (None, "no answer in words"),
    ],
)
def test_an_answer_that_cannot_be_used_gives_the_grounded_one(
    content: object, why: str, service: Service, ask: Callable[[str], Rewriting], rewrite: Callable[[str], Rewriting]
) -> None:
    service.says(content)
    answer, plain = ask("people who will buy gold"), rewrite("people who will buy gold")
    assert why in answer.note
    assert answer.by == "grounded"
    assert (answer.sentences, answer.matches) == (plain.sentences, plain.matches)


@pytest.mark.slow
def test_errors_redirects_and_silence_give_the_grounded_one(
    service: Service, ask: Callable[[str], Rewriting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "TIMEOUT", 3.0)
    monkeypatch.setenv(language_model.KEY, "sesame-key")

    def late() -> tuple[int, bytes, dict]:
        time.sleep(5)
        return 200, b"", {}

    for reply, why in (
        (lambda: (500, b"sesame-key", {}), "status 500"),
        (lambda: (302, b"", {"Location": f"{service.url}/elsewhere"}), "status 302"),
        (lambda: (200, b"<html>", {}), "what it sent is no chat completion"),
        (lambda: (200, b"[]", {}), "what it sent is no chat completion"),
        (late, "gave no answer within 3 seconds"),
    ):
        service.reply = reply
        answer = ask("people who will buy gold")
        assert why in answer.note
        assert answer.phrases
        assert "sesame" not in str(answer)
    assert {path for path, _, _ in service.asked} == {"/v1/chat/completions"}  # redirects are not followed
    assert service.asked[0][1]["Authorization"] == "Bearer sesame-key"
    service.server.server_close()
    assert "gave no answer: Connection re" in ask("people who will buy gold").note


def test_other_machines_must_be_named() -> None:
    for url in ("http://example.org/v1", "https://example.org/v1", "https://127.0.0.1.example.org/v1", "http://10.0.0.1/v1"):
        with pytest.raises(BadInput, match="not on this machine"):
            language_model.endpoint(url, "m")
    with pytest.raises(BadInput, match="use https"):
        language_model.endpoint("http://example.org/v1", "m", "example.org")
    with pytest.raises(BadInput, match=r"--allow-host example\.org"):
        language_model.endpoint("https://example.org/v1", "m", "example.com")
    language_model.endpoint("https://Example.org/v1", "m", "example.org")
    for url in ("http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://localhost/v1", "http://127.9.9.9/v1"):
        language_model.endpoint(url, "m")
    for url in (
        "ftp://127.0.0.1/v1",
        "127.0.0.1:80",
        "",
        "http://me:secret@127.0.0.1/v1",
        "http://127.0.0.1:99999/v1",
        "file:///etc/x",
    ):
        with pytest.raises(BadInput, match="must be an address") as told:
            language_model.endpoint(url, "m")
        assert "secret" not in str(told.value)


def test_a_model_that_is_not_there(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give a directory"):
        rewriting.llm(shop, CUTOFF, "no-such-model")
    with pytest.raises(BadInput, match="cannot be loaded"):
        rewriting.llm(shop, CUTOFF, str(tmp_path))
    with pytest.raises(BadInput, match="Say which model"):
        rewriting.llm(shop, CUTOFF, None, "http://127.0.0.1/v1")


# the commands


def test_the_command_shows_what_matched(shop: Settings, found: Callable[..., Outcome], service: Service) -> None:
    arguments = ("rewrite", "people who will buy gold but not silver next month", "--home", shop.home, "--cutoff", CUTOFF)
    shown = found(*arguments)
    assert shown.status == 0, shown.err
    assert "In the next 30 days this person pays for gold" in shown.out
    assert "left out" in shown.out
    assert "horizon 30 days" in shown.out
    told = json.loads(found(*arguments, "--format", "json").out)
    assert told["horizon_days"] == 30
    assert told["cutoff"] == "2024-02-01"
    assert {"text", "kind", "similarity", "events", "negated"} == set(told["matches"][0])
    service.says("In the next 30 days this person pays for gold necklace.")
    by = json.loads(found(*arguments, "--endpoint", service.url, "--model", "m", "--format", "json").out)
    assert (by["by"], by["phrases"]) == ("llm:m", ["gold necklace"])


def test_the_command_refuses_what_it_cannot_do(shop: Settings, found: Callable[..., Outcome]) -> None:
    for extra, why in (
        (("--endpoint", "http://127.0.0.1/v1"), "--model"),
        (("--llm", "a", "--endpoint", "http://127.0.0.1/v1", "--model", "m"), "--llm"),
        (("--endpoint", "https://example.org/v1", "--model", "m"), "--allow-host"),
        (("--cutoff", "soon"), "--cutoff"),
    ):
        outcome = found("rewrite", "people who will buy gold", "--home", shop.home, "--cutoff", CUTOFF, *extra)
        assert outcome.status == 2
        assert why in outcome.err
    assert found("rewrite", " ", "--home", shop.home).status == 2
