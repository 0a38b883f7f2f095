"""What is asked of an identity provider (OpenID Connect): its document, where a browser goes, an ID token for a code, and its keys.

What belongs here: requests within bounds of time and size, each failure in a sentence, and the checks of the ID token. What does
not: which provider, and who may come in (`identity_provider`). Of the provider's tokens none is kept.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from found_platform.cache import single_flight
from found_platform.errors import BadInput, JobFailed
from found_platform.webhook import LOCAL

SECONDS = 5.0
"""For the provider to connect, and again for each part of an answer; and twice that for the whole of a document."""

MOST_BYTES = 1_000_000
"""Of a document of the provider. They have some thousand."""

BELIEVED_SECONDS = 300.0
"""How long the provider's document about itself is used before it is read again. Its keys are read at each sign-in."""

LEEWAY_SECONDS = 60
"""Between the provider's clock and this one."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a key that the provider alone has. HS256 lets whoever knows the client's secret sign, and `none` signs nothing."""

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")
MEANWHILE = "Sign in with a token meanwhile, or tell whoever runs this console."
AGAIN = "Sign in again; where that does not help, tell whoever runs this console."


@dataclass(frozen=True)
class Client:
    """This console as a provider knows it, and what the provider is called. Without a secret it is a public client."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: str
    label: str


@dataclass(frozen=True)
class Proofs:
    """What one sign-in is told apart by: `state` and `nonce` come back from the provider, `verifier` redeems the code (PKCE)."""

    state: str
    nonce: str
    verifier: str


def check_address(address: Any, title: str, error: type[BadInput | JobFailed] = BadInput) -> None:
    """Raises for what is no address, or would send secrets over a network unencrypted."""
    try:
        parts = urlsplit(address) if isinstance(address, str) else urlsplit("")
        usable = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)
        usable = usable and bool(parts.hostname) and not parts.username and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        next_step = f" {MEANWHILE}" if error is JobFailed else ""
        raise error(f"{title} is {str(address)[:200]!r}: it must be an address of https, or of http on this machine.{next_step}")


def way_there(client: Client, callback: str, proofs: Proofs) -> str:
    """The address that a browser is sent to, and comes back from to `callback`. Raises JobFailed where the provider is unwell."""
    from authlib.oauth2.client import OAuth2Client

    asking: Any = OAuth2Client(None, client.client_id, scope=client.scopes, redirect_uri=callback, code_challenge_method="S256")
    endpoint = _document(client.issuer)["authorization_endpoint"]
    parts = {"state": proofs.state, "nonce": proofs.nonce, "code_verifier": proofs.verifier}
    return asking.create_authorization_url(endpoint, **parts)[0]


def way_out(client: Client, back: str) -> str | None:
    """The address where a browser ends its session over there, and comes back from to `back` (RP-Initiated Logout); None where the
    provider has none. No ID token goes with it, for none is kept: the provider may ask whether one means it. Raises JobFailed where
    the provider is unwell."""
    endpoint = _document(client.issuer).get("end_session_endpoint")
    if endpoint is None:
        return None
    check_address(endpoint, "end_session_endpoint of the identity provider", JobFailed)
    parts = urlencode({"client_id": client.client_id, "post_logout_redirect_uri": back})
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{parts}"


def claims(client: Client, callback: str, proofs: Proofs, code: str) -> Mapping[str, Any]:
    """What the provider says of who came back with a code, once signature, issuer, audience, times and nonce are found to be right.

    Raises BadInput where the code is none or the answer cannot be trusted, JobFailed where the provider does not answer as it must.
    """
    document = _document(client.issuer)
    token = _redeemed(client, document, callback, proofs, code)
    return _checked(client, _keys(document["jwks_uri"]), token, proofs.nonce)


def word(text: object) -> str:
    """A word of the provider's, for a sentence; nothing where it is none."""
    return text if isinstance(text, str) and WORD.fullmatch(text) else ""


def _document(issuer: str) -> Mapping[str, Any]:
    """What the provider says of itself."""
    return _discovered(issuer, int(time.monotonic() // BELIEVED_SECONDS))


@single_flight(2)
def _discovered(issuer: str, _period: int) -> Mapping[str, Any]:
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    document = _json(address)
    if document.get("issuer") != issuer:
        other = str(document.get("issuer"))[:200]
        raise JobFailed(
            f"{address} speaks for the issuer {other!r}, and FOUND_OIDC_ISSUER is {issuer!r}: they must be the same to the letter. "
            f"{MEANWHILE}"
        )
    for name in ENDPOINTS:
        check_address(document.get(name), f"{name} of {address}", JobFailed)
    return document


def _json(address: str) -> Mapping[str, Any]:
    """A document of the provider. Raises JobFailed where it is not to be had."""
    import httpx2

    end, content = time.monotonic() + 2 * SECONDS, bytearray()
    with (
        _asking(address),
        httpx2.Client(timeout=SECONDS, trust_env=not _is_local(address)) as web,
        web.stream("GET", address, headers={"accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:  # redirects are not followed either
            raise JobFailed(f"{address} answered with status {answer.status_code}. {MEANWHILE}")
        for part in answer.iter_bytes():
            content += part
            if len(content) > MOST_BYTES or time.monotonic() > end:
                raise JobFailed(f"{address} sent more than {MOST_BYTES:,} bytes, or too slowly. {MEANWHILE}")
        document = json.loads(content)
    if not isinstance(document, dict):
        raise JobFailed(f"{address} did not answer with a JSON object. {MEANWHILE}")
    return document


def _is_local(address: str) -> bool:
    """On this machine, where no proxy stands between."""
    return urlsplit(address).hostname in LOCAL


@contextlib.contextmanager
def _asking(address: str) -> Iterator[None]:
    """Says in a sentence why the provider gave no answer that can be read."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException:
        raise JobFailed(f"{address} gave no answer within {SECONDS:g} seconds. {MEANWHILE}") from None
    except httpx2.HTTPStatusError as error:
        raise JobFailed(f"{address} answered with status {error.response.status_code}. {MEANWHILE}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise JobFailed(f"{address} cannot be reached ({str(error) or 'the connection broke'}). {MEANWHILE}") from None
    except ValueError:
        raise JobFailed(f"{address} did not answer in JSON. {MEANWHILE}") from None


def _redeemed(client: Client, document: Mapping[str, Any], callback: str, proofs: Proofs, code: str) -> Mapping[str, Any]:
    """What the token endpoint gives for a code."""
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.httpx_client import OAuth2Client

    address = document["token_endpoint"]
    methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    method = "client_secret_post" if "client_secret_post" in methods else "client_secret_basic"
    about: dict[str, Any] = {"timeout": SECONDS, "trust_env": not _is_local(address), "redirect_uri": callback}
    about["token_endpoint_auth_method"] = method if client.client_secret else "none"
    asking: Any = OAuth2Client(client.client_id, client.client_secret, **about)  # of httpx2 too, which its types do not say
    parts = {"grant_type": "authorization_code", "code": code, "code_verifier": proofs.verifier}
    try:
        with asking, _asking(address):
            return asking.fetch_token(address, **parts)
    except OAuthError as error:
        why = word(error.error) or "it does not say why"
        raise BadInput(f"{client.label} does not take the code that it gave ({why}). {AGAIN}") from None


def _keys(address: str) -> Any:
    """The keys that the provider signs with now."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    document: Any = _json(address)
    try:
        return KeySet.import_key_set(document)
    except (JoseError, ValueError, TypeError, KeyError):
        raise JobFailed(f"{address} holds no keys that can be read. {MEANWHILE}") from None


def _checked(client: Client, keys: Any, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
    """The claims of an ID token that can be trusted."""
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=[*ALGORITHMS], strict_check_header=False)
    options: Any = {
        "iss": {"essential": True, "value": client.issuer},
        "aud": {"essential": True, "value": client.client_id},
    }
    about = {"nonce": nonce, "client_id": client.client_id, "access_token": token.get("access_token")}
    try:
        signed = jwt.decode(str(token.get("id_token") or ""), keys, registry=registry)
        checked = CodeIDToken(signed.claims, signed.header, options, about)
        checked.validate(leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        why = str(getattr(error, "description", "") or getattr(error, "error", "") or "it is no ID token")[:200].rstrip(".")
        raise BadInput(f"The ID token of {client.label} cannot be trusted ({why}): nobody was let in. {AGAIN}") from None
    return checked
