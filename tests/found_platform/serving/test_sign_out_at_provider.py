"""Signing out at the identity provider too, after signing out here."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from identity_provider import CLIENT, IdentityProvider
from starlette.testclient import TestClient

from found_platform.privacy import oidc

SAME = {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}


@pytest.fixture
def browser(identity_provider: IdentityProvider, opened: Callable[..., TestClient]) -> TestClient:
    """Somebody at a console that the provider is set for, not signed in."""
    oidc._discovered.cache_clear()
    return opened(rate=100_000)


def signed_in(browser: TestClient) -> Any:
    leaves = browser.get("/sign-in/provider", follow_redirects=False)
    back = httpx2.get(leaves.headers["location"], trust_env=False).headers["location"]
    return browser.get(back, follow_redirects=False)


def test_who_signs_out_here_may_sign_out_at_the_provider_too(identity_provider: IdentityProvider, browser: TestClient) -> None:
    signed_in(browser)
    browser.post("/sign-out", headers=SAME, follow_redirects=False)
    page = browser.get("/sign-in?left=yes").text
    assert "you are still signed in" in page
    assert 'href="/sign-out/provider"' in page
    leaves = browser.get("/sign-out/provider", follow_redirects=False)
    assert leaves.status_code == 303
    place = urlsplit(leaves.headers["location"])
    assert place.path == "/realm/logout"
    query = {name: values[0] for name, values in parse_qs(place.query).items()}
    assert query == {"client_id": CLIENT, "post_logout_redirect_uri": "http://127.0.0.1:8321/sign-in"}
    back = httpx2.get(leaves.headers["location"], trust_env=False)
    assert back.headers["location"] == "http://127.0.0.1:8321/sign-in"
    assert identity_provider.person is None, "the session over there is over"
    assert signed_in(browser).status_code == 403


def test_a_provider_without_a_page_to_sign_out_at_is_said(identity_provider: IdentityProvider, browser: TestClient) -> None:
    identity_provider.document = lambda about: {k: v for k, v in about.items() if k != "end_session_endpoint"}
    answer = browser.get("/sign-out/provider", follow_redirects=False)
    assert answer.status_code == 404
    assert "names no page to sign out at" in answer.text


@pytest.mark.parametrize("endpoint", ["http://login.example.com/logout", "javascript:alert(1)", 7])
def test_a_page_to_sign_out_at_that_is_no_safe_address_is_not_gone_to(
    identity_provider: IdentityProvider, browser: TestClient, endpoint: Any
) -> None:
    identity_provider.document = lambda about: {**about, "end_session_endpoint": endpoint}
    answer = browser.get("/sign-out/provider", follow_redirects=False)
    assert answer.status_code == 503
    assert "end_session_endpoint" in answer.text
