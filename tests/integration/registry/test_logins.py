"""User names, passwords and identity tokens: who is shown them, and who never is (O7, O8, O9)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.credentials import Credential, Kind
from gate.registry.dockerconfig import DockerConfigSource
from tests.fakes.hostile import Answer, Hostile, Reply, Seen, as_json, challenge
from tests.integration.registry.conftest import REPOSITORY, Asker, within

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
SCOPE = f"repository:{REPOSITORY}:pull"
BODY = b"{}"
LOGIN = Credential("pass:word", 'the Secret "logins"', Kind.PASSWORD, "bob")
IDENTITY = Credential("identity+/=&token", 'the Secret "logins"', Kind.IDENTITY)
BASIC = "Basic " + base64.b64encode(b"bob:pass:word").decode()


@dataclass(slots=True)
class Fixed:
    """Shows one credential at a time to everybody, and the next one when it is refused."""

    credentials: list[Credential]
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        self.asked.append((host, repository, fresh))
        if fresh and len(self.credentials) > 1:
            self.credentials.pop(0)
        return self.credentials[0]


def htpasswd(server: Hostile, *, realm: str = "basic-realm", also: str = "") -> None:
    """Guard the manifest as distribution does with htpasswd."""

    def answer(seen: Seen) -> Answer:
        if seen.headers.get("authorization") == BASIC:
            return Reply(200, BODY)
        return challenge(f'{also}Basic realm="{realm}"')

    server.on(TAGGED, answer)


def token_server(server: Hostile, realm: Hostile) -> None:
    """Guard the manifest with tokens that ``realm`` gives to bob, or for the identity token."""

    def issue(seen: Seen) -> Answer:
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        by_password = seen.method == "GET" and seen.headers.get("authorization") == BASIC
        by_identity = seen.method == "POST" and form.get("refresh_token") == IDENTITY.token
        return as_json({"token": "t1", "expires_in": 300}) if by_password or by_identity else Reply(401)

    def answer(seen: Seen) -> Answer:
        if seen.headers.get("authorization") == "Bearer t1":
            return Reply(200, BODY)
        return challenge(f'Bearer realm="{realm.url}/token",service="fake",scope="registry:catalog:*"')

    realm.on("/token", issue)
    server.on(TAGGED, answer)


def pull(asker: Asker, server: Hostile, *credentials: Credential) -> bool:
    client = asker.client(server, credentials=Fixed(list(credentials)))
    return client.manifest(REPOSITORY, "v1", within()) is not None


def refused(asker: Asker, server: Hostile, *credentials: Credential) -> str:
    with pytest.raises(UnavailableError) as caught:
        pull(asker, server, *credentials)
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
    assert all(credential.token not in caught.value.message for credential in credentials)
    return caught.value.message


def shown(server: Hostile) -> list[str | None]:
    return [seen.headers.get("authorization") for seen in server.seen]


def test_a_password_is_shown_to_a_registry_that_asks_for_it_and_not_before(asker: Asker, secure: Hostile) -> None:
    htpasswd(secure)
    client = asker.client(secure, credentials=Fixed([LOGIN]))
    for _ in range(3):
        assert client.manifest(REPOSITORY, "v1", within()) is not None
    assert shown(secure) == [None, BASIC, BASIC, BASIC]


def test_the_realm_of_a_basic_challenge_is_never_asked(asker: Asker, secure: Hostile, public: Hostile) -> None:  # O9
    htpasswd(secure, realm=public.host)
    assert pull(asker, secure, LOGIN)
    assert public.connections == 0


def test_a_password_buys_a_token_at_the_realm_and_is_not_shown_to_the_registry(asker: Asker, secure: Hostile) -> None:
    token_server(secure, secure)
    assert pull(asker, secure, LOGIN)
    assert secure.paths() == [TAGGED, "/token", TAGGED]
    assert shown(secure) == [None, BASIC, "Bearer t1"]
    assert parse_qs(urlsplit(secure.seen[1].target).query) == {"service": ["fake"], "scope": [SCOPE]}


def test_a_realm_is_preferred_to_a_password_for_the_registry(asker: Asker, secure: Hostile) -> None:
    token_server(secure, secure)
    offered = f'Basic realm="x", Bearer realm="{secure.url}/token",service="fake"'
    secure.on(TAGGED, challenge(offered), Reply(200, BODY))
    assert pull(asker, secure, LOGIN)
    assert shown(secure) == [None, BASIC, "Bearer t1"]
    assert secure.paths()[1] == "/token"


def test_an_identity_token_is_sent_in_the_body_of_a_question_to_the_realm(asker: Asker, secure: Hostile) -> None:
    token_server(secure, secure)
    assert pull(asker, secure, IDENTITY)
    _, asked, _ = secure.seen
    assert (asked.method, asked.target) == ("POST", "/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [IDENTITY.token],
        "client_id": ["config-sync-gate"],
        "service": ["fake"],
        "scope": [SCOPE],
    }
    assert shown(secure) == [None, None, "Bearer t1"]


def test_a_registry_token_is_shown_at_once(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, Reply(200, BODY))
    assert pull(asker, secure, Credential("registry-token", "x"))
    assert shown(secure) == ["Bearer registry-token"]


@pytest.mark.parametrize("credential", [LOGIN, IDENTITY])
@pytest.mark.parametrize(
    "realm", ["http://{host}/token", "https://evil.example/token", "https://169.254.169.254/token"]
)
def test_nothing_is_sent_to_a_realm_that_is_not_the_registrys_own(
    asker: Asker, secure: Hostile, credential: Credential, realm: str
) -> None:  # O8
    secure.on(TAGGED, challenge(f'Bearer realm="{realm.format(host=secure.host)}"'))
    with pytest.raises(UnavailableError) as caught:
        pull(asker, secure, credential)
    assert caught.value.reason is Reason.REGISTRY_ADDRESS
    assert secure.paths() == [TAGGED]


@pytest.mark.parametrize("credential", [LOGIN, IDENTITY])
def test_nothing_crosses_plain_http(asker: Asker, registry: Hostile, credential: Credential) -> None:
    token_server(registry, registry)
    with pytest.raises(UnavailableError):
        pull(asker, registry, credential)
    assert registry.paths() == [TAGGED, "/token"]
    assert shown(registry) == [None, None]
    assert registry.seen[1].body == b""
    htpasswd(registry)
    assert "sends none over plain http" in refused(asker, registry, credential)


@pytest.mark.parametrize("credential", [LOGIN, IDENTITY])
@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_realm_cannot_hand_a_secret_on_by_a_redirect(
    asker: Asker, secure: Hostile, public: Hostile, credential: Credential, status: int
) -> None:
    token_server(secure, secure)
    secure.on("/token", Reply(status, b"", (("Location", f"{public.url}/token"),)))
    with pytest.raises(UnavailableError):
        pull(asker, secure, credential)
    assert public.connections == 0
    assert len(secure.seen) == 2


def test_a_password_does_not_follow_a_redirect_of_a_blob_or_manifest(
    asker: Asker, secure: Hostile, public: Hostile
) -> None:
    public.on("/stored", Reply(200, BODY))

    def answer(seen: Seen) -> Answer:
        if seen.headers.get("authorization") == BASIC:
            return Reply(307, b"", (("Location", f"{public.url}/stored"),))
        return challenge('Basic realm="x"')

    secure.on(TAGGED, answer)
    assert pull(asker, secure, LOGIN)
    assert shown(public) == [None]


def test_a_refused_password_names_where_it_comes_from_and_is_shown_once(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, challenge('Basic realm="x"'))
    message = refused(asker, secure, LOGIN)
    assert f'"{secure.host}" refused the user name and password from the Secret "logins"' in message
    assert len(secure.seen) == 2


@pytest.mark.parametrize(
    ("credential", "what"),
    [(LOGIN, "refused the user name and password from"), (IDENTITY, "refused the identity token from")],
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_realm_that_refuses_what_it_is_shown_is_named(
    asker: Asker, secure: Hostile, credential: Credential, what: str, status: int
) -> None:
    token_server(secure, secure)
    secure.on("/token", Reply(status))
    message = refused(asker, secure, credential)
    assert f'the token realm "{secure.host}" {what} the Secret "logins"' in message
    assert secure.paths() == [TAGGED, "/token"]


def test_a_password_that_may_not_read_the_repository_is_named(asker: Asker, secure: Hostile) -> None:
    token_server(secure, secure)
    secure.on(TAGGED, challenge(f'Bearer realm="{secure.url}/token"'), Reply(403))
    assert "refused the user name and password" in refused(asker, secure, LOGIN)


def test_an_identity_token_is_no_answer_to_a_registry_that_wants_a_password(asker: Asker, secure: Hostile) -> None:
    htpasswd(secure)
    assert "wants a user name and password, and gate has an identity token for it" in refused(asker, secure, IDENTITY)
    assert shown(secure) == [None]


def test_a_renewed_password_is_read_when_the_old_one_is_refused(asker: Asker, secure: Hostile) -> None:
    old = Credential("old", 'the Secret "logins"', Kind.PASSWORD, "bob")
    for guard in (lambda: htpasswd(secure), lambda: token_server(secure, secure)):
        guard()
        assert pull(asker, secure, old, LOGIN)


def test_a_password_that_is_renewed_later_is_read_when_the_realm_refuses_the_old_one(
    asker: Asker, secure: Hostile
) -> None:
    token_server(secure, secure)
    old = Credential("old", "x", Kind.PASSWORD, "bob")
    source = Fixed([LOGIN])
    client = asker.client(secure, credentials=source)
    assert client.manifest(REPOSITORY, "v1", within()) is not None
    source.credentials = [old, LOGIN]  # the realm is known by now, and is asked before the registry
    asker.now = 3600
    assert client.manifest(REPOSITORY, "v1", within()) is not None
    assert "Basic " + base64.b64encode(b"bob:old").decode() in shown(secure)


def test_tokens_that_different_logins_bought_are_not_mixed(asker: Asker, secure: Hostile) -> None:
    def issue(seen: Seen) -> Answer:
        user = base64.b64decode(seen.headers["authorization"].removeprefix("Basic ")).decode().partition(":")[0]
        return as_json({"token": f"for-{user}", "expires_in": 300})

    def manifest(user: str) -> None:
        def answer(seen: Seen) -> Answer:
            if seen.headers.get("authorization") == f"Bearer for-{user}":
                return Reply(200, BODY)
            return challenge(f'Bearer realm="{secure.url}/token",service="fake"')

        secure.on(f"/v2/{user}/app/manifests/v1", answer)

    auths = {f"{secure.host}/{user}": {"username": user, "password": "pw"} for user in ("ann", "bob")}
    data = json.dumps({"auths": auths}).encode()
    source = DockerConfigSource(lambda: data, "x", lambda: 0.0, optional=False)
    secure.on("/token", issue)
    client = asker.client(secure, credentials=source)
    for user in ("ann", "bob", "ann", "bob"):
        manifest(user)
        assert client.manifest(f"{user}/app", "v1", within()) is not None
    assert secure.paths().count("/token") == 2


def test_credentials_are_looked_up_by_host_and_repository(asker: Asker, secure: Hostile) -> None:
    htpasswd(secure)
    source = Fixed([LOGIN])
    asker.client(secure, credentials=source).manifest(REPOSITORY, "v1", within())
    assert source.asked == [(secure.host, REPOSITORY, False), (secure.host, REPOSITORY, True)]
