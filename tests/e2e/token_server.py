"""A token server for distribution: docker's logins become tokens for the repositories that they may see.

As distribution's token specification has it: a GET with the scopes wanted, and a user's password or none. Who is nobody
gets a token that is good for nothing, as at public registries; a wrong password gets 401.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.e2e.jose import TokenKey
from tests.e2e.registries import Tls
from tests.e2e.serving import Request, in_json, serving

ISSUER, SERVICE = "e2e tokens", "e2e registry"
LEEWAY_SECONDS = 60  # for which distribution takes a token after its end
LIFE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes the tokens that distribution believes."""

    key: TokenKey = field(default_factory=TokenKey)

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
        return self.key.sign(claims)

    def to_pull(self, repository: str, seconds: float = LIFE_SECONDS) -> str:
        """Return a token that reads ``repository``."""
        return self.token([{"type": "repository", "name": repository, "actions": ["pull"]}], seconds)

    def to_push(self, repository: str) -> str:
        """Return a token that reads and writes ``repository``."""
        return self.token([{"type": "repository", "name": repository, "actions": ["pull", "push"]}])

    def registry_auth(self, folder: Path, realm: str) -> dict[str, Any]:
        """Return distribution's ``auth`` section for these tokens, which ``realm`` gives."""
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps(self.key.jwks()))
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

    def answer(request: Request) -> tuple[int, object]:
        return tokens.answer(parse_qs(urlsplit(request.path).query), request.authorization)

    with serving(in_json(answer), tls) as port:
        # By name: cosign refuses a realm that is a private address, written as such.
        tokens.realm = f"https://localhost:{port}/token"
        yield tokens
