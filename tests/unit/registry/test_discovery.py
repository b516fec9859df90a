"""Discovery: three places, each candidate alone, and limits that spam cannot turn against a good signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import pytest

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate, UntrustedSignature
from gate.demo import layouts
from gate.demo.signer import Signer, list_in_fallback
from gate.demo.store import Store
from gate.registry.discovery import Discovery
from gate.registry.referrers import Listed
from tests.fakes.looks import Looks
from tests.fakes.registry import StoreClient

P = ParamSpec("P")
T = TypeVar("T")
REPOSITORY = "acme/config"
DIGEST = Digest.of(b"the image")
SIGNER = Signer.generate()
OUTAGE = UnavailableError(Reason.REGISTRY_ERROR, "the registry answered 503", outage=True)


@dataclass
class Setup:
    executor: ThreadPoolExecutor
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.client = StoreClient(self.store)

    def evidence(self) -> Evidence:
        return Discovery(self.client, REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0), self.executor).run()


@pytest.fixture
def setup() -> Iterator[Setup]:
    with ThreadPoolExecutor(8) as executor:
        yield Setup(executor)


def signatures(evidence: Evidence) -> list[tuple[str, str]]:
    return [(item.format, item.location) for item in evidence.candidates if isinstance(item, UntrustedSignature)]


def refusals(evidence: Evidence) -> list[Reason]:
    return [item.reason for item in evidence.candidates if isinstance(item, RefusedCandidate)]


def reasons(evidence: Evidence) -> list[Reason]:
    return [error.reason for error in evidence.unreadable]


def test_an_image_without_signatures_has_no_evidence_and_no_problems(setup: Setup) -> None:
    assert setup.evidence() == Evidence()


def test_all_three_places_are_searched_together(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    listed = SIGNER.sign_referrer(setup.store, REPOSITORY, DIGEST, subject=Digest.of(b"elsewhere"))
    list_in_fallback(setup.store, REPOSITORY, DIGEST, listed)
    found = signatures(setup.evidence())
    assert [form for form, _ in found] == ["simplesigning", "simplesigning", "bundle"] or len(found) == 3
    assert found[0] == ("simplesigning", f"tag {DIGEST.tag}.sig layer 0")
    assert {form for form, _ in found} == {"simplesigning", "bundle"}


def test_a_registry_without_the_api_is_searched_by_the_fallback_tag(setup: Setup) -> None:
    setup.store.referrers_api = False
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    assert [form for form, _ in signatures(setup.evidence())] == ["bundle"]


def test_the_fallback_tag_is_asked_without_waiting_for_the_api(setup: Setup) -> None:
    setup.evidence()
    assert sorted(path.rpartition("/")[2] for path in setup.client.requests) == sorted(
        [f"{DIGEST.tag}.sig", str(DIGEST), DIGEST.tag]
    )


@pytest.mark.parametrize("broken", ["*/manifests/sha256-*.sig", "*/referrers/*", f"*/manifests/{DIGEST.tag}"])
def test_what_one_place_proves_stands_when_another_does_not_answer(setup: Setup, broken: str) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    setup.client.fail(broken, OUTAGE)
    evidence = setup.evidence()
    assert signatures(evidence)
    assert evidence.unreadable == (OUTAGE,)


def test_a_place_that_cannot_be_read_is_never_taken_for_an_empty_one(setup: Setup) -> None:
    setup.client.fail("*/referrers/*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "403"))
    assert reasons(setup.evidence()) == [Reason.REGISTRY_UNAUTHORIZED]


def test_a_payload_that_cannot_be_fetched_is_a_problem_and_no_candidate(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    setup.client.fail("*/blobs/*", OUTAGE)
    evidence = setup.evidence()
    assert (evidence.candidates, reasons(evidence)) == ((), [OUTAGE.reason])


def test_a_manifest_that_does_not_parse_is_a_refused_candidate_beside_the_good_one(setup: Setup) -> None:
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    setup.store.push_manifest(REPOSITORY, b"{", tag=f"{DIGEST.tag}.sig")
    evidence = setup.evidence()
    assert (len(signatures(evidence)), refusals(evidence)) == (1, [Reason.MALFORMED])


def test_an_index_under_the_signature_tag_is_a_refused_candidate(setup: Setup) -> None:
    setup.store.push_manifest(REPOSITORY, layouts.index([]), OCI_INDEX, tag=f"{DIGEST.tag}.sig")
    assert refusals(setup.evidence()) == [Reason.MALFORMED]


def test_an_image_under_the_fallback_tag_is_a_refused_candidate(setup: Setup) -> None:
    signed = SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    setup.store.tag(REPOSITORY, DIGEST.tag, signed)
    evidence = setup.evidence()
    assert (len(signatures(evidence)), refusals(evidence)) == (1, [Reason.MALFORMED])


def test_a_referrer_that_is_no_signature_is_not_a_candidate(setup: Setup) -> None:
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, layer={"mediaType": "application/spdx+json"})
    assert setup.evidence() == Evidence()


def test_an_index_that_refers_to_the_image_is_not_a_candidate(setup: Setup) -> None:
    subject = layouts.descriptor_fields(Descriptor(OCI_MANIFEST, DIGEST, 1))
    index = json.loads(layouts.index([])) | {"subject": subject}
    setup.store.push_manifest(REPOSITORY, json.dumps(index).encode(), OCI_INDEX)
    assert setup.client.referrers_api(REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0)) != Listed()
    assert setup.evidence() == Evidence()


def test_a_referrer_is_classified_by_its_own_manifest_not_by_the_list(setup: Setup) -> None:
    # cosign writes the config's media type as the artifact type of the fallback index.
    setup.store.referrers_api = False
    pushed = SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, fallback=False)
    raw, media_type = setup.store.manifest(REPOSITORY, pushed) or (b"", "")
    entry = Descriptor(media_type, pushed, len(raw), artifact_type="application/spdx+json")
    index = layouts.index([layouts.descriptor_fields(entry)])
    setup.store.push_manifest(REPOSITORY, index, OCI_INDEX, tag=DIGEST.tag)
    assert len(signatures(setup.evidence())) == 1


def test_a_list_that_names_what_was_deleted_is_no_problem(setup: Setup) -> None:
    setup.store.referrers_api = False
    pushed = SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    setup.store.delete_manifest(REPOSITORY, pushed)
    assert setup.evidence() == Evidence()


def test_a_wrong_size_in_the_fallback_index_does_not_hide_the_good_entry(setup: Setup) -> None:
    pushed = SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    raw, media_type = setup.store.manifest(REPOSITORY, pushed) or (b"", "")
    lie = layouts.descriptor_fields(Descriptor(media_type, pushed, len(raw) + 1))
    setup.store.push_manifest(REPOSITORY, layouts.index([lie]), OCI_INDEX, tag=DIGEST.tag)
    evidence = setup.evidence()
    assert (len(signatures(evidence)), refusals(evidence)) == (1, [Reason.MALFORMED])


def test_a_wrong_size_of_a_payload_in_one_manifest_does_not_hide_the_good_one(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    SIGNER.sign_referrer(setup.store, REPOSITORY, DIGEST, layer={"size": 1})
    evidence = setup.evidence()
    assert ("simplesigning", f"tag {DIGEST.tag}.sig layer 0") in signatures(evidence)
    assert reasons(evidence) == [Reason.REGISTRY_ERROR]


def test_above_64_referrers_the_rest_is_a_problem_and_what_was_found_stands(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    for number in range(limits.CANDIDATES + 1):
        SIGNER.sign_bundle(
            setup.store, REPOSITORY, DIGEST, document=b"{}", manifest={"annotations": {"n": str(number)}}
        )
    evidence = setup.evidence()
    assert len(signatures(evidence)) == 1
    assert len(refusals(evidence)) == limits.CANDIDATES
    assert sum("/manifests/sha256:" in path for path in setup.client.requests) == limits.CANDIDATES
    assert reasons(evidence) == [Reason.LIMIT]


def test_large_referrers_do_not_use_up_the_bytes_before_a_small_signature(setup: Setup) -> None:
    for number in range(6):
        padding = {"annotations": {"n": str(number)}, "padding": "x" * (3 * limits.MIB)}
        SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, document=b"{}", manifest=padding)
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    evidence = setup.evidence()
    assert len(signatures(evidence)) == 1
    assert Reason.LIMIT in reasons(evidence)


def push_padded(setup: Setup, *sizes: int) -> None:
    """Push a referrer of about each size, which has no signature to speak of."""
    for number, size in enumerate(sizes):
        padding = {"annotations": {"n": str(number)}, "padding": "x" * size}
        SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, document=b"{}", manifest=padding)


def test_what_a_list_takes_is_part_of_the_16_mib(setup: Setup) -> None:
    setup.store.referrers_api = False
    push_padded(setup, *[3 * limits.MIB] * 4, limits.MIB * 7 // 2)
    assert reasons(setup.evidence()) == []
    raw, media_type = setup.store.manifest(REPOSITORY, DIGEST.tag) or (b"", "")
    setup.store.push_manifest(REPOSITORY, raw + b" " * limits.MIB, media_type, tag=DIGEST.tag)
    assert reasons(setup.evidence()) == [Reason.LIMIT]


def test_what_small_manifests_take_is_part_of_the_16_mib(setup: Setup) -> None:
    push_padded(setup, *[3 * limits.MIB] * 4, limits.MIB * 7 // 2, 400_000)
    assert reasons(setup.evidence()) == []
    push_padded(setup, 200_000)
    assert reasons(setup.evidence()) == [Reason.LIMIT]


def test_more_than_64_large_referrers_do_not_hide_a_small_signature_that_is_listed_after_them(setup: Setup) -> None:
    push_padded(setup, *[2000] * (limits.CANDIDATES + 36))
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    evidence = setup.evidence()
    assert (len(signatures(evidence)), reasons(evidence)) == (1, [Reason.LIMIT])


@pytest.mark.parametrize(("size", "problems"), [(3 * limits.MIB, []), (4 * limits.MIB - 5000, [Reason.LIMIT])])
def test_what_the_tag_takes_is_part_of_the_16_mib(setup: Setup, size: int, problems: list[Reason]) -> None:
    push_padded(setup, *[3 * limits.MIB] * 3, 3 * limits.MIB - 20_000)
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST, payload=b" " * 60_000, manifest={"padding": "x" * size})
    assert reasons(setup.evidence()) == problems


def test_annotations_that_are_too_large_are_a_limit_and_not_a_bad_candidate(setup: Setup) -> None:
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST, annotations={"x": "y" * limits.ANNOTATIONS_BYTES})
    evidence = setup.evidence()
    assert (len(signatures(evidence)), refusals(evidence), reasons(evidence)) == (1, [], [Reason.LIMIT])


def test_more_signatures_in_one_manifest_than_the_limit_are_a_problem(setup: Setup) -> None:
    for _ in range(limits.SIGNATURE_LAYERS + 1):
        SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    evidence = setup.evidence()
    assert (len(signatures(evidence)), reasons(evidence)) == (limits.SIGNATURE_LAYERS, [Reason.LIMIT])


def test_a_payload_that_is_too_large_does_not_hide_the_good_one_beside_it(setup: Setup) -> None:
    Signer.generate().sign_tag(setup.store, REPOSITORY, DIGEST, payload=b"x" * (limits.SIMPLESIGNING_BYTES + 1))
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    evidence = setup.evidence()
    assert (len(signatures(evidence)), reasons(evidence)) == (1, [Reason.LIMIT])


def test_no_more_than_256_candidates_are_judged_and_those_of_the_tag_come_first(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    referring = SIGNER.sign_referrer(setup.store, REPOSITORY, DIGEST)
    raw, _ = setup.store.manifest(REPOSITORY, referring) or (b"", "")
    setup.store.delete_manifest(REPOSITORY, referring)
    for number in range(5):
        many = json.loads(raw)
        many |= {"layers": many["layers"] * limits.SIGNATURE_LAYERS, "annotations": {"n": str(number)}}
        setup.store.push_manifest(REPOSITORY, json.dumps(many).encode())
    evidence = setup.evidence()
    assert (len(evidence.candidates), reasons(evidence)) == (limits.CANDIDATES_READ, [Reason.LIMIT])
    assert signatures(evidence)[0] == ("simplesigning", f"tag {DIGEST.tag}.sig layer 0")


def test_the_same_payload_signed_by_two_keys_is_fetched_once_and_gives_two_candidates(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    Signer.generate().sign_tag(setup.store, REPOSITORY, DIGEST)
    assert len(signatures(setup.evidence())) == 2
    assert sum("/blobs/" in path for path in setup.client.requests) == 1


def test_what_waited_for_a_thread_until_the_deadline_is_no_outage(setup: Setup) -> None:
    deadline = Deadline(at=0.0, clock=lambda: 0.0)
    evidence = Discovery(setup.client, REPOSITORY, DIGEST, deadline, setup.executor).run()
    assert [(error.reason, error.outage) for error in evidence.unreadable] == [(Reason.BUSY, False)] * 3
    assert setup.client.requests == []


class Silent(Executor):
    """Never gets to what it is given."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return Future()


def test_what_does_not_answer_in_time_is_unknown_and_no_outage(setup: Setup) -> None:
    evidence = Discovery(setup.client, REPOSITORY, DIGEST, Deadline(5.0, lambda: 9.0), Silent()).run()
    assert not evidence.candidates
    assert [(error.reason, error.message, error.outage) for error in evidence.unreadable] == [
        (Reason.DEADLINE, "the deadline passed before everything was read", False)
    ]


def test_what_there_is_no_time_to_read_is_unknown_and_what_was_read_before_stands(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    for _ in range(2):
        Signer.generate().sign_bundle(setup.store, REPOSITORY, DIGEST)

    def search(clock: Looks) -> Evidence:
        return Discovery(setup.client, REPOSITORY, DIGEST, Deadline(5.0, clock), setup.executor).run()

    looks = Looks()
    everything = search(looks)
    assert (len(signatures(everything)), reasons(everything)) == (3, [])
    for read in range(3):  # the clock is looked at last before each of the three is read
        evidence = search(Looks(looks.count - 3 + read))
        assert signatures(evidence) == signatures(everything)[:read]
        assert [(error.reason, error.outage) for error in evidence.unreadable] == [(Reason.DEADLINE, False)]


class Hanging(StoreClient):
    """Has a blob that does not come before the deadline, which is when the search gives up on it."""

    time = 0.0
    blob_digest: Digest | None = None

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        if descriptor.digest == self.blob_digest:
            self.time = 7.0
            raise UnavailableError(Reason.DEADLINE, "it took too long", outage=True)
        return super().blob(repository, descriptor, limit, deadline)


def test_a_blob_that_hangs_until_the_deadline_keeps_no_other_signature_from_being_read(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    pushed = SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    raw, _ = setup.store.manifest(REPOSITORY, pushed) or (b"", "")
    client = Hanging(setup.store)
    client.blob_digest = Digest.parse(json.loads(raw)["layers"][0]["digest"])
    with ThreadPoolExecutor(1) as executor:  # one after the other, so that the good one has come when time jumps
        deadline = Deadline(5.0, lambda: client.time)
        evidence = Discovery(client, REPOSITORY, DIGEST, deadline, executor).run()
    assert signatures(evidence) == [("simplesigning", f"tag {DIGEST.tag}.sig layer 0")]
    assert [(error.reason, error.outage) for error in evidence.unreadable] == [(Reason.DEADLINE, False)]


def test_a_list_that_gives_a_manifest_a_smaller_size_does_not_make_gate_read_it(setup: Setup) -> None:
    setup.store.referrers_api = False
    pushed = SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, manifest={"padding": "x" * limits.MIB})
    lie = layouts.descriptor_fields(Descriptor(OCI_MANIFEST, pushed, 1))
    setup.store.push_manifest(REPOSITORY, layouts.index([lie]), OCI_INDEX, tag=DIGEST.tag)
    evidence = setup.evidence()
    assert (evidence.candidates, reasons(evidence)) == ((), [Reason.LIMIT])


def test_many_layers_that_share_one_large_payload_count_each(setup: Setup) -> None:
    payload = b" " * limits.SIMPLESIGNING_BYTES
    referring = SIGNER.sign_referrer(setup.store, REPOSITORY, DIGEST, payload=payload)
    raw, _ = setup.store.manifest(REPOSITORY, referring) or (b"", "")
    setup.store.delete_manifest(REPOSITORY, referring)
    for number in range(5):
        many = json.loads(raw)
        many |= {"layers": many["layers"] * limits.SIGNATURE_LAYERS, "annotations": {"n": str(number)}}
        setup.store.push_manifest(REPOSITORY, json.dumps(many).encode())
    evidence = setup.evidence()
    assert len(evidence.candidates) <= limits.EVIDENCE_BYTES // limits.SIMPLESIGNING_BYTES
    assert Reason.LIMIT in reasons(evidence)


def test_evidence_comes_in_the_same_order_every_time(setup: Setup) -> None:
    for _ in range(5):
        SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
        Signer.generate().sign_tag(setup.store, REPOSITORY, DIGEST)
    assert len({tuple(signatures(setup.evidence())) for _ in range(10)}) == 1


@pytest.mark.parametrize("reason", [Reason.DEADLINE, Reason.REGISTRY_LIMITED, Reason.REGISTRY_ERROR])
def test_what_keeps_from_reading_what_somebody_pushed_is_no_outage(setup: Setup, reason: Reason) -> None:
    SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST)
    for path, outage in (("*/blobs/*", False), ("*/manifests/sha256:*", False), ("*/referrers/*", True)):
        setup.client.fail(path, UnavailableError(reason, "it was not read", outage=True))
        assert [(error.reason, error.outage) for error in setup.evidence().unreadable] == [(reason, outage)]
        setup.client.recover()
