from __future__ import annotations

import json
import threading

import pytest

from gate.core import limits
from gate.core.errors import UnavailableError
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.demo.store import BLOB_BYTES, Store

MISSING = Digest.of(b"never pushed")


def referrer(subject: Digest, number: int = 0, **members: object) -> bytes:
    config = {"mediaType": "application/vnd.example.config", "size": 2, "digest": str(Digest.of(b"{}"))}
    named = {"mediaType": OCI_MANIFEST, "size": 1, "digest": str(subject)}
    return json.dumps({"number": number, "config": config, "layers": [], "subject": named, **members}).encode()


def test_a_manifest_is_found_by_its_digest_and_by_its_tag_with_the_bytes_that_were_pushed() -> None:
    store = Store()
    digest = store.push_manifest("a", b"bytes", OCI_INDEX, tag="1")
    assert digest == Digest.of(b"bytes")
    assert store.manifest("a", digest) == store.manifest("a", "1") == (b"bytes", OCI_INDEX)
    assert store.resolve("a", "1") == digest


def test_nothing_is_found_in_another_repository() -> None:
    store = Store()
    manifest = store.push_manifest("a", b"manifest", tag="1")
    blob = store.push_blob("a", b"blob")
    assert store.manifest("b", "1") is None
    assert store.manifest("b", manifest) is None
    assert store.blob("b", blob) is None
    assert store.tags("b") is None
    assert store.referrers("b", manifest) == ()


def test_a_tag_moves_and_what_it_named_stays() -> None:
    store = Store()
    old = store.push_manifest("a", b"old", tag="1")
    new = store.push_manifest("a", b"new", tag="1")
    assert store.resolve("a", "1") == new
    assert store.manifest("a", old) is not None
    store.untag("a", "1")
    assert store.manifest("a", "1") is None
    assert store.tags("a") == ()


def test_referrers_are_the_manifests_that_name_the_subject_in_the_order_they_were_pushed() -> None:
    store = Store()
    subject = store.push_manifest("a", b"subject")
    second = store.push_manifest("a", referrer(subject, 2, artifactType="application/x", annotations={"k": "v"}))
    first = store.push_manifest("a", referrer(subject, 1))
    store.push_manifest("a", referrer(MISSING))
    store.push_manifest("a", referrer(subject, 2, artifactType="application/x", annotations={"k": "v"}))
    found = store.referrers("a", subject)
    assert [item.digest for item in found] == [second, first]
    assert [item.artifact_type for item in found] == ["application/x", "application/vnd.example.config"]
    assert found[0].annotations == (("k", "v"),)
    assert found[0].size == len(referrer(subject, 2, artifactType="application/x", annotations={"k": "v"}))


def test_a_deleted_referrer_is_no_longer_listed() -> None:
    store = Store()
    digest = store.push_manifest("a", referrer(MISSING))
    store.delete_manifest("a", digest)
    assert store.referrers("a", MISSING) == ()
    assert store.manifest("a", digest) is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"subject":{}}', b'{"subject":{"digest":"sha512:00"}}'])
def test_what_is_no_manifest_is_kept_and_refers_to_nothing(raw: bytes) -> None:
    store = Store()
    assert store.manifest("a", store.push_manifest("a", raw)) == (raw, OCI_MANIFEST)


def test_bytes_can_be_filed_under_a_digest_that_is_not_theirs() -> None:
    store = Store()
    store.push_blob("a", b"evil", stored_as=MISSING)
    store.push_manifest("a", b"evil", stored_as=MISSING)
    assert store.blob("a", MISSING) == b"evil"
    assert store.manifest("a", MISSING) == (b"evil", OCI_MANIFEST)


def test_a_blob_and_a_manifest_above_their_limits_are_refused() -> None:
    store = Store()
    with pytest.raises(UnavailableError) as blob:
        store.push_blob("a", bytes(BLOB_BYTES + 1))
    with pytest.raises(UnavailableError) as manifest:
        store.push_manifest("a", b" " * (limits.MANIFEST_BYTES + 1), stored_as=MISSING)
    assert blob.value.reason is manifest.value.reason is Reason.LIMIT
    assert store.blob("a", Digest.of(bytes(BLOB_BYTES + 1))) is None


def test_a_full_store_refuses_more_until_something_is_deleted() -> None:
    store = Store(total_bytes=10)
    digest = store.push_blob("a", b"123456")
    store.push_blob("a", b"123456")  # the same bytes once more take no room
    with pytest.raises(UnavailableError, match="at most 10 bytes"):
        store.push_blob("a", b"abcdef")
    store.delete_blob("a", digest)
    store.push_blob("a", b"abcdef")


def test_only_recorded_requests_are_counted() -> None:
    store = Store()
    store.push_manifest("a", b"raw", tag="1")
    store.manifest("a", "1")
    store.record_request("GET /v2/a/manifests/1")
    assert store.requests == 1
    assert store.recent_requests == ("GET /v2/a/manifests/1",)


def test_threads_that_push_at_once_lose_nothing() -> None:
    store = Store()

    def push(thread: int) -> None:
        for number in range(50):
            store.push_manifest("a", referrer(MISSING, thread * 1000 + number), tag=f"{thread}-{number}")
            store.record_request("GET /v2/")

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.referrers("a", MISSING)) == len(store.tags("a") or ()) == store.requests == 400
