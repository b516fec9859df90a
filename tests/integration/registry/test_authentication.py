"""Getting past a 401 without telling anybody what is not theirs."""

from __future__ import annotations

import pytest

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.credentials import AccessToken, Anonymous, HostGlobs
from tests.fakes.hostile import Hostile, Reply, challenge, redirect
from tests.integration.registry.conftest import REPOSITORY, Asker, within
from tests.integration.registry.tokens import FixedToken, TokenServer, token_answer

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
BODY = b"{}"


def refused(asker: Asker, server: Hostile, *, allow_private: bool = False) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        asker.client(server, allow_private=allow_private).manifest(REPOSITORY, "v1", within())
    assert not caught.value.outage
    return caught.value


def test_an_anonymous_token_is_fetched_for_pulling_this_repository_alone(asker: Asker, either: Hostile) -> None:
    tokens = TokenServer(either)
    tokens.guard(REPOSITORY, "v1", BODY)
    assert asker.client(either).manifest(REPOSITORY, "v1", within()) is not None
    assert either.paths() == [TAGGED, "/token", TAGGED]
    assert either.seen[1].target == "/token?service=fake&scope=repository%3Ans%2Fapp%3Apull"
    assert "authorization" not in either.seen[1].headers


def test_a_token_is_used_again_without_asking(asker: Asker, registry: Hostile) -> None:
    tokens = TokenServer(registry)
    tokens.guard(REPOSITORY, "v1", BODY)
    client = asker.client(registry)
    for _ in range(3):
        client.manifest(REPOSITORY, "v1", within())
    assert registry.paths() == [TAGGED, "/token", TAGGED, TAGGED, TAGGED]


def test_a_token_that_has_ended_is_replaced_before_it_is_shown(asker: Asker, registry: Hostile) -> None:
    tokens = TokenServer(registry, life=120)
    tokens.guard(REPOSITORY, "v1", BODY)
    client = asker.client(registry)
    client.manifest(REPOSITORY, "v1", within())
    asker.now = 111  # ten seconds before its end
    client.manifest(REPOSITORY, "v1", within())
    assert registry.paths() == [TAGGED, "/token", TAGGED, "/token", TAGGED]


@pytest.mark.parametrize(
    ("life", "good_for", "over_after"),
    [(10**9, 3500, 3595), (1, 45, 55), ("soon", 45, 55), (True, 45, 55), (None, 45, 55), (-5, 45, 55)],
)
def test_a_token_lives_for_a_minute_at_least_and_an_hour_at_most(
    asker: Asker, registry: Hostile, life: object, good_for: float, over_after: float
) -> None:
    tokens = TokenServer(registry, life=life)
    tokens.guard(REPOSITORY, "v1", BODY)
    client = asker.client(registry)
    client.manifest(REPOSITORY, "v1", within())
    asker.now = good_for
    client.manifest(REPOSITORY, "v1", within())
    assert len(tokens.issued) == 1
    asker.now = over_after
    client.manifest(REPOSITORY, "v1", within())
    assert len(tokens.issued) == 2


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic realm=basic-realm",
        'Basic realm="127.0.0.1:9999"',
        "Bearer",
        "Negotiate abc==",
        "((((",
        "Bearer realm=",
    ],
)
def test_a_401_without_a_bearer_realm_contacts_nobody(asker: Asker, registry: Hostile, value: str) -> None:
    registry.on(TAGGED, challenge(value))
    assert refused(asker, registry).reason is Reason.REGISTRY_UNAUTHORIZED
    assert registry.paths() == [TAGGED]


def test_a_private_realm_of_another_host_needs_allow_private(asker: Asker, secure: Hostile, public: Hostile) -> None:
    # 127.0.0.2 stands for a public address: an address is never of the registry's domain
    secure.on(TAGGED, challenge(f'Bearer realm="{public.url}/token"'))
    assert refused(asker, secure).reason is Reason.REGISTRY_ADDRESS
    assert refused(asker, secure, allow_private=True).reason is Reason.REGISTRY_ADDRESS
    assert public.connections == 0


def test_a_plain_registry_may_have_its_realm_on_another_port(asker: Asker, registry: Hostile) -> None:
    with Hostile() as realm:
        realm.on("/token", token_answer(access_token="abc"))
        registry.on(TAGGED, challenge(f'Bearer realm="{realm.url}/token"'), Reply(200, BODY))
        assert asker.client(registry).manifest(REPOSITORY, "v1", within()) is not None
        assert registry.seen[1].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "answer",
    [
        token_answer(),
        token_answer(token=""),
        token_answer(token=1),
        token_answer(token="a b"),
        token_answer(token="a\r\nX-Evil: 1"),
        token_answer(token="ä"),
        token_answer(token="a" * 16385),
        Reply(200, b"[]"),
        Reply(200, b"\xff"),
        Reply(200, b'{"token":"a","token":"b"}'),
        Reply(204),
        Reply(404),
        redirect("/elsewhere"),
        Reply(200, b'{"token":"a"}', (("Content-Encoding", "gzip"),)),
    ],
)
def test_a_token_answer_that_is_none_is_an_error(asker: Asker, registry: Hostile, answer: Reply) -> None:
    registry.on("/token", answer)
    registry.on(TAGGED, challenge(f'Bearer realm="{registry.url}/token"'))
    assert refused(asker, registry).reason is Reason.REGISTRY_ERROR
    assert registry.paths() == [TAGGED, "/token"]


def test_a_token_answer_above_a_mebibyte_is_refused(asker: Asker, registry: Hostile) -> None:
    registry.on("/token", token_answer(token="a", padding="x" * 1024 * 1024))
    registry.on(TAGGED, challenge(f'Bearer realm="{registry.url}/token"'))
    assert refused(asker, registry).reason is Reason.LIMIT


@pytest.mark.parametrize("status", [401, 403])
def test_a_realm_that_refuses_gate_is_not_asked_again(asker: Asker, registry: Hostile, status: int) -> None:
    registry.on("/token", Reply(status))
    registry.on(TAGGED, challenge(f'Bearer realm="{registry.url}/token"'))
    assert refused(asker, registry).reason is Reason.REGISTRY_UNAUTHORIZED
    assert registry.paths() == [TAGGED, "/token"]


def test_the_access_token_is_sent_at_once_and_never_to_the_realm(asker: Asker, secure: Hostile) -> None:
    TokenServer(secure)
    secure.on(TAGGED, challenge(f'Bearer realm="{secure.url}/token"'))
    with pytest.raises(UnavailableError, match='the file "/token"') as caught:
        asker.client(secure, credentials=FixedToken("sesame")).manifest(REPOSITORY, "v1", within())
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
    assert "an hour" in caught.value.message
    assert "sesame" not in caught.value.message
    assert secure.paths() == [TAGGED]
    assert secure.seen[0].headers["authorization"] == "Bearer sesame"


def test_an_access_token_is_looked_up_for_the_host_that_receives_it(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, Reply(200, BODY))
    credentials = FixedToken("sesame")
    asker.client(secure, credentials=credentials).manifest(REPOSITORY, "v1", within())
    assert credentials.asked == [(secure.host, False)]


def test_a_renewed_access_token_works_without_a_restart(asker: Asker, secure: Hostile) -> None:
    def answer(seen: object) -> Reply:
        headers = getattr(seen, "headers", {})
        return Reply(200, BODY) if headers["authorization"] == "Bearer new" else challenge("Bearer")

    secure.on(TAGGED, answer)
    stored = [b"old\n"]
    hosts = HostGlobs.parse((secure.host,))
    token = AccessToken(lambda: stored[0], 'the Secret "x"', hosts, lambda: 0.0, optional=False)
    client = asker.client(secure, credentials=token)
    token.check()
    stored[0] = b"new\n"
    assert client.manifest(REPOSITORY, "v1", within()) is not None
    assert len(secure.seen) == 2


def test_an_access_token_never_crosses_plain_http(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, challenge("Bearer"))
    credentials = FixedToken("sesame")
    with pytest.raises(UnavailableError, match="plain http"):
        asker.client(registry, credentials=credentials).manifest(REPOSITORY, "v1", within())
    assert credentials.asked == []
    assert "authorization" not in registry.seen[0].headers


def test_a_403_with_the_access_token_names_its_file(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, Reply(403))
    with pytest.raises(UnavailableError, match='the file "/token"') as caught:
        asker.client(secure, credentials=FixedToken("sesame")).manifest(REPOSITORY, "v1", within())
    assert caught.value.reason is Reason.REGISTRY_UNAUTHORIZED
    assert len(secure.seen) == 1


def test_an_anonymous_client_says_that_it_has_no_credentials(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, challenge('Basic realm="x"'))
    with pytest.raises(UnavailableError, match="no credentials for it"):
        asker.client(secure, credentials=Anonymous()).manifest(REPOSITORY, "v1", within())


@pytest.mark.parametrize("realm", ["https://elsewhere.example/token", "{url}/silent"])
def test_a_bad_realm_of_one_repository_does_not_spoil_another(asker: Asker, registry: Hostile, realm: str) -> None:
    bad = realm.format(url=registry.url)
    registry.on("/v2/tenant/app/manifests/v1", challenge(f'Bearer realm="{bad}",service="fake"'))
    registry.on("/silent", Reply(500))
    registry.on(TAGGED, Reply(200, BODY))
    client = asker.client(registry)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            client.manifest("tenant/app", "v1", within())
        assert client.manifest(REPOSITORY, "v1", within()) is not None


def test_a_realm_that_gave_tokens_and_is_gone_is_no_obstacle_to_another_that_the_registry_names(
    asker: Asker, registry: Hostile
) -> None:
    tokens = TokenServer(registry)
    tokens.guard(REPOSITORY, "v1", BODY)
    client = asker.client(registry)
    assert client.manifest(REPOSITORY, "v1", within()) is not None
    registry.on("/token", Reply(404))
    registry.on("/v2/ns/open/manifests/v1", Reply(200, BODY))
    assert client.manifest("ns/open", "v1", within()) is not None
