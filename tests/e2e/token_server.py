"""A token server for distribution: docker's logins become tokens for the repositories that they may see.

As distribution's token specification has it: a GET with the scopes wanted, and a user's password or none. Who is nobody
gets a token that is good for nothing, as at public registries; a wrong password gets 401.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.e2e.registries import Tls

ISSUER, SERVICE, KEY_ID = "e2e tokens", "e2e registry", "e2e"
LEEWAY_SECONDS = 60  # for which distribution takes a token after its end
LIFE_SECONDS = 300
COORDINATE_BYTES = 32  # of P-256; RFC 7518, sections 3.4 and 6.2.1.2


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes the tokens that distribution believes: JWTs signed with ES256."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)

    def token(self, access: Sequence[dict[str, Any]], seconds: float = LIFE_SECONDS) -> str:
        """Return a token for ``access`` that distribution takes for the next ``seconds``."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "somebody",
            "iat": now,
            "nbf": now - LEEWAY_SECONDS,
            "exp": now + int(seconds) - LEEWAY_SECONDS,
            "access": list(access),
        }
        signed = f"{_part({'alg': 'ES256', 'typ': 'JWT', 'kid': KEY_ID})}.{_part(claims)}"
        numbers = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(b''.join(each.to_bytes(COORDINATE_BYTES) for each in numbers))}"

    def to_pull(self, repository: str, seconds: float = LIFE_SECONDS) -> str:
        """Return a token that reads ``repository``."""
        return self.token([{"type": "repository", "name": repository, "actions": ["pull"]}], seconds)

    def to_push(self, repository: str) -> str:
        """Return a token that reads and writes ``repository``."""
        return self.token([{"type": "repository", "name": repository, "actions": ["pull", "push"]}])

    def registry_auth(self, folder: Path, realm: str) -> dict[str, Any]:
        """Return distribution's ``auth`` section for these tokens, which ``realm`` gives."""
        numbers = self.key.public_key().public_numbers()
        point = {name: _base64(each.to_bytes(COORDINATE_BYTES)) for name, each in (("x", numbers.x), ("y", numbers.y))}
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": KEY_ID, "alg": "ES256", **point}]}))
        return {"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "jwks": str(jwks)}}


@dataclass(slots=True)
class TokenServer:
    """Who has a login (user: password), and what was asked: scope, and who by (empty for nobody)."""

    mint: Mint
    logins: dict[str, str] = field(repr=False)
    realm: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, query: dict[str, list[str]], authorization: str | None) -> tuple[int, object]:
        """Return status and document for one question."""
        user = self._user(authorization)
        self.asked += [(scope, user or "") for scope in query.get("scope", [])]
        if user is None:
            return 401, {"errors": [{"code": "UNAUTHORIZED"}]}
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",") if user else []})
        return 200, {"token": self.mint.token(access), "expires_in": LIFE_SECONDS - LEEWAY_SECONDS}

    def _user(self, authorization: str | None) -> str | None:
        """Return who asks, empty for nobody, None for somebody with a wrong password."""
        if authorization is None:
            return ""
        scheme, _, encoded = authorization.partition(" ")
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return user if scheme == "Basic" and self.logins.get(user) == password else None


@contextlib.contextmanager
def running_token_server(tls: Tls, logins: dict[str, str]) -> Iterator[TokenServer]:
    """Yield a token server over TLS on loopback."""
    tokens = TokenServer(Mint(), logins)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, document = tokens.answer(parse_qs(parts.query), self.headers["Authorization"])
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's signature)
            """What is asked is kept instead."""

    with serving(Handler, tls) as port:
        # By name: cosign refuses a realm that is a private address, written as such.
        tokens.realm = f"https://localhost:{port}/token"
        yield tokens


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: Tls) -> Iterator[int]:
    """Yield the port of loopback at which ``handler`` answers over TLS, in threads of this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _part(document: object) -> str:
    return _base64(json.dumps(document).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
