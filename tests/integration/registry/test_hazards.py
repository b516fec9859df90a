"""What a registry, and whoever stands beside it, can do to a client: eighteen hazards, each refused or bounded.

They were all reproduced against a common registry client. Around each of them gate is listened to: its log at debug,
its errors and its objects as text never hold a token, a password, an Authorization or the query of a pre-signed URL.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import MANIFEST_BYTES
from gate.core.manifests import OCI_MANIFEST
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.report import describe
from gate.core.verdict import Denied, Unavailable
from gate.registry.client import RegistryClient
from gate.registry.credentials import Credential, CredentialSource, Kind
from gate.registry.entries import RegistryEntry
from gate.registry.exchange import RETRY_JITTER_SECONDS
from gate.server import logs
from tests.fakes.hostile import Authority, Hostile, Raw, Reply, Scripted, challenge, redirect
from tests.integration.registry.conftest import METADATA, REPOSITORY, Asker, described, within
from tests.integration.registry.scene import decide, gate_over, published
from tests.integration.registry.tokens import FixedToken, TokenServer

TOKEN, PASSWORD, SIGNATURE = "sesame-token", "sesame-password", "sesame-signature"
BASIC = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
SECRET = re.compile(rf"{TOKEN}|{PASSWORD}|{SIGNATURE}|{BASIC}|\btoken-[0-9]|(?:Bearer|Basic) [A-Za-z0-9+/]{{6,}}")

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
BODY = b'{"schemaVersion":2}'
FOUND = Reply(200, BODY)
WANTED = Digest.of(BODY)
BUDGET = 0.15  # seconds, for what would never end


@dataclass(slots=True)
class Listener:
    """Hears everything that gate says for itself."""

    log: io.StringIO = field(default_factory=io.StringIO)
    said: list[str] = field(default_factory=list)

    def hear(self, *things: object) -> None:
        self.said += [f"{thing!s} {thing!r}" for thing in things]

    def secrets(self) -> list[str]:
        return SECRET.findall("\n".join([self.log.getvalue(), *self.said]))


@pytest.fixture(autouse=True)
def listener(asker: Asker) -> Iterator[Listener]:
    """Listen during each test, and let it fail if a secret was heard."""
    listener, root = Listener(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in (None, *root.manager.loggerDict)}
    handlers = root.handlers[:]
    logs.configure("debug", listener.log)
    yield listener
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for registries in asker._made:
        listener.hear(vars(registries))
        for client in registries._clients.values():
            listener.hear(client, vars(client), vars(client.auth), client._routes)
    assert listener.secrets() == []


@dataclass(slots=True)
class Login:
    """A user name and password for one host."""

    host: str

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        known = host == self.host
        return Credential(PASSWORD, "the test", Kind.PASSWORD, "alice") if known else None


@dataclass(slots=True)
class Question:
    """Asks one registry, and lets what comes of it be heard."""

    asker: Asker
    listener: Listener

    def client(self, server: Hostile, credentials: CredentialSource | None = None) -> RegistryClient:
        return self.asker.client(server, credentials=credentials)

    def found(self, server: Hostile, credentials: CredentialSource | None = None) -> bool:
        return self.client(server, credentials).manifest(REPOSITORY, "v1", within()) is not None

    def refused(
        self, server: Hostile, reference: str | Digest = "v1", credentials: CredentialSource | None = None
    ) -> UnavailableError:
        with pytest.raises(UnavailableError) as caught:
            self.client(server, credentials).manifest(REPOSITORY, reference, within())
        self.listener.hear(caught.value)
        return caught.value


@pytest.fixture
def question(asker: Asker, listener: Listener) -> Question:
    return Question(asker, listener)


def outcome(error: UnavailableError) -> tuple[Reason, bool]:
    return error.reason, error.outage


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, SIGNATURE, BASIC, "token-7", "Bearer abcdef"])
def test_a_secret_is_heard_wherever_it_is_said(listener: Listener, secret: str) -> None:
    for say in (logging.getLogger("gate.registry").debug, listener.hear):
        say(f"x {secret} y")
        assert set(listener.secrets()) == {secret}
        listener.log.truncate(0)
        listener.said.clear()


def test_what_is_no_secret_may_be_said(listener: Listener) -> None:
    listener.hear('the access token from the Secret "registry-token", the token realm, Bearer realm="x"')
    assert listener.secrets() == []


def test_o01_a_manifest_with_other_bytes_than_its_digest_is_refused(question: Question, registry: Hostile) -> None:
    registry.on(f"/v2/{REPOSITORY}/manifests/{WANTED}", Reply(200, b'{"evil":true}'))
    assert outcome(question.refused(registry, WANTED)) == (Reason.REGISTRY_ERROR, False)


def test_o02_a_blob_with_other_bytes_than_its_digest_is_refused(asker: Asker, registry: Hostile) -> None:
    descriptor = described(b"good")
    registry.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Reply(200, b"evil"))
    with pytest.raises(UnavailableError, match="another digest") as caught:
        asker.client(registry).blob(REPOSITORY, descriptor, 100, within())
    assert outcome(caught.value) == (Reason.REGISTRY_ERROR, False)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_o03_a_gzip_bomb_is_refused_and_never_inflated(question: Question, registry: Hostile, encoding: str) -> None:
    registry.on(TAGGED, Reply(200, gzip.compress(bytes(20_000_000)), (("Content-Encoding", encoding),)))
    assert outcome(question.refused(registry)) == (Reason.REGISTRY_ERROR, False)
    assert registry.seen[0].headers["accept-encoding"] == "identity"


def test_o03_a_body_without_end_is_cut_at_the_limit(question: Question, registry: Hostile) -> None:
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    registry.on(TAGGED, Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 5, then="stall"))
    assert outcome(question.refused(registry)) == (Reason.LIMIT, False)
    assert len(chunk) * 5 > MANIFEST_BYTES


def test_o04_a_revoked_token_is_replaced_once(asker: Asker, registry: Hostile) -> None:
    tokens = TokenServer(registry)
    tokens.guard(REPOSITORY, "v1", BODY)
    client = asker.client(registry)
    client.manifest(REPOSITORY, "v1", within())
    tokens.valid.clear()
    assert client.manifest(REPOSITORY, "v1", within()) is not None
    assert len(tokens.issued) == 2


def test_o04_a_401_loop_ends_after_one_fresh_token(question: Question, asker: Asker, registry: Hostile) -> None:
    TokenServer(registry)
    registry.on(TAGGED, challenge(f'Bearer realm="{registry.url}/token",service="fake"'))
    assert outcome(question.refused(registry)) == (Reason.REGISTRY_UNAUTHORIZED, False)
    assert registry.paths() == [TAGGED, "/token", TAGGED]
    assert asker.slept == []


def test_o05_two_repositories_of_one_registry_have_a_token_each(asker: Asker, registry: Hostile) -> None:
    tokens = TokenServer(registry)
    tokens.guard("ns/one", "v1", BODY)
    tokens.guard("ns/two", "v1", BODY)
    client = asker.client(registry)
    for repository in ("ns/one", "ns/two", "ns/one", "ns/two"):
        assert client.manifest(repository, "v1", within()) is not None
    assert tokens.issued == ["repository:ns/one:pull", "repository:ns/two:pull"]


def test_o06_the_token_of_one_registry_is_not_shown_to_another(asker: Asker, registry: Hostile) -> None:
    tokens = TokenServer(registry)
    tokens.guard(REPOSITORY, "v1", BODY)
    with Hostile() as other:
        other.on(TAGGED, FOUND)
        registries = asker.registries(*[RegistryEntry(server.host, plain_http=True) for server in (registry, other)])
        for server in (registry, other):
            assert registries.client(server.host, named_by_operator=True).manifest(REPOSITORY, "v1", within())
        assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_o07_the_password_for_one_registry_is_not_shown_to_another_or_its_realm(
    asker: Asker, secure: Hostile, authority: Authority, scheme: str
) -> None:
    secure.on(TAGGED, challenge('Basic realm="x"'), FOUND)
    with Hostile(tls=authority.server) as other:
        other.on(TAGGED, challenge(f'{scheme} realm="{other.url}/token"'))
        entries = [RegistryEntry(server.host, authority.ca_file) for server in (secure, other)]
        registries = asker.registries(*entries, credentials=Login(secure.host))
        assert registries.client(secure.host, named_by_operator=True).manifest(REPOSITORY, "v1", within())
        with pytest.raises(UnavailableError):
            registries.client(other.host, named_by_operator=True).manifest(REPOSITORY, "v1", within())
        assert secure.seen[1].headers["authorization"] == f"Basic {BASIC}"
        assert not [seen for seen in other.seen if "authorization" in seen.headers]


@pytest.mark.parametrize(
    "realm",
    [
        "http://{host}/token",  # https registry, plain realm at the same host
        "http://{other}/token",
        "https://{other}/token",
        "https://evil.example/token",
        "https://169.254.169.254/token",
        "https://user:pw@{host}/token",
        "https://{host}/token#fragment",
        "https://{host}/token?scope=registry:catalog:*",
        "https://{host}/token?service=",
        "https://{host}\\\\@evil.example/token",
        "//{host}/token",
        "/token",
        "localhost:9999",
        "https:///token",
        "file:///etc/passwd",
    ],
)
def test_o08_a_realm_that_is_not_the_registrys_own_is_refused_and_shown_no_password(
    question: Question, secure: Hostile, realm: str
) -> None:
    with Hostile("127.0.0.2") as other:
        secure.on(TAGGED, challenge(f'Bearer realm="{realm.format(host=secure.host, other=other.host)}"'))
        error = question.refused(secure, credentials=Login(secure.host))
        assert outcome(error) == (Reason.REGISTRY_ADDRESS, False)
        assert (secure.paths(), other.connections) == ([TAGGED], 0)


def test_o09_the_realm_of_a_basic_challenge_is_a_label_and_never_a_host(question: Question, secure: Hostile) -> None:
    with Hostile() as other:
        secure.on(TAGGED, challenge(f'Basic realm="{other.host}"'), FOUND)
        assert question.found(secure, Login(secure.host))
        assert secure.seen[1].headers["authorization"] == f"Basic {BASIC}"
        assert other.connections == 0


@pytest.mark.parametrize(
    ("answer", "requests", "reason"),
    [
        (Reply(403), 1, Reason.REGISTRY_UNAUTHORIZED),
        (Reply(401), 1, Reason.REGISTRY_UNAUTHORIZED),
        (challenge("Bearer"), 1, Reason.REGISTRY_UNAUTHORIZED),
        (Reply(429, headers=(("Retry-After", "0"),)), 2, Reason.REGISTRY_LIMITED),
        (Reply(429, headers=(("Retry-After", "86400"),)), 1, Reason.REGISTRY_LIMITED),
        (Reply(500), 2, Reason.REGISTRY_ERROR),
        (Reply(503), 2, Reason.REGISTRY_ERROR),
        (Raw(), 2, Reason.REGISTRY_UNREACHABLE),
        (redirect(TAGGED), 4, Reason.REGISTRY_ERROR),
    ],
)
def test_o10_no_failure_is_asked_again_more_than_once_or_waited_for(
    question: Question, asker: Asker, registry: Hostile, answer: Scripted, requests: int, reason: Reason
) -> None:
    registry.on(TAGGED, answer)
    started = time.monotonic()
    assert question.refused(registry).reason is reason
    assert time.monotonic() - started < 1
    assert len(registry.seen) == requests
    assert sum(asker.slept) <= max(RETRY_JITTER_SECONDS)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "misbehaviour",
    [
        pytest.param(Raw(then="stall"), id="silence"),
        pytest.param(Raw(b"HTTP/1.1 200 OK\r\nX-A: ", drip=b"a"), id="dripped header"),
        pytest.param(Raw(drip=b"HTTP/1.1 100 Continue\r\n\r\n"), id="endless 100"),
        pytest.param(Raw(HEAD, then="stall"), id="stalled body"),
        pytest.param(Raw(HEAD, drip=b"a"), id="dripped body"),
        pytest.param(Raw(CHUNKED, drip=b"1\r\na\r\n"), id="dripped chunks"),
        pytest.param(Raw(CHUNKED + b"0\r\n", drip=b"X: y\r\n"), id="dripped trailer"),
    ],
)
@pytest.mark.parametrize("place", ["registry", "realm"])
def test_o11_a_stalled_or_dripping_registry_or_realm_is_left_at_the_deadline_over_http_as_over_tls(
    asker: Asker, listener: Listener, either: Hostile, misbehaviour: Raw, place: str
) -> None:
    either.on(TAGGED, misbehaviour if place == "registry" else challenge(f'Bearer realm="{either.url}/token"'))
    either.on("/token", misbehaviour)
    client = asker.client(either)
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within(BUDGET))
    listener.hear(caught.value)
    assert time.monotonic() - started < BUDGET + 0.5
    assert outcome(caught.value) == (Reason.DEADLINE, True)


@pytest.mark.parametrize(
    "location",
    [
        "http://{host}/x",  # from https to http, same host
        "http://127.0.0.2/x",
        "https://127.0.0.1:1/x",  # loopback
        "http://metadata.google.internal/computeMetadata/v1/",
        "https://169.254.169.254/latest/meta-data",
        f"https://{METADATA}/x",
        "https://[fe80::1]/x",  # link-local
        "https://[::ffff:169.254.169.254]/x",
        "https://[fd00:ec2::254]/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://2852039166/x",  # 169.254.169.254 as a number
        "https://127.1/x",
        "https://user:pw@127.0.0.2/x",
        "https://127.0.0.2@evil/x",
        "https://127.0.0.2\\@evil/x",
        "https:///x",
        "https://127.0.0.2:0/x",
        "https://127.0.0.2:99999/x",
        "https://127.0.0.2:x/x",
        "//127.0.0.1/x",
        "ftp://127.0.0.2/x",
        "file:///etc/passwd",
        "https://[::1/x",
        "https://ex\xe4mple.org/x",
        "https://a b/x",
        "https://127.0.0.2/" + "x" * 9000,
    ],
)
def test_o12_a_redirect_to_where_nobody_may_point_is_refused(
    question: Question, secure: Hostile, location: str
) -> None:
    secure.on(TAGGED, redirect(location.format(host=secure.host) + f"?sig={SIGNATURE}"))
    error = question.refused(secure, credentials=FixedToken(TOKEN))
    assert outcome(error) == (Reason.REGISTRY_ADDRESS, False)
    assert len(secure.seen) == 1


@pytest.mark.parametrize("answer", [FOUND, Reply(403), Reply(503), Raw(), Raw(b"garbage"), redirect("http://x/?y")])
def test_o12_another_host_is_asked_without_credentials_and_its_pre_signed_query_is_not_told(
    asker: Asker, listener: Listener, secure: Hostile, public: Hostile, answer: Scripted
) -> None:
    secure.on(TAGGED, redirect(f"{public.url}/storage?sig={SIGNATURE}"))
    public.on("/storage", answer)
    try:
        found = asker.client(secure, credentials=FixedToken(TOKEN)).manifest(REPOSITORY, "v1", within())
    except UnavailableError as error:
        listener.hear(error)
        assert answer is not FOUND
    else:
        assert found is not None
    assert secure.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert not [seen for seen in public.seen if "authorization" in seen.headers]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/v2/ns/app/referrers/{subject}?n=1",
        "http://{other}/v2/ns/app/referrers/{subject}?n=1",
        "//evil.example{api}?n=1",
        "/v2/ns/other/referrers/{subject}?n=1",
        "/v2/ns/app/manifests/latest?n=1",
        "{api}/../../manifests/latest?n=1",
        "{api}",
        "{api}?",
        "{api}?n=1#fragment",
        "http://user:pw@{host}{api}?n=1",
        "",
    ],
)
def test_o13_a_link_to_a_next_page_anywhere_else_is_refused(
    asker: Asker, listener: Listener, registry: Hostile, target: str
) -> None:
    api = f"/v2/{REPOSITORY}/referrers/{WANTED}"
    page = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    with Hostile() as other:
        link = target.format(subject=WANTED, api=api, host=registry.host, other=other.host)
        headers = (("Content-Type", "application/vnd.oci.image.index.v1+json"), ("Link", f'<{link}>; rel="next"'))
        registry.on(api, Reply(200, page, headers))
        with pytest.raises(UnavailableError) as caught:
            asker.client(registry).referrers(REPOSITORY, WANTED, within())
        listener.hear(caught.value)
        assert outcome(caught.value) == (Reason.REGISTRY_ERROR, False)
        assert (len(registry.seen), other.connections) == (1, 0)


def test_o14_the_environments_netrc_is_not_read(
    question: Question, secure: Hostile, public: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(f"default login alice password {PASSWORD}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    secure.on(TAGGED, redirect(f"{public.url}/x"))
    public.on("/x", FOUND)
    assert question.found(secure)
    assert not [seen for seen in (*secure.seen, *public.seen) if "authorization" in seen.headers]


def test_o15_the_environments_proxies_are_not_used(
    question: Question, either: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    either.on(TAGGED, FOUND)
    with Hostile() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert question.found(either)
        assert proxy.connections == 0


def test_o15_the_environments_ca_bundle_is_not_trusted(
    asker: Asker, secure: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(asker.authority.ca_file))
    with pytest.raises(UnavailableError, match="certificate") as caught:
        asker.registries().client(secure.host, named_by_operator=True).manifest(REPOSITORY, "v1", within())
    assert outcome(caught.value) == (Reason.REGISTRY_UNREACHABLE, False)


@pytest.mark.parametrize(
    ("repository", "tag"),
    [
        ("ns//app", "v1"),
        ("../x", "v1"),
        ("ns/app", "a:b"),
        ("ns/app", "../../x"),
        ("ns/app", "v1?x=1"),
        ("ns/app", "v1#f"),
        ("NS/app", "v1"),
        ("ns/app@evil", "v1"),
        ("ns/app", ""),
        ("", "v1"),
        ("ns/app", "v1@sha256:" + "0" * 64),
        ("ns/app:v2", "v1"),
    ],
)
def test_o16_odd_references_never_reach_the_wire(asker: Asker, registry: Hostile, repository: str, tag: str) -> None:
    with pytest.raises(MalformedError):
        asker.client(registry).manifest(repository, tag, within())
    assert registry.connections == 0


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b'{"a":1,"a":1}', b'{"manifests":[],"manifests":[]}', b"NaN"])
def test_o17_json_with_two_meanings_is_no_signature_and_no_list(
    asker: Asker, listener: Listener, registry: Hostile, body: bytes
) -> None:
    registry.on(f"/v2/{REPOSITORY}/manifests/{WANTED.tag}.sig", Reply(200, body, (("Content-Type", OCI_MANIFEST),)))
    registry.on(f"/v2/{REPOSITORY}/manifests/{WANTED.tag}", Reply(200, body))
    with gate_over(asker.registries(RegistryEntry(registry.host, plain_http=True))) as gate:
        decision = decide(gate, registry.host, WANTED)
    listener.hear(json.dumps(describe(decision)), decision)
    assert isinstance(decision.verdict, Denied)
    assert [candidate.reason for candidate in decision.candidates] == [Reason.MALFORMED] * 2


def test_o18_threads_on_two_registries_and_two_repositories_never_mix_their_tokens(
    asker: Asker, registry: Hostile
) -> None:
    with Hostile() as other:
        servers = registry, other
        tokens = [TokenServer(server) for server in servers]
        for server in tokens:
            server.guard("ns/one", "v1", BODY)
            server.guard("ns/two", "v1", BODY)
        registries = asker.registries(*[RegistryEntry(server.host, plain_http=True) for server in servers])
        together = threading.Barrier(16)

        def ask(number: int) -> bool:
            together.wait()
            client = registries.client(servers[number // 2 % 2].host, named_by_operator=True)
            return client.manifest(f"ns/{'one' if number % 2 else 'two'}", "v1", within()) is not None

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(16)))
        assert [sorted(server.issued) for server in tokens] == [
            ["repository:ns/one:pull", "repository:ns/two:pull"]
        ] * 2


@pytest.mark.parametrize(
    "answer",
    [Reply(401), Reply(403), Reply(503), Raw(), challenge('Bearer realm="http://evil.example/"'), challenge("((((")],
)
def test_no_secret_is_in_a_decision_or_its_record(
    asker: Asker, listener: Listener, secure: Hostile, authority: Authority, answer: Scripted
) -> None:
    digest, _ = published()
    secure.otherwise = answer
    registries = asker.registries(RegistryEntry(secure.host, authority.ca_file), credentials=FixedToken(TOKEN))
    with gate_over(registries) as gate:
        decision = decide(gate, secure.host, digest)
    listener.hear(json.dumps(describe(decision)), decision, gate)
    assert isinstance(decision.verdict, Unavailable)
    assert secure.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
