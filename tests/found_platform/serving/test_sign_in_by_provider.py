"""Signing in by an identity provider: the whole way with one that runs, and everything that is no way in."""

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from identity_provider import CLIENT, SECRET, IdentityProvider
from starlette.testclient import TestClient

from found_platform.app import access, audit
from found_platform.app.context import Actor, Context
from found_platform.errors import BadInput
from found_platform.privacy import identity_provider as providers
from found_platform.privacy import oidc
from found_platform.serving import server
from found_platform.serving.console import entry
from found_platform.serving.doors import COOKIE
from found_platform.serving.options import Options
from found_platform.settings import UNSHOWN, Settings

SAME = {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}


@pytest.fixture
def browser(identity_provider: IdentityProvider, opened: Callable[..., TestClient]) -> TestClient:
    """Somebody at a console that the provider is set for, not signed in."""
    oidc._discovered.cache_clear()
    return opened(rate=100_000)


@pytest.fixture
def context(served) -> Context:
    return Context(served[0], Actor("ann", "test"))


def sent_back(browser: TestClient) -> str:
    """Where the provider sends a browser that leaves for it: back to the console, with a code."""
    leaves = browser.get("/sign-in/provider", follow_redirects=False)
    assert leaves.status_code == 303, leaves.text
    return httpx2.get(leaves.headers["location"], trust_env=False).headers["location"]


def signed_in(browser: TestClient) -> Any:
    return browser.get(sent_back(browser), follow_redirects=False)


def newest(context: Context) -> Any:
    return audit.entries(context, audit.Part(limit=1)).entries[0]


def test_a_person_of_the_provider_signs_in_as_what_the_settings_say_and_out_again(
    identity_provider: IdentityProvider, browser: TestClient, context: Context
) -> None:
    page = browser.get("/sign-in").text
    assert 'href="/sign-in/provider"' in page
    assert "Sign in with 127.0.0.1" in page
    answer = signed_in(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    session = next(cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(COOKIE)).lower()
    assert "httponly" in session
    assert "samesite=lax" in session
    assert entry.AWAY not in browser.cookies
    me = browser.get("/api/v1/me").json()
    assert (me["name"], me["role"]) == ("oidc:ann@example.com", "marketer")
    row = newest(context)
    assert (row.who, row.action) == ("console:oidc:ann@example.com", "sign in")
    assert '"subject": "248289761001"' in row.question
    cookie = browser.cookies[COOKIE]
    assert browser.post("/sign-out", headers=SAME, follow_redirects=False).headers["location"] == "/sign-in?left=yes"
    assert access.grant_of_session(context, cookie) is None


def test_the_code_is_asked_for_with_a_challenge_and_a_nonce_that_differ_each_time(
    identity_provider: IdentityProvider, browser: TestClient
) -> None:
    queries = []
    for _ in range(2):
        leaves = browser.get("/sign-in/provider", follow_redirects=False)
        queries.append({k: v[0] for k, v in parse_qs(urlsplit(leaves.headers["location"]).query).items()})
    assert queries[0]["code_challenge_method"] == "S256"
    assert queries[0]["redirect_uri"] == "http://127.0.0.1:8321/sign-in/callback"
    for part in ("state", "nonce", "code_challenge"):
        assert len(queries[0][part]) == 43
        assert queries[0][part] != queries[1][part]


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"]])
def test_the_secret_is_said_as_the_provider_takes_it(
    identity_provider: IdentityProvider, browser: TestClient, methods: list[str]
) -> None:
    identity_provider.methods = methods
    assert signed_in(browser).status_code == 303


def test_a_client_without_a_secret_is_let_in_by_its_verifier_alone(
    identity_provider: IdentityProvider, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOUND_OIDC_CLIENT_SECRET")
    identity_provider.secret = None
    assert signed_in(browser).status_code == 303


def test_without_a_role_in_the_settings_nobody_is_let_in(
    identity_provider: IdentityProvider, browser: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOUND_OIDC_ROLES")
    answer = signed_in(browser)
    assert answer.status_code == 403
    assert "no role of this console goes with that" in answer.text
    assert COOKIE not in browser.cookies
    row = newest(context)
    assert (row.who, row.action) == ("console:oidc:ann@example.com", "sign in")
    assert row.reason == "refused: the identity provider gives no role"


@pytest.mark.parametrize(
    ("roles", "claim", "person", "role"),
    [
        ("a=viewer, shop=exporter", "groups", {"groups": ["shop", "other"]}, "exporter"),
        ("shop=operator,shop=admin", "groups", {"groups": "shop"}, "operator"),
        ("CN=boss,OU=eu=admin, shop=marketer", "groups", {"groups": ["CN=boss,OU=eu"]}, "admin"),
        ("shop=viewer", "realm_access.roles", {"realm_access": {"roles": ["shop"]}}, "viewer"),
        ("shop=viewer", "https://a.b/roles", {"https://a.b/roles": ["shop"]}, "viewer"),
        ("boss=admin, *=viewer", "groups", {"groups": None}, "viewer"),
        ("shop=viewer", "groups", {"groups": {"shop": True}}, None),
        ("shop=viewer", "groups.shop", {"groups": ["shop"]}, None),
        ("shop=viewer", "groups", {"groups": ["Shop", 7]}, None),
    ],
)
def test_the_first_value_that_a_person_has_gives_the_role(
    identity_provider: IdentityProvider,
    browser: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    roles: str,
    claim: str,
    person: dict[str, Any],
    role: str | None,
) -> None:
    monkeypatch.setenv("FOUND_OIDC_ROLES", roles)
    monkeypatch.setenv("FOUND_OIDC_ROLES_CLAIM", claim)
    identity_provider.person = {"sub": "1", "email": "ann@example.com", **person}
    assert signed_in(browser).status_code == (403 if role is None else 303)
    if role is not None:
        assert browser.get("/api/v1/me").json()["role"] == role


def by_another_key(text: bytes) -> tuple[str, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return "RS256", key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def by_the_secret_of_the_client(text: bytes) -> tuple[str, bytes]:
    return "HS256", hmac.digest(SECRET.encode(), text, hashlib.sha256)


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"iss": "https://evil.example"}, None),
        ({"aud": "another-client"}, None),
        ({"aud": [CLIENT, "another-client"]}, None),  # and it does not say which of them it is for
        ({"aud": [CLIENT, "another-client"], "azp": "another-client"}, None),
        ({"exp": int(time.time()) - 600}, None),
        ({"iat": int(time.time()) + 6000}, None),
        ({"nonce": "of another sign-in"}, None),
        ({"at_hash": "of-another-token"}, None),
        ({"sub": None}, None),
        ({}, by_another_key),
        ({}, by_the_secret_of_the_client),
        ({}, lambda text: ("none", b"")),
    ],
)
def test_an_id_token_that_is_not_of_this_provider_for_this_client_now_and_here_lets_nobody_in(
    identity_provider: IdentityProvider, browser: TestClient, context: Context, changes: dict[str, Any], sign: Any
) -> None:
    identity_provider.claims = lambda claims: {**claims, **changes}
    if sign is not None:
        identity_provider.sign = sign
    answer = signed_in(browser)
    assert answer.status_code == 403
    assert "cannot be trusted" in answer.text
    assert COOKIE not in browser.cookies
    row = newest(context)
    assert (row.who, row.action, row.reason[:9]) == ("console:nobody", "sign in", "refused: ")


def test_a_key_that_is_new_is_taken_at_once(identity_provider: IdentityProvider, browser: TestClient) -> None:
    assert signed_in(browser).status_code == 303
    identity_provider.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    browser.cookies.clear()
    assert signed_in(browser).status_code == 303


def test_an_answer_serves_the_browser_that_went_for_it_and_once(
    identity_provider: IdentityProvider, browser: TestClient, opened: Callable[..., TestClient], context: Context
) -> None:
    back = sent_back(browser)
    other = opened(rate=100_000)
    stolen = other.get(back, follow_redirects=False)  # a browser that never left
    assert (stolen.status_code, "belongs to no sign-in" in stolen.text) == (403, True)
    sent_back(other)
    stolen = other.get(back, follow_redirects=False)  # one that left for an answer of its own
    assert (stolen.status_code, "belongs to no sign-in" in stolen.text) == (403, True)
    assert newest(context).reason.startswith("refused: This answer belongs to no sign-in")
    away = browser.cookies[entry.AWAY]
    assert browser.get(back, follow_redirects=False).status_code == 303
    browser.cookies.set(entry.AWAY, away, domain="127.0.0.1", path="/sign-in")
    again = browser.get(back, follow_redirects=False)
    assert (again.status_code, "invalid_grant" in again.text) == (403, True)


@pytest.mark.parametrize("state", ["", "made-up", "%F0%9F%92%A5"])
def test_a_state_that_is_made_up_is_refused(browser: TestClient, state: str) -> None:
    sent_back(browser)
    answer = browser.get(f"/sign-in/callback?state={state}&code=x", follow_redirects=False)
    assert (answer.status_code, "belongs to no sign-in" in answer.text) == (403, True)


def test_whom_the_provider_refuses_is_told_so(identity_provider: IdentityProvider, browser: TestClient, context: Context) -> None:
    identity_provider.person = None
    answer = signed_in(browser)
    assert (answer.status_code, "did not let you in (access_denied)" in answer.text) == (403, True)
    assert "access_denied" in newest(context).reason


def test_an_answer_of_another_provider_and_words_that_are_none_are_not_repeated(browser: TestClient) -> None:
    back = sent_back(browser)
    mixed = browser.get(f"{back}&iss=https://evil.example", follow_redirects=False)
    assert (mixed.status_code, "Another provider" in mixed.text) == (403, True)
    back = sent_back(browser)
    state = parse_qs(urlsplit(back).query)["state"][0]
    answer = browser.get(f"/sign-in/callback?state={state}&error=<b>call+0800</b>", follow_redirects=False)
    assert (answer.status_code, "0800" in answer.text) == (403, False)


@pytest.mark.parametrize(
    ("person", "sentence"),
    [
        ({"sub": "1", "groups": ["shop"]}, "says no &#39;email&#39; of you"),
        ({"sub": "1", "groups": ["shop"], "email": "a b"}, "says no &#39;email&#39; of you"),
        ({"sub": "1", "groups": ["shop"], "email": "a\u202eb"}, "says no &#39;email&#39; of you"),
        ({"sub": "1", "groups": ["shop"], "email": "ann@example.com", "email_verified": False}, "has not verified your address"),
    ],
)
def test_who_cannot_be_named_for_certain_is_refused(
    identity_provider: IdentityProvider, browser: TestClient, person: dict[str, Any], sentence: str
) -> None:
    identity_provider.person = person
    answer = signed_in(browser)
    assert (answer.status_code, sentence in answer.text) == (403, True)


def nothing_there(provider: IdentityProvider) -> None:
    provider.shutdown()
    provider.server_close()


def slow(provider: IdentityProvider) -> None:
    provider.delay = 1.0


@pytest.mark.parametrize(
    ("unwell", "sentence"),
    [
        (nothing_there, "cannot be reached"),
        (slow, "gave no answer within 0.2 seconds"),
        (lambda p: setattr(p, "document", lambda about: b"<html>"), "did not answer in JSON"),
        (lambda p: setattr(p, "document", lambda about: [about]), "did not answer with a JSON object"),
        (lambda p: setattr(p, "document", lambda about: {**about, "issuer": "https://evil.example"}), "the same to the letter"),
        (
            lambda p: setattr(p, "document", lambda about: {**about, "token_endpoint": "http://evil.example/token"}),
            "must be an address of https",
        ),
        (lambda p: setattr(p, "document", lambda about: {k: v for k, v in about.items() if k != "jwks_uri"}), "jwks_uri of"),
        (lambda p: setattr(p, "document", lambda about: {**about, "x": "x" * 2_000_000}), "more than 1,000,000 bytes"),
    ],
)
def test_a_provider_that_is_unwell_is_said_on_the_page_and_tokens_still_sign_in(
    identity_provider: IdentityProvider,
    browser: TestClient,
    served,
    monkeypatch: pytest.MonkeyPatch,
    unwell: Callable[[IdentityProvider], None],
    sentence: str,
) -> None:
    monkeypatch.setattr(oidc, "SECONDS", 0.2)
    unwell(identity_provider)
    answer = browser.get("/sign-in/provider", follow_redirects=False)
    assert answer.status_code == 503
    assert sentence in answer.text
    assert "Sign in with a token meanwhile" in answer.text
    signed = browser.post("/sign-in", data={"token": served[1]["viewer"]}, headers=SAME, follow_redirects=False)
    assert signed.status_code == 303


def test_keys_that_cannot_be_had_are_a_failure_with_a_row_in_the_audit(
    identity_provider: IdentityProvider, browser: TestClient, context: Context
) -> None:
    identity_provider.document = lambda about: {**about, "jwks_uri": f"{identity_provider.issuer}/nowhere"}
    answer = signed_in(browser)
    assert (answer.status_code, "answered with status 404" in answer.text) == (503, True)
    assert "status 404" in newest(context).reason


def test_a_console_without_a_provider_has_no_button_and_no_way_to_one(
    opened: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOUND_OIDC_ISSUER", raising=False)
    browser = opened()
    assert "/sign-in/provider" not in browser.get("/sign-in").text
    for path in ("/sign-in/provider", "/sign-in/callback?state=x&code=y"):
        answer = browser.get(path, follow_redirects=False)
        assert (answer.status_code, "No identity provider is set" in answer.text) == (404, True)


def test_a_browser_that_asks_by_tls_comes_back_by_tls_and_keeps_its_cookies_to_that(
    identity_provider: IdentityProvider, browser: TestClient
) -> None:
    leaves = browser.get("/sign-in/provider", headers={"x-forwarded-proto": "https"}, follow_redirects=False)
    assert "redirect_uri=https%3A%2F%2F127.0.0.1%3A8321%2Fsign-in%2Fcallback" in leaves.headers["location"]
    assert "secure" in leaves.headers["set-cookie"].lower()


def test_who_tries_too_often_is_told_to_wait(browser: TestClient) -> None:
    answers = [browser.get("/sign-in/callback", follow_redirects=False).status_code for _ in range(21)]
    assert (answers[0], answers[-1]) == (403, 429)


def test_somebody_is_signed_out_everywhere_by_an_admin(browser: TestClient, context: Context, found, served) -> None:
    signed_in(browser)
    out = found("token", "sign-out", "oidc:ann@example.com", "--home", served[0])
    assert (out.status, out.out.startswith("oidc:ann@example.com is signed out")) == (0, True)
    assert browser.get("/audiences", follow_redirects=False).headers["location"] == "/sign-in"
    again = found("token", "sign-out", "oidc:ann@example.com", "--home", served[0])
    assert (again.status, "Nobody called 'oidc:ann@example.com' is signed in" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"oidc_issuer": "http://login.example.com"}, "must be an address of https"),
        ({"oidc_issuer": "login"}, "must be an address of https"),
        ({"oidc_client_id": None}, "FOUND_OIDC_CLIENT_ID is not"),
        ({"oidc_roles": "shop=boss"}, "cannot be read from 'shop=boss' on"),
        ({"oidc_roles": "a=viewer, shop"}, "cannot be read from 'shop' on"),
    ],
)
def test_settings_of_a_provider_that_cannot_be_used_are_named(tmp_path, changes: dict[str, Any], sentence: str) -> None:
    about = {"oidc_issuer": "https://login.example.com", "oidc_client_id": "found", "oidc_roles": "a=viewer"}
    with pytest.raises(BadInput, match=sentence):
        providers.configured(Settings(home=tmp_path, **{**about, **changes}))


def test_an_issuer_with_a_password_in_it_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="set FOUND_OIDC_CLIENT_SECRET") as refused:
        Settings.load(tmp_path, oidc_issuer="https://user:word@login.example.com")
    assert "word@" not in str(refused.value)


def test_a_server_says_so_when_it_starts(served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUND_OIDC_ISSUER", "https://login.example.com")
    monkeypatch.delenv("FOUND_OIDC_CLIENT_ID", raising=False)
    with pytest.raises(BadInput, match="FOUND_OIDC_CLIENT_ID is not"):
        server.check(Options(served[0]))


def test_the_secret_of_the_client_is_never_written_down(tmp_path) -> None:
    settings = Settings(
        home=tmp_path, oidc_issuer="https://login.example.com", oidc_client_id="found", oidc_client_secret="wordword"
    )
    settings.keep()
    assert "wordword" not in (tmp_path / "settings.yaml").read_text()
    assert "oidc_client_secret" in UNSHOWN
    assert "wordword" not in repr(providers.configured(settings))
