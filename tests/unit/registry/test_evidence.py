"""What is kept, for how long, and who shares a search."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.formats.simplesigning import LAYER_TYPE
from gate.core.limits import MIB
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.platforms import Listing
from gate.core.reasons import Reason
from gate.core.signature import Claim, Evidence, RefusedCandidate, UntrustedSignature
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.registry.evidence import EvidenceStore, Flights, Kept, RegistrySource
from gate.registry.listings import KeptListing, ListingStore
from gate.registry.referrers import Listed
from gate.registry.room import HOST_BYTES
from tests.fakes.registry import StoreClient

HOST, REPOSITORY = "registry.example", "acme/config"
DIGEST = Digest.of(b"the image")
SIGNER = Signer.generate()
OUTAGE = UnavailableError(Reason.REGISTRY_ERROR, "the registry answered 503", outage=True)


class Setup:
    def __init__(self, searches: ThreadPoolExecutor, requests: ThreadPoolExecutor) -> None:
        self.store = Store()
        self.client = StoreClient(self.store)
        self.time = 0.0
        self.kept = EvidenceStore(lambda: self.time)
        self.source = RegistrySource(HOST, self.client, self.kept, Flights(searches), requests)

    def ask(self, digest: Digest = DIGEST, seconds: float = 5.0) -> Evidence:
        return self.source.evidence(REPOSITORY, digest, Deadline.after(seconds, lambda: self.time))


@pytest.fixture
def setup() -> Iterator[Setup]:
    with ThreadPoolExecutor(8) as requests, ThreadPoolExecutor(4) as searches:
        yield Setup(searches, requests)


def entry(number: int, size: int = 0) -> tuple[tuple[str, str, Digest], Kept]:
    signature = UntrustedSignature("f", "l", b"x" * size, b"", Claim(()))
    return (HOST, REPOSITORY, Digest.of(str(number).encode())), Kept(Evidence((signature,)), 0.0)


def test_none_found_is_believed_for_five_seconds(setup: Setup) -> None:
    assert setup.ask() == Evidence()
    asked = len(setup.client.requests)
    setup.time = 4.9
    setup.ask()
    assert len(setup.client.requests) == asked
    setup.time = 5.0
    setup.ask()
    assert len(setup.client.requests) == 2 * asked


def test_what_is_known_costs_no_request(setup: Setup) -> None:
    assert setup.source.known(REPOSITORY, DIGEST) is None
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    found = setup.ask()
    asked = len(setup.client.requests)
    setup.time = 1e6
    assert setup.source.known(REPOSITORY, DIGEST) == found
    assert len(setup.client.requests) == asked


def test_evidence_of_one_repository_is_not_that_of_another(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    setup.ask()
    assert setup.source.known("acme/other", DIGEST) is None


def test_a_failure_is_never_kept(setup: Setup) -> None:
    setup.client.fail("*", OUTAGE)
    assert setup.ask().unreadable
    assert setup.source.known(REPOSITORY, DIGEST) is None
    setup.client.recover()
    assert setup.ask() == Evidence()


def test_what_a_failed_search_found_is_kept_without_its_failures_and_searched_again_at_once(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    setup.client.fail("*/referrers/*", OUTAGE)
    assert setup.ask().unreadable == (OUTAGE,)
    known = setup.source.known(REPOSITORY, DIGEST)
    assert known is not None
    assert (len(known.candidates), known.unreadable) == (1, ())
    setup.client.recover()
    assert setup.ask().unreadable == ()


def test_that_more_is_stored_than_is_read_is_believed_for_five_seconds(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    for number in range(65):
        config = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
        subject = {"mediaType": OCI_MANIFEST, "digest": str(DIGEST), "size": 1}
        raw = layouts.image(config, [], subject=subject, annotations={"number": str(number)})
        setup.store.push_manifest(REPOSITORY, raw)
    found = setup.ask()
    assert ([error.reason for error in found.unreadable], len(found.candidates)) == ([Reason.LIMIT], 1)
    asked = len(setup.client.requests)
    setup.time = 4.9
    again, known = setup.ask(), setup.source.known(REPOSITORY, DIGEST)
    assert again == known
    assert again.candidates == found.candidates
    assert [(error.reason, error.message, error.outage) for error in again.unreadable] == [
        (Reason.LIMIT, "65 referrers are listed, more than 64", False)
    ]
    assert len(setup.client.requests) == asked
    setup.time = 5.0
    assert setup.ask().candidates == found.candidates
    assert len(setup.client.requests) == 2 * asked


def test_what_is_kept_of_a_limit_keeps_nothing_of_what_was_read(setup: Setup) -> None:
    config = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
    raw = layouts.image(config, [], annotations={"x": "y" * 300_000})
    setup.store.push_manifest(REPOSITORY, raw, tag=f"{DIGEST.tag}.sig")
    (found,) = setup.ask().unreadable
    assert (found.reason, found.__traceback__ is None) == (Reason.LIMIT, False)
    kept = setup.source.known(REPOSITORY, DIGEST)
    assert kept is not None
    assert [(error.message, error.__traceback__) for error in kept.unreadable] == [(found.message, None)]


def test_of_many_limits_a_few_are_kept_and_each_once(setup: Setup) -> None:
    for number in range(40):
        layer = {"mediaType": LAYER_TYPE, "digest": str(DIGEST), "size": 10**6}
        many = [layer] * (65 + number // 2)
        raw = layouts.image(layer, many, subject=layer, annotations={"number": str(number)})
        setup.store.push_manifest(REPOSITORY, raw)
    found = setup.ask()
    assert len(found.unreadable) == 40
    kept = setup.source.known(REPOSITORY, DIGEST)
    assert kept is not None
    messages = [error.message for error in kept.unreadable]
    assert messages == sorted({error.message for error in found.unreadable})[:16]
    assert setup.ask() == kept


def test_searches_share_their_room_and_each_host_has_its_own_part(setup: Setup) -> None:
    room = setup.source.flights.room
    assert room.take(HOST, HOST_BYTES)
    for number in range(2):
        SIGNER.sign_bundle(setup.store, REPOSITORY, DIGEST, document=b" " * (MIB - 10 + number))
    elsewhere = replace(setup.source, host="other.example")
    assert [error.reason for error in setup.ask().unreadable] == [Reason.BUSY]
    assert elsewhere.evidence(REPOSITORY, DIGEST, Deadline.after(5, lambda: setup.time)).unreadable == ()
    room.give(HOST, HOST_BYTES)
    assert setup.ask().unreadable == ()
    assert room.take(HOST, HOST_BYTES)


def test_what_was_known_counts_beside_more_than_is_read(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    known = setup.ask().candidates
    setup.time = 5.0
    setup.client.fail("*.sig", UnavailableError(Reason.LIMIT, "too large"))
    for _ in range(2):
        assert setup.ask().candidates == known
        setup.time += 5.0


def test_while_the_registry_fails_the_known_signatures_count_and_the_failure_stays_visible(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    found = setup.ask()
    setup.time = 60.0
    setup.client.fail("*", OUTAGE)
    evidence = setup.ask()
    assert evidence.candidates == found.candidates
    assert set(evidence.unreadable) == {OUTAGE}


def test_a_complete_search_replaces_what_was_known(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    setup.ask()
    setup.store.untag(REPOSITORY, f"{DIGEST.tag}.sig")
    setup.time = 5.0
    assert setup.ask() == Evidence()
    assert setup.source.known(REPOSITORY, DIGEST) == Evidence()


def test_refused_candidates_of_an_older_search_do_not_pile_up(setup: Setup) -> None:
    setup.store.push_manifest(REPOSITORY, b"{", tag=f"{DIGEST.tag}.sig")
    setup.ask()
    setup.time = 60.0
    setup.client.fail("*", OUTAGE)
    assert not any(isinstance(item, RefusedCandidate) for item in setup.ask().candidates)


def test_junk_that_a_failed_search_found_does_not_push_out_the_signature_that_was_known(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    (good,) = setup.ask().candidates
    setup.store.untag(REPOSITORY, f"{DIGEST.tag}.sig")
    for number in range(64):
        SIGNER.sign_bundle(
            setup.store, REPOSITORY, DIGEST, document=b"{}", manifest={"annotations": {"n": str(number)}}
        )
    setup.client.fail("*.sig", OUTAGE)
    for _ in range(3):
        setup.time += 60.0
        assert good in setup.ask().candidates


class Slow(StoreClient):
    """Answers nothing until it is told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.go = threading.Event()

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
        assert self.go.wait(10)
        return super().referrers_api(repository, digest, deadline)


def test_sixty_four_questions_at_once_make_one_search(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    slow = Slow(setup.store)
    with ThreadPoolExecutor(8) as requests, ThreadPoolExecutor(4) as searches, ThreadPoolExecutor(64) as crowd:
        source = RegistrySource(HOST, slow, setup.kept, Flights(searches), requests)
        deadline = Deadline.after(60, lambda: 0.0)
        answers = [crowd.submit(source.evidence, REPOSITORY, DIGEST, deadline) for _ in range(64)]
        slow.go.set()
        found = {answer.result(10) for answer in answers}
    assert len(found) == 1
    assert len(slow.requests) == len(set(slow.requests)) == 4


class Late(EvidenceStore):
    """What is kept arrives just after somebody has looked for it in vain."""

    looked = False

    def get(self, key: tuple[str, str, Digest]) -> Kept | None:
        found = super().get(key) if self.looked else None
        self.looked = True
        return found


def test_a_search_that_ended_between_the_look_and_the_next_search_is_not_repeated(setup: Setup) -> None:
    known = Evidence((RefusedCandidate("f", "l", Reason.MALFORMED, "m"),))
    late = Late(lambda: 0.0)
    late.put((HOST, REPOSITORY, DIGEST), Kept(known, 0.0))
    source = RegistrySource(HOST, setup.client, late, setup.source.flights, setup.source.requests)
    assert source.evidence(REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0)) == known
    assert setup.client.requests == []


def test_who_waits_leaves_at_their_own_deadline_and_the_search_goes_on(setup: Setup) -> None:
    SIGNER.sign_tag(setup.store, REPOSITORY, DIGEST)
    slow = Slow(setup.store)
    with ThreadPoolExecutor(8) as requests, ThreadPoolExecutor(4) as searches:
        source = RegistrySource(HOST, slow, setup.kept, Flights(searches), requests)
        evidence = source.evidence(REPOSITORY, DIGEST, Deadline.after(0.05, lambda: 0.0))
        assert [(error.reason, error.outage) for error in evidence.unreadable] == [(Reason.DEADLINE, False)]
        slow.go.set()
    assert setup.source.known(REPOSITORY, DIGEST) is not None


def test_a_deadline_that_has_passed_is_not_waited_for(setup: Setup) -> None:
    evidence = setup.ask(seconds=0.0)
    assert [error.reason for error in evidence.unreadable] == [Reason.DEADLINE]


def test_a_bug_in_a_search_reaches_everybody_who_waits_and_the_next_question_searches_again(setup: Setup) -> None:
    class Buggy(StoreClient):
        def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
            raise RuntimeError

    buggy = Buggy(setup.store)
    with ThreadPoolExecutor(8) as requests, ThreadPoolExecutor(4) as searches:
        source = RegistrySource(HOST, buggy, setup.kept, Flights(searches), requests)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                source.evidence(REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0))


# What indexes list


def index_of(setup: Setup, *children: Digest, tag: str = "v1") -> Digest:
    entries = [layouts.descriptor_fields(Descriptor(OCI_MANIFEST, child, 1)) for child in children]
    return setup.store.push_manifest(REPOSITORY, layouts.index(entries), OCI_INDEX, tag=tag)


def listed(setup: Setup, name: Digest | str) -> tuple[Digest, ...] | None:
    found = setup.source.listing(REPOSITORY, name, Deadline.after(5, lambda: setup.time))
    return None if found is None else found.manifests


def test_what_a_digest_lists_is_asked_for_once(setup: Setup) -> None:
    index = index_of(setup, DIGEST)
    assert setup.source.known_listing(REPOSITORY, index) is None
    assert listed(setup, index) == (DIGEST,)
    setup.time = 1e6
    assert listed(setup, index) == (DIGEST,)
    assert setup.source.known_listing(REPOSITORY, index) is not None
    assert len(setup.client.requests) == 1


def test_what_a_tag_lists_is_asked_for_again_after_five_seconds(setup: Setup) -> None:
    index_of(setup, DIGEST)
    assert listed(setup, "v1") == (DIGEST,)
    index_of(setup, Digest.of(b"new"))
    setup.time = 4.9
    assert listed(setup, "v1") == (DIGEST,)
    setup.time = 5.0
    assert listed(setup, "v1") == (Digest.of(b"new"),)


def test_a_tag_of_another_repository_is_another_tag(setup: Setup) -> None:
    index_of(setup, DIGEST)
    listed(setup, "v1")
    assert setup.source.known_listing("acme/other", "v1") is None


def test_what_a_tag_listed_stands_only_while_the_registry_cannot_say(setup: Setup) -> None:
    index_of(setup, DIGEST)
    listed(setup, "v1")
    setup.time = 60.0
    setup.client.fail("*", OUTAGE)
    assert listed(setup, "v1") == (DIGEST,)
    with pytest.raises(UnavailableError) as caught:
        listed(setup, "v2")
    assert caught.value is OUTAGE
    setup.client.recover()
    setup.store.untag(REPOSITORY, "v1")
    assert listed(setup, "v1") is None
    setup.client.fail("*", OUTAGE)
    with pytest.raises(UnavailableError):
        listed(setup, "v1")


def test_who_has_no_time_learns_nothing_about_the_registry_and_it_is_no_outage(setup: Setup) -> None:
    setup.client.fail("*", OUTAGE)
    with pytest.raises(UnavailableError) as caught:
        setup.source.listing(REPOSITORY, "v1", Deadline(0.0, lambda: 0.0))
    assert (caught.value.reason, caught.value.outage) == (Reason.DEADLINE, False)


def test_sixty_four_looks_at_one_index_are_one_request(setup: Setup) -> None:
    index = index_of(setup, DIGEST)
    with ThreadPoolExecutor(64) as crowd:
        deadline = Deadline.after(60, lambda: 0.0)
        answers = [crowd.submit(setup.source.listing, REPOSITORY, index, deadline) for _ in range(64)]
        assert len({answer.result(10) for answer in answers}) == 1
    assert len(setup.client.requests) == 1


def test_what_is_expected_is_asked_for_before_anybody_waits_for_it(setup: Setup) -> None:
    index = index_of(setup, DIGEST)
    setup.source.expect_listing(REPOSITORY, index)
    while setup.source.known_listing(REPOSITORY, index) is None:
        time.sleep(0.001)
    assert listed(setup, index) == (DIGEST,)
    assert len(setup.client.requests) == 1


class LateListings(ListingStore):
    """What is kept arrives just after somebody has looked for it in vain."""

    looked = False

    def get(self, key: tuple[str, str, str]) -> KeptListing | None:
        found = super().get(key) if self.looked else None
        self.looked = True
        return found


def test_a_look_that_ended_just_before_the_next_begins_is_not_repeated(setup: Setup) -> None:
    setup.kept.listings = LateListings()
    setup.kept.listings.put((HOST, REPOSITORY, "v1"), KeptListing(Listing(DIGEST, (DIGEST,), None), 0.0))
    assert listed(setup, "v1") == (DIGEST,)
    assert setup.client.requests == []


def test_expecting_a_listing_above_the_limit_of_searches_is_no_error_and_asking_for_it_is(setup: Setup) -> None:
    source = RegistrySource(
        HOST, setup.client, setup.kept, replace(setup.source.flights, limit=0), setup.source.requests
    )
    source.expect_listing(REPOSITORY, DIGEST)
    with pytest.raises(UnavailableError) as caught:
        source.listing(REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0))
    assert (caught.value.reason, caught.value.outage) == (Reason.BUSY, False)


def test_listings_make_room_by_their_number_and_by_what_they_list() -> None:
    def kept(number: int) -> KeptListing:
        return KeptListing(Listing(DIGEST, (DIGEST,) * number, None), 0.0)

    by_number = ListingStore(entries=2)
    for name in ("a", "b", "a", "c"):
        by_number.put((HOST, REPOSITORY, name), kept(1))
    assert [by_number.get((HOST, REPOSITORY, name)) is None for name in "abc"] == [False, True, False]
    by_size = ListingStore(listed=10)
    for name, number in (("a", 4), ("b", 4), ("b", 5), ("a", 5)):
        by_size.put((HOST, REPOSITORY, name), kept(number))
    assert [by_size.get((HOST, REPOSITORY, name)) is None for name in "ab"] == [False, False]
    by_size.get((HOST, REPOSITORY, "b"))
    by_size.put((HOST, REPOSITORY, "c"), kept(1))
    assert [by_size.get((HOST, REPOSITORY, name)) is None for name in "abc"] == [True, False, False]
    by_size.drop((HOST, REPOSITORY, "b"))
    by_size.put((HOST, REPOSITORY, "d"), kept(9))
    assert [by_size.get((HOST, REPOSITORY, name)) is None for name in "cd"] == [False, False]


def test_the_least_recently_used_entry_goes_first_when_there_are_too_many() -> None:
    store = EvidenceStore(lambda: 0.0, entries=2)
    (first, kept), (second, _), (third, _) = entry(1), entry(2), entry(3)
    store.put(first, kept)
    store.put(second, kept)
    store.get(first)
    store.put(third, kept)
    assert (store.get(first), store.get(second), store.get(third)) == (kept, None, kept)


def test_entries_go_when_their_bytes_are_too_many() -> None:
    store = EvidenceStore(lambda: 0.0, size=40_000)
    for number in range(30):
        store.put(*entry(number, size=1488))
    assert [number for number in range(30) if store.get(entry(number)[0])] == list(range(10, 30))


def test_an_entry_that_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    store = EvidenceStore(lambda: 0.0, size=40_000)
    store.put(*entry(1))
    store.put(*entry(99, size=39_000))
    assert store.get(entry(99)[0]) is None
    assert store.get(entry(1)[0]) is not None


def test_what_is_known_of_a_digest_stays_when_what_is_found_becomes_too_much_to_keep() -> None:
    store = EvidenceStore(lambda: 0.0, size=80_000)  # 5,000 for one entry
    key, known = entry(1, size=1_000)
    store.put(key, known)
    small, large = (UntrustedSignature("f", str(size), b"y" * size, b"", Claim(())) for size in (100, 4_000))
    store.put(key, Kept(Evidence((large, small, *known.evidence.candidates)), 7.0))
    assert store.get(key) == Kept(Evidence((*known.evidence.candidates, small)), float("-inf"))


def test_digests_without_signatures_push_out_only_their_like() -> None:
    store = EvidenceStore(lambda: 0.0, entries=3)
    store.put(*entry(0))
    unsigned = [(HOST, REPOSITORY, Digest.of(f"unsigned {number}".encode())) for number in range(10)]
    for key in unsigned:
        store.put(key, Kept(Evidence(), 0.0))
    assert store.get(entry(0)[0]) is not None
    assert [store.get(key) is not None for key in unsigned] == [False] * 7 + [True] * 3


def unsigned(number: int, refusals: int, problems: int, text: str) -> tuple[tuple[str, str, Digest], Kept]:
    refused = tuple(RefusedCandidate("f", str(each), Reason.MALFORMED, text) for each in range(refusals))
    above = tuple(UnavailableError(Reason.LIMIT, text) for _ in range(problems))
    return (HOST, REPOSITORY, Digest.of(f"unsigned {number}".encode())), Kept(Evidence(refused, above), 0.0)


@pytest.mark.parametrize(
    ("refusals", "problems", "text"), [(3, 0, ""), (0, 3, ""), (1, 0, "x" * 512), (0, 1, "x" * 512)]
)
def test_what_is_refused_and_what_is_not_read_has_its_weight(refusals: int, problems: int, text: str) -> None:
    store = EvidenceStore(lambda: 0.0, size=4 * 20 * 1024)  # a 4th of it for digests without signatures
    store.put(*entry(0))
    entries = [unsigned(number, refusals, problems, text) for number in range(30)]
    for key, kept in entries:
        store.put(key, kept)
    assert [store.get(key) is not None for key, _ in entries] == [False] * 10 + [True] * 20
    assert store.get(entry(0)[0]) is not None


def test_more_that_is_refused_than_may_be_kept_is_not_kept_and_pushes_nothing_out() -> None:
    store = EvidenceStore(lambda: 0.0, size=4 * 20 * 1024)
    key, kept = unsigned(1, 0, 0, "")
    store.put(key, kept)
    heavy, refusals = unsigned(2, 6, 0, "")
    for known in (kept, refusals):  # what is found now is not what was found before
        store.put(heavy, known)
    assert (store.get(key), store.get(heavy)) == (kept, None)


def test_an_entry_that_loses_or_gains_signatures_is_kept_once() -> None:
    store = EvidenceStore(lambda: 0.0)
    key, signed = entry(0)
    for kept in (signed, Kept(Evidence(), 1.0), signed):
        store.put(key, kept)
        assert store.get(key) == kept


def test_replacing_an_entry_frees_its_bytes() -> None:
    store = EvidenceStore(lambda: 0.0, size=100_000)
    for _ in range(100):
        store.put(*entry(1, size=4000))
    store.put(*entry(2, size=4000))
    assert store.get(entry(1)[0]) is not None


def test_one_host_does_not_take_all_searches_and_what_is_refused_is_no_outage(setup: Setup) -> None:
    slow = Slow(setup.store)
    with ThreadPoolExecutor(16) as requests, ThreadPoolExecutor(4) as searches, ThreadPoolExecutor(4) as crowd:
        flights = Flights(searches, limit=3, per_host=2)
        source = RegistrySource("slow.example", slow, setup.kept, flights, requests)
        other = RegistrySource(HOST, setup.client, setup.kept, flights, requests)
        deadline = Deadline.after(5, lambda: 0.0)
        waiting = [crowd.submit(source.evidence, REPOSITORY, Digest.of(bytes([n])), deadline) for n in range(2)]
        while len(flights._flying) < 2:
            time.sleep(0.001)
        refused = source.evidence(REPOSITORY, Digest.of(b"third"), deadline)
        assert [(error.reason, error.outage) for error in refused.unreadable] == [(Reason.BUSY, False)]
        assert other.evidence(REPOSITORY, DIGEST, deadline) == Evidence()
        slow.go.set()
        assert all(future.result(10) == Evidence() for future in waiting)


def test_one_repository_does_not_take_all_searches_of_its_host(setup: Setup) -> None:
    slow = Slow(setup.store)
    with ThreadPoolExecutor(16) as requests, ThreadPoolExecutor(4) as searches, ThreadPoolExecutor(4) as crowd:
        flights = Flights(searches, per_host=3, per_repository=2)
        source = RegistrySource(HOST, slow, setup.kept, flights, requests)
        deadline = Deadline.after(5, lambda: 0.0)
        waiting = [crowd.submit(source.evidence, REPOSITORY, Digest.of(bytes([n])), deadline) for n in range(2)]
        while len(flights._flying) < 2:
            time.sleep(0.001)
        (refused,) = source.evidence(REPOSITORY, Digest.of(b"third"), deadline).unreadable
        assert (refused.reason, refused.outage) == (Reason.BUSY, False)
        assert refused.message == ("2 searches at registry.example are under way already, 2 of this repository")
        other = crowd.submit(source.evidence, "acme/other", DIGEST, deadline)
        slow.go.set()
        assert all(future.result(10) == Evidence() for future in (*waiting, other))
