"""An identity provider on loopback, for tests of signing in: OpenID Connect's code flow with PKCE, signed by a real RSA key.

It is written from the specifications alone, with nothing of the library that the platform signs in by. It refuses what a strict
provider refuses: another address to come back to, no challenge, a code that was used, a wrong verifier, a wrong secret. `person` is
who is signed in there; the other attributes make it answer wrongly.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, SECRET = "found-console", "s3cret/with+signs"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class IdentityProvider(ThreadingHTTPServer):
    """Attributes:
    person: claims of who is signed in; None: nobody, and it answers `access_denied`.
    secret: of the client; None: a public one.
    methods: ways in which the client may say its secret.
    claims: changes what an ID token says just before it is signed.
    sign: signs in place of its key.
    document: changes what it says of itself.
    requests: paths that were asked, with their parameters.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person: dict[str, Any] | None = {"sub": "248289761001", "email": "ann@example.com", "groups": ["shop"]}
        self.secret: str | None = SECRET
        self.methods = ["client_secret_basic", "client_secret_post"]
        self.callbacks = ["http://127.0.0.1:8321/sign-in/callback"]
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.sign: Callable[[bytes], tuple[str, bytes]] = self.by_key
        self.document: Callable[[dict[str, Any]], Any] = dict
        self.delay = 0.0
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/realm"

    def by_key(self, text: bytes) -> tuple[str, bytes]:
        return "RS256", self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())

    def id_token(self, about: dict[str, str], access_token: str) -> str:
        moment = int(time.time())
        half = encoded(hashlib.sha256(access_token.encode()).digest()[:16])
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": moment, "exp": moment + 300, "nonce": about["nonce"], "at_hash": half}
        claims = self.claims({**claims, **(self.person or {})})
        algorithm, _ = self.sign(b"")
        head = {"alg": algorithm, "kid": "one", "typ": "JWT"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{encoded(self.sign(text.encode())[1])}"


class Answering(BaseHTTPRequestHandler):
    server: IdentityProvider

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        self.server.requests.append((place.path, query))
        time.sleep(self.server.delay)
        if place.path == "/realm/.well-known/openid-configuration":
            self.answer(200, self.server.document(self.about()))
        elif place.path == "/realm/keys":
            numbers = self.server.key.public_key().public_numbers()
            n, e = (encoded(value.to_bytes((value.bit_length() + 7) // 8)) for value in (numbers.n, numbers.e))
            self.answer(200, {"keys": [{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": n, "e": e}]})
        elif place.path == "/realm/authorize":
            self.authorize(query)
        elif place.path == "/realm/logout" and query.get("client_id") == CLIENT:
            self.server.person = None
            self.send_response(302)
            self.send_header("location", query["post_logout_redirect_uri"])
            self.end_headers()
        else:
            self.answer(404, {})

    def about(self) -> dict[str, Any]:
        issuer = self.server.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "token_endpoint_auth_methods_supported": self.server.methods,
            "end_session_endpoint": f"{issuer}/logout",
        }

    def authorize(self, query: dict[str, str]) -> None:
        right = query.get("client_id") == CLIENT and query.get("redirect_uri") in self.server.callbacks
        right = right and query.get("response_type") == "code" and "openid" in query.get("scope", "").split()
        if not right or query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            self.answer(400, {"error": "invalid_request"})
            return
        back = {"state": query["state"], "iss": self.server.issuer}
        if self.server.person is None:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe()
            self.server.codes[back["code"]] = query
        self.send_response(302)
        self.send_header("location", f"{query['redirect_uri']}?{urlencode(back)}")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        self.server.requests.append((self.path, sent))
        about = self.server.codes.pop(sent.get("code", ""), None)
        if not self.is_client(sent):
            self.answer(401, {"error": "invalid_client"})
        elif about is None or sent.get("redirect_uri") != about["redirect_uri"] or not self.is_verified(sent, about):
            self.answer(400, {"error": "invalid_grant"})
        else:
            access_token = secrets.token_urlsafe()
            token = self.server.id_token(about, access_token)
            self.answer(200, {"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": token})

    def is_client(self, sent: dict[str, str]) -> bool:
        if self.server.secret is None:
            return sent.get("client_id") == CLIENT and "client_secret" not in sent
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{self.server.secret}".encode()).decode()
        ways = {
            "client_secret_post": (sent.get("client_id"), sent.get("client_secret")) == (CLIENT, self.server.secret),
            "client_secret_basic": self.headers.get("authorization") == basic,
        }
        return any(ways[method] for method in self.server.methods)

    @staticmethod
    def is_verified(sent: dict[str, str], about: dict[str, str]) -> bool:
        return encoded(hashlib.sha256(sent.get("code_verifier", "").encode()).digest()) == about["code_challenge"]

    def answer(self, status: int, document: Any) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def identity_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityProvider]:
    """A provider that a console is set to: members of `shop` are marketers there."""
    server = IdentityProvider()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("FOUND_OIDC_ISSUER", server.issuer)
    monkeypatch.setenv("FOUND_OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("FOUND_OIDC_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("FOUND_OIDC_ROLES", "CN=boss,OU=eu=admin, shop=marketer")
    monkeypatch.setenv("FOUND_OIDC_NAME_CLAIM", "email")
    yield server
    server.shutdown()
    server.server_close()
