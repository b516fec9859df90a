"""Evidence over real connections: asked for once, kept when the registry is gone, and a dead registry left alone."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from gate.core.authorities import KeyAuthority
from gate.core.errors import UnavailableError
from gate.core.keys import parse_public_key
from gate.core.oci import Digest
from gate.core.policy import OnUnavailable, single_key_policy
from gate.core.reasons import Reason
from gate.core.verdict import Exempt, Unavailable, Verified
from gate.demo.signer import Signer
from gate.fronts.review import Record, Reviewer
from gate.registry.breaker import FAILURES, OPEN_SECONDS
from gate.registry.client import RegistryClient
from gate.registry.entries import RegistryEntry
from gate.registry.transport import POOL
from tests.fakes.hostile import Authority, Hostile, Raw, Reply, Seen, challenge, redirect
from tests.fakes.reviews import claim, encode, oci, poll, sync
from tests.integration.registry.conftest import REPOSITORY, Asker, described, within
from tests.integration.registry.scene import POLICY, decide, gate_over, published
from tests.integration.registry.tokens import TokenServer

THREADS = 64
ANOTHER = Digest.of(b"another image")
OPEN_POLICY = replace(POLICY, rules=tuple(replace(rule, on_unavailable=OnUnavailable.ALLOW) for rule in POLICY.rules))
TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
OTHER_TAGGED = "/v2/ns/other/manifests/v1"
FOUND = Reply(200, b"{}")


def entry(server: Hostile, authority: Authority | None = None) -> RegistryEntry:
    return RegistryEntry(server.host, None if authority is None else authority.ca_file, plain_http=server.tls is None)


@pytest.mark.parametrize("referrers_api", [True, False])
def test_64_threads_cold_on_one_digest_make_one_token_request_and_fetch_each_document_once(
    asker: Asker, secure: Hostile, authority: Authority, referrers_api: bool
) -> None:
    digest, answer = published(referrers_api=referrers_api)
    tokens = TokenServer(secure)
    secure.otherwise = tokens.guarded(REPOSITORY, answer)
    together = threading.Barrier(THREADS)
    with gate_over(asker.registries(entry(secure, authority))) as gate, ThreadPoolExecutor(THREADS) as pool:

        def ask(_: int) -> bool:
            together.wait()
            return isinstance(decide(gate, secure.host, digest).verdict, Verified)

        assert all(pool.map(ask, range(THREADS)))
    assert tokens.issued == [f"repository:{REPOSITORY}:pull"]
    answered = [seen.path for seen in secure.seen if "authorization" in seen.headers]
    assert max(Counter(answered).values()) == 1
    assert len([path for path in answered if "/blobs/" in path]) == 2  # a payload and a bundle
    refused = [seen.path for seen in secure.seen if "authorization" not in seen.headers and seen.path != "/token"]
    assert len(refused) <= 3  # the three places where signatures lie are asked at once, before a realm is known


def asked_by_review(host: str, digest: Digest) -> bytes:
    image = f"{host}/{REPOSITORY}:v1"
    return encode(poll(sync(oci(image), claim(f"{image}@{digest}"))))


def test_what_is_proved_stays_admitted_when_the_registry_is_gone_and_the_record_says_how(
    asker: Asker, authority: Authority
) -> None:
    digest, answer = published()
    records: list[Record] = []
    with Hostile(tls=authority.server, otherwise=answer) as registry:
        host = registry.host
        with gate_over(asker.registries(entry(registry, authority))) as gate:
            reviewer = Reviewer(gate, lambda: POLICY, records.append)
            reviewer.answer(asked_by_review(host, digest), within(8))
            registry.__exit__()
            reviewer.answer(asked_by_review(host, digest), within(8))
            reviewer.answer(asked_by_review(host, ANOTHER), within(8))
    written = json.loads(json.dumps(records))
    assert [record["allowed"] for record in written] == [True, True, False]
    assert [record["decisions"][0]["evidence"] for record in written] == ["asked", "kept", "asked"]
    assert written[-1]["reason"] == str(Reason.REGISTRY_UNREACHABLE)


def test_a_revoked_key_counts_no_more_although_its_evidence_is_kept_and_the_registry_is_gone(
    asker: Asker, authority: Authority
) -> None:
    digest, answer = published()
    other = single_key_policy(KeyAuthority("new", parse_public_key(Signer.generate().public_pem)))
    with (
        Hostile(tls=authority.server, otherwise=answer) as registry,
        gate_over(asker.registries(entry(registry, authority))) as gate,
    ):
        host = registry.host
        assert decide(gate, host, digest).admits
        registry.__exit__()
        assert not decide(gate, host, digest, other).admits
        assert decide(gate, host, digest).kept


def test_kept_evidence_does_not_care_that_the_list_of_registries_changes(
    asker: Asker, authority: Authority, secure: Hostile
) -> None:
    digest, secure.otherwise = published()
    registries = asker.registries(entry(secure, authority))
    with gate_over(registries) as gate:
        assert decide(gate, secure.host, digest).admits
        registries.update([replace(entry(secure, authority), allow_private=True)])
        asked = len(secure.seen)
        assert decide(gate, secure.host, digest).kept
        assert len(secure.seen) == asked


def test_a_dead_registry_is_answered_for_without_waiting(asker: Asker) -> None:
    with Hostile() as registry:
        host = registry.host
    with gate_over(asker.registries(RegistryEntry(host, plain_http=True))) as gate:
        first = decide(gate, host, ANOTHER).verdict
        asker.slept.clear()
        verdicts = {decide(gate, host, ANOTHER).verdict for _ in range(20)}
    assert isinstance(first, Unavailable)
    assert (first.reason, first.outage) == (Reason.REGISTRY_UNREACHABLE, True)
    assert verdicts == {first}
    assert asker.slept == []  # nobody waits to try again


def test_a_dead_registry_is_admitted_by_a_rule_that_fails_open_as_before(asker: Asker) -> None:
    with Hostile() as registry:
        host = registry.host
    with gate_over(asker.registries(RegistryEntry(host, plain_http=True))) as gate:
        verdicts = [decide(gate, host, ANOTHER, OPEN_POLICY).verdict for _ in range(3)]
    assert all(isinstance(verdict, Exempt) and verdict.reason is Reason.FAILED_OPEN for verdict in verdicts)
    assert len(set(verdicts)) == 1


def test_a_registry_that_refuses_gate_never_becomes_an_outage_however_much_of_it_is_broken(
    asker: Asker, registry: Hostile
) -> None:
    refuses, breaks = Reply(401, b"", (("WWW-Authenticate", "Negotiate"),)), Reply(503)
    registry.otherwise = lambda seen: breaks if "/referrers/" in seen.path else refuses
    with gate_over(asker.registries(entry(registry))) as gate:
        for number in range(FAILURES * 3):
            verdict = decide(gate, registry.host, Digest.of(b"%d" % number), OPEN_POLICY).verdict
            assert isinstance(verdict, Unavailable)
            assert (verdict.reason, verdict.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)


@dataclass(frozen=True, slots=True)
class Question:
    """A question to one client, and what comes of it."""

    client: RegistryClient

    def ask(self, repository: str = REPOSITORY, tag: str = "v1") -> tuple[Reason, str, bool] | None:
        try:
            self.client.manifest(repository, tag, within())
        except UnavailableError as error:
            return error.reason, error.message, error.outage
        return None


STORAGE = "127.0.0.9"  # nobody listens there


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Reply(503), True),
        (Reply(429), True),
        (Raw(), True),
        (Raw(then="reset"), True),
        (Reply(401), False),
        (Reply(403), False),
        (Reply(404), False),
        (Reply(418), False),
        (redirect("http://evil.example/"), False),
        (Raw(b"garbage\r\n\r\n"), False),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), False),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), False),
    ],
)
def test_outages_alone_open_a_circuit_and_are_answered_word_for_word(
    asker: Asker, registry: Hostile, answer: Reply | Raw, counts: bool
) -> None:
    registry.on(TAGGED, answer)
    registry.on(OTHER_TAGGED, FOUND)
    question = Question(asker.client(registry))
    told = {question.ask() for _ in range(4)}
    assert len(told) == 1
    asked = len(registry.seen)
    assert told == {question.ask()}
    assert (len(registry.seen) == asked) is counts
    assert question.ask("ns/other") is None  # another repository is not hidden


def test_a_circuit_closes_when_the_registry_has_recovered(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, *[Reply(503)] * 4, FOUND)
    question = Question(asker.client(registry))
    assert [question.ask(), question.ask()] != [None, None]
    assert question.ask() is not None
    asker.now += OPEN_SECONDS
    assert question.ask() is None
    assert question.ask() is None


def test_a_dead_token_realm_does_not_hide_other_repositories(asker: Asker, registry: Hostile) -> None:
    with Hostile() as realm:
        dead = realm.url
    registry.on(TAGGED, challenge(f'Bearer realm="{dead}/token"'))
    registry.on(OTHER_TAGGED, FOUND)
    assert Question(asker.client(registry)).ask("ns/other") is None
    question = Question(asker.client(registry))
    told = {question.ask() for _ in range(3)}
    assert [outage for _, _, outage in filter(None, told)] == [True]
    asked = len(registry.seen)
    question.ask()
    assert len(registry.seen) == asked


def test_a_handshake_that_never_ends_counts_for_the_whole_host(
    asker: Asker, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.registry.sockets.SILENCE_SECONDS", 0.05)
    with Hostile(tls=authority.server, stalls_handshake=True) as server:
        question = Question(asker.client(server))
        told = {question.ask(), question.ask()}
        connections = server.connections
        assert told == {question.ask("ns/other")}
        assert server.connections == connections


def test_whoever_pushes_slow_blobs_opens_no_circuit(
    asker: Asker, registry: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.registry.sockets.SILENCE_SECONDS", 0.02)
    client = asker.client(registry)
    registry.otherwise = Raw(then="stall")
    registry.on(TAGGED, FOUND)
    for number in range(FAILURES):
        with pytest.raises(UnavailableError):
            client.blob(REPOSITORY, described(b"%d" % number), 100, within())
    assert Question(client).ask() is None


def test_32_requests_to_one_host_are_in_flight_and_the_next_one_waits(asker: Asker, registry: Hostile) -> None:
    free, lock = threading.Event(), threading.Lock()
    now_and_most = [0, 0]

    def answer(_: Seen) -> Reply:
        with lock:
            now_and_most[0] += 1
            now_and_most[1] = max(now_and_most)
        free.wait(5)
        with lock:
            now_and_most[0] -= 1
        return FOUND

    registry.on(TAGGED, answer)
    question = Question(asker.client(registry))
    with ThreadPoolExecutor(POOL + 8) as pool:
        asked = [pool.submit(question.ask) for _ in range(POOL + 8)]
        while now_and_most[1] < POOL:
            time.sleep(0.005)
        time.sleep(0.05)  # for a thirty-third to arrive, if one did
        free.set()
        assert [each.result() for each in asked] == [None] * (POOL + 8)
    assert now_and_most[1] == POOL == 32
