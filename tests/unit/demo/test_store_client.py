"""The client that other tests run on answers as the real one does."""

from __future__ import annotations

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.demo.store import Store
from gate.registry.referrers import Listed
from tests.fakes.registry import StoreClient
from tests.fakes.signing import signer

IN_TIME = Deadline.after(8, lambda: 0.0)
TOO_LATE = Deadline(0.0, lambda: 1.0)
MISSING = Digest.of(b"missing")
OUTAGE = UnavailableError(Reason.REGISTRY_UNREACHABLE, "nobody is there", outage=True)


def describe(data: bytes, size: int | None = None) -> Descriptor:
    return Descriptor("a/b", Digest.of(data), len(data) if size is None else size)


def test_a_manifest_is_a_document_with_its_own_digest() -> None:
    store = Store()
    digest = store.push_manifest("a", b"raw", tag="1")
    document = StoreClient(store).manifest("a", "1", IN_TIME)
    assert document is not None
    assert (document.digest, document.media_type, document.raw) == (digest, OCI_MANIFEST, b"raw")


def test_a_manifest_that_is_not_there_is_none_and_a_blob_is_an_error() -> None:
    client = StoreClient(Store())
    assert client.manifest("a", MISSING, IN_TIME) is None
    with pytest.raises(UnavailableError) as error:
        client.blob("a", describe(b"missing"), 10, IN_TIME)
    assert error.value.reason is Reason.REGISTRY_ERROR
    assert not error.value.outage


def test_bytes_that_are_not_what_was_asked_for_are_refused() -> None:
    store = Store()
    store.push_manifest("a", b"evil", stored_as=MISSING)
    store.push_blob("a", b"evil", stored_as=MISSING)
    client = StoreClient(store)
    with pytest.raises(UnavailableError):
        client.manifest("a", MISSING, IN_TIME)
    with pytest.raises(UnavailableError):
        client.blob("a", Descriptor("a/b", MISSING, 4), 10, IN_TIME)


def test_a_blob_of_another_size_or_above_the_limit_is_refused() -> None:
    store = Store()
    store.push_blob("a", b"blob")
    client = StoreClient(store)
    assert client.blob("a", describe(b"blob"), 4, IN_TIME) == b"blob"
    with pytest.raises(UnavailableError, match="other bytes"):
        client.blob("a", describe(b"blob", 3), 4, IN_TIME)
    with pytest.raises(UnavailableError, match="more than 3"):
        client.blob("a", describe(b"blob"), 3, IN_TIME)


def test_any_answer_can_be_made_to_fail_until_it_recovers() -> None:
    store = Store()
    digest = store.push_manifest("a", b"raw", tag="1")
    client = StoreClient(store)
    client.fail("/v2/a/manifests/*", OUTAGE)
    with pytest.raises(UnavailableError) as error:
        client.manifest("a", "1", IN_TIME)
    assert error.value is OUTAGE
    assert client.referrers_api("a", digest, IN_TIME) == Listed()
    client.recover()
    assert client.manifest("a", "1", IN_TIME) is not None


def test_referrers_come_from_the_api_or_else_from_the_fallback_tag() -> None:
    for referrers_api in (True, False):
        store = Store(referrers_api=referrers_api)
        digest = store.push_manifest("a", b"{}")
        pushed = signer().sign_bundle(store, "a", digest)
        client = StoreClient(store)
        assert (client.referrers_api("a", digest, IN_TIME) is not None) is referrers_api
        assert bool(client.referrers_tag("a", digest, IN_TIME).descriptors) is not referrers_api
        (listed,) = client.referrers("a", digest, IN_TIME).descriptors
        assert (listed.digest, listed.artifact_type) == (pushed, None)


def test_a_fallback_tag_that_names_no_index_is_malformed() -> None:
    store = Store(referrers_api=False)
    store.push_manifest("a", b'{"layers":[]}', tag=MISSING.tag)
    with pytest.raises(MalformedError):
        StoreClient(store).referrers_tag("a", MISSING, IN_TIME)


def test_a_deadline_that_has_passed_ends_every_question() -> None:
    client = StoreClient(Store())
    with pytest.raises(UnavailableError) as error:
        client.referrers_api("a", MISSING, TOO_LATE)
    assert error.value.reason is Reason.DEADLINE


def test_what_was_asked_for_is_on_record_in_order() -> None:
    store = Store()
    client = StoreClient(store)
    client.manifest("a", "1", IN_TIME)
    client.referrers_api("a", MISSING, IN_TIME)
    assert client.requests == ["/v2/a/manifests/1", f"/v2/a/referrers/{MISSING}"]
    assert store.requests == 2
