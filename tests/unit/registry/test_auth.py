from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.registry.addresses import classify
from gate.registry.auth import Authentication
from gate.registry.credentials import Anonymous
from gate.registry.exchange import Routes
from gate.registry.transport import Answer, Transport
from gate.registry.urls import Origin

NEVER = Deadline(1.0, lambda: 0.0)


@dataclass(slots=True)
class Recording:
    """A transport that answers every realm with a token and connects to nothing."""

    session: None = None
    urls: list[str] = field(default_factory=list)

    def get(self, url: str, headers: Mapping[str, str], limit: int, deadline: Deadline) -> Answer:
        assert "Authorization" not in headers
        self.urls.append(url)
        return Answer(200, {}, (), json.dumps({"token": f"t{len(self.urls)}"}).encode())


def ask(realm: str, registry: str) -> tuple[list[str], list[str], str]:
    """Return what the registry's own transport and the other one were asked, and the Authorization that came of it."""
    own, foreign = Recording(), Recording()
    routes = Routes(Origin.of(registry), cast("Transport", own), cast("Transport", foreign))
    auth = Authentication(routes, Anonymous(), lambda: 0.0, classify, allow_private=False)
    shown = auth.renewed("ns/app", [f'Bearer realm="{realm}",service="s"'], None, NEVER)
    return own.urls, foreign.urls, shown


def test_the_realm_at_the_registrys_host_is_asked_as_the_registry_is() -> None:
    own, foreign, shown = ask("https://registry.example/token", "https://registry.example")
    assert own == ["https://registry.example/token?service=s&scope=repository%3Ans%2Fapp%3Apull"]
    assert (foreign, shown) == ([], "Bearer t1")


def test_the_realm_at_another_host_is_asked_as_hosts_are_that_a_server_names() -> None:
    own, foreign, _ = ask("https://auth.docker.io/token", "https://registry-1.docker.io")
    assert own == []
    assert foreign == ["https://auth.docker.io/token?service=s&scope=repository%3Ans%2Fapp%3Apull"]


def test_the_realm_of_another_party_is_not_asked() -> None:
    with pytest.raises(UnavailableError):
        ask("https://evil.example/token", "https://registry-1.docker.io")


@pytest.mark.parametrize(("host", "told"), [("us-docker.pkg.dev", True), ("registry.example", False)])
def test_whoever_has_no_identity_at_googles_registries_is_told_of_workload_identity(host: str, told: bool) -> None:
    transport = cast("Transport", Recording())
    routes = Routes(Origin.of(f"https://{host}"), transport, transport)
    auth = Authentication(routes, Anonymous(), lambda: 0.0, classify, allow_private=False)
    message = auth.refusal("ns/app", NEVER).message
    assert "no credentials for it" in message
    assert ("Workload Identity" in message) is told


def test_nothing_of_a_challenge_reaches_the_repositorys_scope() -> None:
    own, _, _ = ask("https://registry.example/token?account=x", "https://registry.example")
    assert own == ["https://registry.example/token?account=x&service=s&scope=repository%3Ans%2Fapp%3Apull"]
