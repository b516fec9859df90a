"""Whoever may push beside a signature, much or oddly, does not keep it from being found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import groupby
from typing import ParamSpec, TypeVar

import pytest

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.formats.sigstorebundle import BUNDLE_TYPE
from gate.core.formats.simplesigning import LAYER_TYPE
from gate.core.manifests import OCI_INDEX, Descriptor, Manifest, parse_manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate, UntrustedSignature
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.registry.client import Document
from gate.registry.discovery import REFUSED_SHOWN, Discovery
from gate.registry.room import OWN_BYTES, Room
from tests.fakes.looks import Looks
from tests.fakes.registry import StoreClient

HOST, REPOSITORY = "registry.example", "acme/config"
DIGEST = Digest.of(b"the image")
SIGNER = Signer.generate()
P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def search(
    store: Store, executor: Executor, room: Room | None = None, clock: Callable[[], float] = lambda: 0.0
) -> Evidence:
    deadline = Deadline(5.0, clock)
    return Discovery(StoreClient(store), REPOSITORY, DIGEST, deadline, executor, (room or Room()).of(HOST)).run()


def signatures(evidence: Evidence) -> list[UntrustedSignature]:
    return [item for item in evidence.candidates if isinstance(item, UntrustedSignature)]


def refused(evidence: Evidence) -> list[RefusedCandidate]:
    return [item for item in evidence.candidates if isinstance(item, RefusedCandidate)]


def problems(evidence: Evidence) -> list[tuple[Reason, str, bool]]:
    return [(error.reason, error.message, error.outage) for error in evidence.unreadable]


def refer(store: Store, layers: list[object], number: int = 0) -> Digest:
    """Push a manifest of few bytes that refers to the image."""
    config = {"mediaType": "", "digest": str(Digest.of(b"")), "size": 0}
    subject = {"mediaType": "", "digest": str(DIGEST), "size": number}
    raw = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "subject": subject}
    return store.push_manifest(REPOSITORY, layouts.compact(raw | {"layers": layers}))


def ours(evidence: Evidence) -> bool:
    """Return whether the bundle of SIGNER is among the signatures."""
    return any(item.format == "bundle" and str(DIGEST).encode()[7:] in item.payload for item in signatures(evidence))


def test_layers_that_cannot_be_read_take_no_place_of_a_signature(executor: ThreadPoolExecutor) -> None:
    store = Store()
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    for number in range(8):
        refer(store, [{"mediaType": LAYER_TYPE}, *[0] * 63], number)
    evidence = search(store, executor)
    assert (len(signatures(evidence)), problems(evidence)) == (1, [])
    shown = refused(evidence)
    assert len(shown) == REFUSED_SHOWN
    assert shown[-1].message.endswith(f"; {8 * 64 - REFUSED_SHOWN} more were refused and are not shown")
    assert not any("not shown" in item.message for item in shown[:-1])


def test_what_is_refused_of_one_manifest_does_not_hide_what_is_of_another(executor: ThreadPoolExecutor) -> None:
    store = Store()
    for number in range(4):
        refer(store, [{"mediaType": LAYER_TYPE}, *[0] * 63], number)
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST, document=b"{}", manifest={"padding": "x" * 1000})
    assert [item.format for item in refused(search(store, executor))].count("bundle") == 1


def test_a_manifest_of_many_signatures_takes_no_place_of_another_ones_first(executor: ThreadPoolExecutor) -> None:
    store = Store()
    payload = layouts.payload(DIGEST, "r")
    blob = store.push_blob(REPOSITORY, payload)
    layer = {
        "mediaType": LAYER_TYPE,
        "digest": str(blob),
        "size": len(payload),
        "annotations": {"dev.cosignproject.cosign/signature": "AAAA"},
    }
    for number in range(20):
        refer(store, [layer] * 20, number)
    statement = layouts.statement([DIGEST], "https://sigstore.dev/cosign/sign/v1", layouts.STATEMENT_TYPE, {}, {})
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST, statement=statement + b" " * 20_000)
    for _ in range(30):
        SIGNER.sign_tag(store, REPOSITORY, DIGEST)
    evidence = search(store, executor)
    assert len(signatures(evidence)) == limits.CANDIDATES_READ
    assert [reason for reason, _, _ in problems(evidence)] == [Reason.LIMIT]
    assert ours(evidence)
    # Those of the tag are all there, and come first.
    places = [item.location for item in signatures(evidence)]
    assert places[:30] == [f"tag {DIGEST.tag}.sig layer {number}" for number in range(30)]
    # Those of one manifest stay together.
    manifests = [place.partition(" layer")[0] for place in places]
    assert len([*groupby(manifests)]) == len(set(manifests)) == 22


def crowd_of_bundles(store: Store, number: int, size: int) -> None:
    """Push bundles of many bytes in manifests of fewer than cosign's."""
    for each in range(number):
        document = b'{"n":%d,"x":"%b"}' % (each, b"x" * size)
        blob = store.push_blob(REPOSITORY, document)
        refer(store, [{"mediaType": BUNDLE_TYPE, "digest": str(blob), "size": len(document)}])


def fill_up(store: Store, number: int) -> None:
    """Push a manifest that asks for so many times 64 KiB, and then for whatever is left but 64 bytes."""
    largest = limits.SIMPLESIGNING_BYTES
    sizes = [*[largest] * number, *(largest >> each for each in range(1, 11))]
    blob = str(store.push_blob(REPOSITORY, b"filler"))
    refer(store, [{"mediaType": LAYER_TYPE, "digest": blob, "size": size} for size in sizes])


def test_large_bundles_in_small_manifests_use_up_no_bytes_before_a_small_one(executor: ThreadPoolExecutor) -> None:
    store = Store()
    crowd_of_bundles(store, 20, limits.MIB - 100)
    fill_up(store, 20)
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST, manifest={"padding": "x" * 10_000})
    evidence = search(store, executor)
    assert ours(evidence)
    told = f"its signatures have more than {limits.EVIDENCE_BYTES} bytes in all"
    assert problems(evidence).count((Reason.LIMIT, told, False)) == 1  # once, not for each


def test_what_takes_long_to_read_is_read_after_what_does_not(executor: ThreadPoolExecutor) -> None:
    store = Store()
    crowd_of_bundles(store, 3, 100_000)
    for number in range(2):
        padding = {"padding": "x" * (100_000 + number)}
        SIGNER.sign_bundle(store, REPOSITORY, DIGEST, document=b"{}", manifest=padding)
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    SIGNER.sign_tag(store, REPOSITORY, DIGEST)
    looks = Looks()
    search(store, executor, clock=looks)
    # The clock is looked at last before each of the seven is read.
    evidence = search(store, executor, clock=Looks(looks.count - 7 + 2))
    assert [item.format for item in signatures(evidence)] == ["simplesigning", "bundle"]
    assert problems(evidence) == [(Reason.DEADLINE, "there was no time left to read every signature", False)]


def test_what_only_the_fallback_tag_names_takes_no_place_of_what_the_registry_lists(
    executor: ThreadPoolExecutor,
) -> None:
    store = Store()
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    made_up = [{"mediaType": "m", "digest": str(Digest.of(b"%d" % each)), "size": 1} for each in range(64)]
    store.push_manifest(REPOSITORY, layouts.index(made_up), OCI_INDEX, tag=DIGEST.tag)
    evidence = search(store, executor)
    assert ours(evidence)
    assert [reason for reason, _, _ in problems(evidence)] == [Reason.LIMIT]


def test_a_tag_that_somebody_made_uses_up_no_bytes_before_a_small_bundle(executor: ThreadPoolExecutor) -> None:
    store = Store()
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    claim = {"mediaType": LAYER_TYPE, "digest": str(Digest.of(b"nothing")), "size": limits.SIMPLESIGNING_BYTES}
    store.push_manifest(REPOSITORY, layouts.image(claim, [claim] * 64), tag=f"{DIGEST.tag}.sig")
    for number in range(3):
        SIGNER.sign_bundle(
            store, REPOSITORY, DIGEST, document=b"{}", manifest={"padding": "x" * (4 * limits.MIB - 2000 - number)}
        )
    assert ours(search(store, executor))


@pytest.mark.parametrize("room", [Room(), Room(0)], ids=["room", "no room"])
def test_a_tag_of_many_certificates_asks_for_few_bytes(room: Room, executor: ThreadPoolExecutor) -> None:
    store = Store()
    for _ in range(64):
        SIGNER.sign_tag(store, REPOSITORY, DIGEST, annotations={"dev.sigstore.cosign/chain": "x" * 12_000})
    blob = store.push_blob(REPOSITORY, b"x" * 700_000)
    for number in range(24):
        refer(store, [{"mediaType": BUNDLE_TYPE, "digest": str(blob), "size": 700_000}], number)
    fill_up(store, 10)  # costs more than those bundles, and less than the tag
    assert len(signatures(search(store, executor, room))) == 64


def test_what_is_not_asked_for_is_told_whenever_time_passes() -> None:
    store = Store()
    SIGNER.sign_tag(store, REPOSITORY, DIGEST)
    looks = Looks()
    assert len(signatures(search(store, Inline(), clock=looks))) == 1
    for before in range(looks.count):
        evidence = search(store, Inline(), clock=Looks(before))
        assert evidence.unreadable or len(signatures(evidence)) == 1


def test_large_manifests_are_asked_for_after_what_small_ones_hold(executor: ThreadPoolExecutor) -> None:
    store = Store()
    SIGNER.sign_tag(store, REPOSITORY, DIGEST)
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    large = SIGNER.sign_bundle(store, REPOSITORY, DIGEST, document=b"{}", manifest={"padding": "x" * OWN_BYTES})
    client = StoreClient(store)
    evidence = Discovery(client, REPOSITORY, DIGEST, Deadline.after(5, lambda: 0.0), executor).run()
    assert (len(signatures(evidence)), len(refused(evidence)), problems(evidence)) == (2, 1, [])
    kinds = ["large" if path.endswith(str(large)) else path.split("/")[-2] for path in client.requests]
    assert [kind for kind in kinds if kind in {"blobs", "large"}] == ["blobs", "blobs", "large", "blobs"]


class Inline(Executor):
    """Does at once what it is given, so that time passes where a test says so."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except UnavailableError as error:
            done.set_exception(error)
        return done


class Late(StoreClient):
    """Has an answer that comes when the time is over."""

    time = 0.0
    late = ""

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        found = super().manifest(repository, reference, deadline, limit=limit)
        if str(reference).endswith(self.late):
            self.time = 7.0
        return found

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        data = super().blob(repository, descriptor, limit, deadline)
        if str(descriptor.digest).endswith(self.late):
            self.time = 7.0
        return data


def test_what_nobody_asked_for_because_time_was_over_is_not_blamed_on_gates_own_queue() -> None:
    store = Store()
    for number in range(3):
        SIGNER.sign_tag(store, REPOSITORY, DIGEST, optional={"n": number})
    client = Late(store)
    client.late = DIGEST.tag  # what is asked for last
    evidence = Discovery(client, REPOSITORY, DIGEST, Deadline(5.0, lambda: client.time), Inline()).run()
    assert not evidence.candidates
    assert problems(evidence) == [(Reason.DEADLINE, "the deadline passed before everything was read", False)]
    assert not any("/blobs/" in path for path in client.requests)


def test_what_is_left_out_is_no_outage_though_an_outage_has_the_same_words() -> None:
    store = Store()
    SIGNER.sign_tag(store, REPOSITORY, DIGEST)
    client = Late(store)
    client.late = DIGEST.tag
    words = "the deadline passed before everything was read"
    client.fail("*/referrers/*", UnavailableError(Reason.DEADLINE, words, outage=True))
    evidence = Discovery(client, REPOSITORY, DIGEST, Deadline(5.0, lambda: client.time), Inline()).run()
    assert problems(evidence) == [(Reason.DEADLINE, words, True), (Reason.DEADLINE, words, False)]


def test_large_manifests_that_there_is_no_time_for_are_told_once_and_what_came_stands() -> None:
    store = Store()
    pushed = SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    for number in range(2):
        padding = {"padding": "x" * (OWN_BYTES + number)}
        SIGNER.sign_bundle(store, REPOSITORY, DIGEST, document=b"{}", manifest=padding)
    client = Late(store)
    raw, _ = store.manifest(REPOSITORY, pushed) or (b"", "")
    manifest = parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    (layer,) = manifest.layers
    client.late = str(layer.digest)
    evidence = Discovery(client, REPOSITORY, DIGEST, Deadline(5.0, lambda: client.time), Inline()).run()
    assert ours(evidence)
    assert problems(evidence) == [(Reason.DEADLINE, "the deadline passed before everything was read", False)]


# Room: what all searches of a process fetch


def full() -> Room:
    room = Room(4 * limits.MIB)
    assert room.take(HOST, 4 * limits.MIB)
    return room


def test_a_search_gives_its_room_back(executor: ThreadPoolExecutor) -> None:
    store, room = Store(), Room(2 * limits.MIB)
    crowd_of_bundles(store, 2, limits.MIB - 100)
    for _ in range(3):
        assert problems(search(store, executor, room)) == []
    assert room.take(HOST, 2 * limits.MIB)
    assert not room.take(HOST, 1)


def test_without_room_large_signatures_are_not_read_and_small_ones_are(executor: ThreadPoolExecutor) -> None:
    store, room = Store(), full()
    crowd_of_bundles(store, 3, limits.MIB - 100)
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    evidence = search(store, executor, room)
    assert ours(evidence)
    # Whose room it takes is up to whoever pushes: it is no outage.
    assert problems(evidence) == [(Reason.BUSY, "gate reads too much at this moment", False)]
    room.give(HOST, 4 * limits.MIB)
    assert problems(search(store, executor, room)) == []


def test_many_documents_need_room_as_one_large_one_does(executor: ThreadPoolExecutor) -> None:
    store, room = Store(), full()
    crowd_of_bundles(store, 8, OWN_BYTES // 8 - 100)
    assert problems(search(store, executor, room)) == []
    crowd_of_bundles(store, 9, OWN_BYTES // 8 - 99)
    assert [reason for reason, _, _ in problems(search(store, executor, room))] == [Reason.BUSY]


@pytest.mark.parametrize(
    ("sizes", "reasons"),
    [
        ((OWN_BYTES - 2000,), []),
        ((OWN_BYTES // 4 - 2000,) * 4, []),
        ((OWN_BYTES // 4,) * 9, [Reason.BUSY]),
        ((OWN_BYTES,), [Reason.BUSY]),
    ],
)
def test_manifests_of_others_take_nothing_that_a_small_bundle_needs(
    sizes: tuple[int, ...], reasons: list[Reason], executor: ThreadPoolExecutor
) -> None:
    store = Store()
    SIGNER.sign_bundle(store, REPOSITORY, DIGEST)
    for number, size in enumerate(sizes):
        padding = {"annotations": {"n": str(number)}, "padding": "x" * size}
        SIGNER.sign_bundle(store, REPOSITORY, DIGEST, document=b"{}", manifest=padding)
    evidence = search(store, executor, full())
    assert ours(evidence)
    assert [reason for reason, _, _ in problems(evidence)] == reasons


def test_one_host_leaves_room_for_the_others() -> None:
    room = Room(100, per_host=60)
    slow, other = room.of("slow.example"), room.of("other.example")
    assert slow.take(60)
    assert not slow.take(1)
    assert other.take(40)
    assert not other.take(1)
    slow.give(60)
    assert other.take(20)
    assert not other.take(1)
    other.give(60)
    assert not room._taken  # of hosts that hold nothing, nothing is kept
    assert other.take(60)
