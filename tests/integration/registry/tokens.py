"""Credentials and a token server for the tests of a client."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from gate.core.deadline import Deadline
from gate.registry.credentials import Credential
from tests.fakes.hostile import Answer, Hostile, Reply, Seen, as_json, challenge


@dataclass(slots=True)
class FixedToken:
    """Shows one token to everybody: the rules of AccessToken are tested on their own."""

    token: str = field(repr=False)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        self.asked.append((host, fresh))
        return Credential(self.token, 'the file "/token"')


@dataclass(slots=True)
class TokenServer:
    """Makes tokens for scopes at ``/token`` of ``server`` and guards its repositories with them."""

    server: Hostile
    life: object = 300
    valid: dict[str, str] = field(default_factory=dict)  # token: scope
    issued: list[str] = field(default_factory=list)  # scopes
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.server.on("/token", self.issue)

    def issue(self, seen: Seen) -> Answer:
        query = parse_qs(urlsplit(seen.target).query)
        with self._lock:
            token = f"token-{next(self._number)}"
            (scope,) = query["scope"]
            self.valid[token] = scope
            self.issued.append(scope)
        return as_json({"token": token, "expires_in": self.life})

    def guard(self, repository: str, reference: str, body: bytes) -> None:
        """Serve a manifest to whoever shows a valid token for its repository."""
        self.server.on(f"/v2/{repository}/manifests/{reference}", self.guarded(repository, lambda _: Reply(200, body)))

    def guarded(self, repository: str, answer: Callable[[Seen], Answer]) -> Callable[[Seen], Answer]:
        """Return ``answer`` for whoever shows a valid token for the repository, and a challenge for the others."""
        scope = f"repository:{repository}:pull"

        def guard(seen: Seen) -> Answer:
            token = seen.headers.get("authorization", "").removeprefix("Bearer ")
            if self.valid.get(token) == scope:
                return answer(seen)
            return challenge(f'Bearer realm="{self.server.url}/token",service="fake",scope="registry:catalog:*"')

        return guard


def token_answer(**fields: object) -> Reply:
    return Reply(200, json.dumps(fields).encode())
