"""What every request passes before anything reads it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from found_platform.app import audit
from found_platform.app.context import Actor, Context
from found_platform.errors import BadInput
from found_platform.serving.doors import COOKIE
from found_platform.serving.options import Options

FIND = {"question": {"sentence": "people who will soon buy gold", "mode": "aligned"}, "size": {"top": 3}}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8321", "", "169.254.1.1", "[::1", "[", "a]b"])
def test_a_name_that_leads_here_from_elsewhere_is_refused(api, host: str) -> None:
    answer = api("GET", "/me", headers={"host": host})
    assert answer.status_code == 421
    assert "--name" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:8321", "[::1]:8321"])
def test_the_names_of_loopback_are_served(api, host: str) -> None:
    assert api("GET", "/me", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(api, headers: dict[str, str]) -> None:
    answer = api("POST", "/look-ups", json=FIND, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:found:origin")


def test_a_form_with_a_cookie_has_to_say_where_it_comes_from(api) -> None:
    headers = {"cookie": f"{COOKIE}=x"}
    assert api.client.post("/sign-in", data={"token": "x"}, headers=headers).status_code == 403
    same = {**headers, "origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}
    assert api.client.post("/sign-in", data={"token": "x"}, headers=same).status_code == 401


@pytest.mark.parametrize("path", ["/sign-in", "/healthz", "/nothing", "/api/v1/nothing", "/api/v1/me", "/static/console.css"])
def test_every_answer_has_a_strict_policy(api, path: str) -> None:
    headers = api.client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_body_that_is_too_long_is_refused_by_what_it_says_and_by_what_comes(opened: Callable[..., TestClient], served) -> None:
    client, headers = opened(most_bytes=1000), {"authorization": f"Bearer {served[1]['viewer']}"}
    declared = client.post("/api/v1/look-ups", content=b"x" * 2000, headers=headers)

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    came = client.post("/api/v1/look-ups", content=pieces(), headers={**headers, "content-type": "application/json"})
    assert (declared.status_code, came.status_code) == (413, 413)
    assert "at most 1,000 bytes" in came.json()["detail"]


def test_who_asks_too_often_is_told_how_long_to_wait(opened: Callable[..., TestClient], served) -> None:
    client, headers = opened(rate=3), {"authorization": f"Bearer {served[1]['viewer']}"}
    answers = [client.get("/api/v1/me", headers=headers) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "20"
    other = {"authorization": f"Bearer {served[1]['admin']}"}
    assert client.get("/api/v1/me", headers=other).status_code == 200


def test_a_refusal_has_a_reason_and_a_row_in_the_audit(api) -> None:
    context = Context(api.home, Actor("ann", "test"))
    before = audit.entries(context).count
    nobody = api("GET", "/me", role=None)
    unknown = api.client.get("/api/v1/me", headers={"authorization": "Bearer fnd_0000_x"})
    lacking = api("POST", "/rollbacks", "marketer", json={"what": "model"})
    assert [a.status_code for a in (nobody, unknown, lacking)] == [401, 401, 403]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert "takes the scope admin" in lacking.json()["detail"]
    log = audit.entries(context)
    rows = log.entries[: log.count - before]
    assert [(row.who, row.action) for row in rows] == [
        ("api:marketer", "refused"),
        ("api:nobody", "refused"),
        ("api:nobody", "refused"),
    ]


def test_another_address_than_loopback_takes_a_token_and_a_word() -> None:
    home = Path("home")
    Options(home).check(lets_in=False)
    with pytest.raises(BadInput, match="--allow-remote"):
        Options(home, host="192.0.2.7").check(lets_in=True)
    with pytest.raises(BadInput, match="nobody has a token yet"):
        Options(home, host="192.0.2.7", allow_remote=True).check(lets_in=False)
    Options(home, host="192.0.2.7", allow_remote=True).check(lets_in=True)
