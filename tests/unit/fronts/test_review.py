"""One review from bytes to bytes, and the one record that is written of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.core.authorities import KeyAuthority
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.keys import parse_public_key
from gate.core.oci import Digest
from gate.core.policy import single_key_policy
from gate.core.reasons import Reason
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.fronts.review import Record, Reply, Reviewer
from gate.kube.events import Event
from gate.registry.evidence import EvidenceStore, Flights, RegistrySource
from gate.service import Gate
from tests.fakes import reviews
from tests.fakes.registry import StoreClient

SIGNER = Signer.generate()
DIGEST = Digest.of(b"the bundle")
REPOSITORY = reviews.IMAGE.partition("/")[2]


class Setup:
    def __init__(self, executor: ThreadPoolExecutor, searches: ThreadPoolExecutor) -> None:
        self.store = Store()
        self.client = StoreClient(self.store)
        self.executor, self.searches = executor, searches
        self.kept = EvidenceStore(lambda: 0.0)
        self.records: list[Record] = []
        gate = Gate(self.source, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        policy = single_key_policy(KeyAuthority("release", parse_public_key(SIGNER.public_pem)))
        self.events: list[Event] = []
        self.reviewer = Reviewer(gate, lambda: policy, self.records.append, self.events.append)

    def source(self, host: str, _named: bool) -> RegistrySource:
        # Nothing is kept from one question to the next here: every answer is the registry's.
        self.kept = EvidenceStore(lambda: 0.0)
        return RegistrySource(host, self.client, self.kept, Flights(self.searches), self.executor)

    def answer(self, body: bytes) -> Reply:
        return self.reviewer.answer(body, Deadline.after(5, lambda: 0.0))

    def response(self, review: reviews.Document) -> dict[str, Any]:
        reply = self.answer(reviews.encode(review))
        assert reply.status == 200
        response: dict[str, Any] = json.loads(reply.body)["response"]
        return response


@pytest.fixture
def setup() -> Iterator[Setup]:
    with ThreadPoolExecutor(4) as executor, ThreadPoolExecutor(1) as searches:
        yield Setup(executor, searches)


def poll(kind: str = "RootSync") -> reviews.Document:
    claim = reviews.claim(f"{reviews.IMAGE}:v1@{DIGEST}")
    return reviews.poll(reviews.sync(reviews.oci(), claim, kind=kind))


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_an_unsigned_image_is_denied_with_code_400_and_the_digest(setup: Setup, kind: str) -> None:
    response = setup.response(poll(kind))
    assert response["allowed"] is False
    assert response["status"]["code"] == 400
    assert response["status"]["message"].startswith(f"no signatures found for {reviews.IMAGE}@{DIGEST}")


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_a_signed_image_is_admitted(setup: Setup, kind: str) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    assert setup.response(poll(kind)) == {"allowed": True, "uid": "705ab4f5-6393-11e8-b7cc-42010a800002"}


def test_a_signature_that_was_copied_from_another_image_is_denied(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST, claim=Digest.of(b"good"), tag=f"{DIGEST.tag}.sig")
    message = setup.response(poll())["status"]["message"]
    assert message.startswith("untrusted: ")
    assert "wrong-digest" in message


def test_every_review_leaves_one_record_with_the_true_verdict(setup: Setup) -> None:
    setup.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
    told = setup.response(poll("RepoSync"))["status"]["message"]
    (record,) = setup.records
    assert told.startswith("no signatures found")
    (decision,) = record["decisions"]  # type: ignore[misc]  # it is a list of one
    assert decision["reason"] == "registry-unauthorized"  # type: ignore[index, call-overload]  # and that an object
    assert {record[name] for name in ("kind", "name", "namespace", "operation")} == {
        "RepoSync",
        "repo-sync",
        "team-a",
        "UPDATE",
    }
    assert record["allowed"] is False
    json.dumps(record)


def test_a_tenant_cannot_tell_a_repository_that_is_forbidden_from_one_without_signatures(setup: Setup) -> None:
    absent = setup.response(poll("RepoSync"))
    setup.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
    assert setup.response(poll("RepoSync")) == absent


def test_a_denial_is_told_to_who_writes_events_and_a_dry_run_or_an_admission_is_not(setup: Setup) -> None:
    message = setup.response(poll())["status"]["message"]
    (event,) = setup.events
    assert (event.name, event.message) == ("root-sync", message)
    dry = poll()
    dry["request"]["dryRun"] = True
    assert setup.response(dry)["allowed"] is False
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    assert setup.response(poll())["allowed"] is True
    assert len(setup.events) == 1


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.INTERNAL])
def test_a_refusal_that_has_nothing_to_do_with_the_image_is_told_to_who_writes_events(
    setup: Setup, reason: Reason
) -> None:
    setup.reviewer.refuse(reviews.encode(poll()), reason, f"{reason}: later")
    (event,) = setup.events
    assert (event.reason, event.name, event.message) == ("SyncDenied", "root-sync", f"{reason}: later")
    dry = poll()
    dry["request"]["dryRun"] = True
    setup.reviewer.refuse(reviews.encode(dry), reason, f"{reason}: later")
    assert len(setup.events) == 1


def test_an_event_tells_a_tenant_no_more_than_the_answer(setup: Setup) -> None:
    setup.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
    setup.response(poll("RepoSync"))
    (event,) = setup.events
    assert event.message.startswith("no signatures found")
    assert "403" not in event.message


def test_what_is_exempt_asks_no_registry(setup: Setup) -> None:
    assert setup.response(reviews.review(reviews.sync(reviews.git())))["allowed"] is True
    assert setup.client.requests == []
    assert setup.records[0]["reason"] == "git"


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"request":{}}', b'{"request":{"uid":1}}', b"\xff"])
def test_a_review_without_a_readable_uid_is_http_400_with_one_sentence(setup: Setup, body: bytes) -> None:
    reply = setup.answer(body)
    assert reply.status == 400
    assert reply.body.startswith(b"malformed: ")
    assert reply.body.count(b"\n") == 1
    assert len(setup.records) == 1


def test_a_malformed_review_with_a_uid_is_denied(setup: Setup) -> None:
    broken = poll()
    broken["request"]["object"] = 7
    response = setup.response(broken)
    assert response["allowed"] is False
    assert response["status"]["message"].startswith("malformed: ")


def test_a_refusal_keeps_the_uid_and_the_version(setup: Setup) -> None:
    body = reviews.encode(reviews.poll(reviews.sync(reviews.oci()), api_version="admission.k8s.io/v1beta1"))
    reply = json.loads(setup.reviewer.refuse(body, Reason.BUSY, "busy: later").body)
    assert reply["apiVersion"] == "admission.k8s.io/v1beta1"
    assert reply["response"]["status"]["message"] == "busy: later"
    assert reply["response"]["allowed"] is False
    assert setup.records[0]["reason"] == "busy"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_change_of_a_review_raises_or_admits_an_unsigned_poll(setup: Setup, data: st.DataObject) -> None:
    """Put any JSON value at any place below the request: it is answered, and never admitted as a poll of the image."""
    document = poll()
    junk = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=3), x), max_leaves=4)  # fmt: skip  # noqa: E501
    node = document["request"]
    for _ in range(data.draw(st.integers(0, 4))):
        nested = [name for name, value in node.items() if isinstance(value, dict)]
        if not nested:
            break
        node = node[data.draw(st.sampled_from(nested))]
    if node:
        node[data.draw(st.sampled_from(sorted(node)))] = data.draw(junk)
    reply = setup.answer(reviews.encode(document))
    assert reply.status in {200, 400}
    if reply.status == 200 and json.loads(reply.body)["response"]["allowed"]:
        assert setup.records[-1]["reason"] in {"unchanged", "status", "delete", "claim-removed", "no-digest-yet", "git"}
