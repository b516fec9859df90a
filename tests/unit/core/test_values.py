"""How many values a document that anybody may push can have: to read one takes time, however few bytes it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.formats import parse_candidate
from gate.core.formats.bundle import parse_statement
from gate.core.formats.sigstorebundle import Bundle, BundleMaterial
from gate.core.formats.simplesigning import TIMESTAMP_ANNOTATION, LayerMaterial, parse_payload
from gate.core.logbinding import parse_body
from gate.core.manifests import Descriptor, parse_manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.transparency import LogEntry
from gate.demo import layouts
from tests.fakes.keyless import BOX, IMAGE
from tests.fakes.sigstore.rekor import as_annotation

MADE = BOX.sign("bundle", BOX.enroll(), IMAGE)
TAGGED = BOX.sign("tag", BOX.enroll(), IMAGE, stamped=True)


def with_values(document: bytes, count: int) -> bytes:
    """Return the object with one member more, so that it has so many values."""
    fields = {**json.loads(document), "more": [0]}
    missing = count - strictjson.count_values(json.dumps(fields).encode())
    padded = json.dumps({**fields, "more": [0] * (missing + 1)}).encode()
    assert strictjson.count_values(padded) == count
    return padded


def in_bundle(count: int) -> bytes:
    """Return a bundle of so many values, which are where a bundle may have members that nobody knows."""
    fields = json.loads(MADE.document())
    entry = json.dumps(fields["verificationMaterial"]["tlogEntries"][0]).encode()
    about = strictjson.count_values(json.dumps(fields).encode()) - strictjson.count_values(entry)
    fields["verificationMaterial"]["tlogEntries"][0] = json.loads(with_values(entry, count - about))
    assert strictjson.count_values(json.dumps(fields).encode()) == count
    return json.dumps(fields).encode()


def layer(count: int) -> LayerMaterial:
    annotation = with_values(TAGGED.annotations()[TIMESTAMP_ANNOTATION].encode(), count).decode()
    return LayerMaterial.of(Descriptor("application/x", IMAGE, 1, ((TIMESTAMP_ANNOTATION, annotation),)))


CONFIG = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
READERS: dict[str, tuple[int, Callable[[int], object]]] = {
    "bundle": (limits.BUNDLE_VALUES, lambda count: Bundle.parse(in_bundle(count))),
    "material": (limits.BUNDLE_VALUES, lambda count: BundleMaterial(3, in_bundle(count)).certificates()),
    "payload": (limits.SIGNED_VALUES, lambda count: parse_payload(with_values(TAGGED.content, count))),
    "log annotation": (
        limits.SIGNED_VALUES,
        lambda count: LogEntry.from_annotation(with_values(as_annotation(TAGGED.entries[0]).encode(), count).decode()),
    ),
    "log body": (limits.SIGNED_VALUES, lambda count: parse_body(with_values(TAGGED.entries[0].body, count))),
    "timestamp annotation": (limits.SIGNED_VALUES, lambda count: layer(count).timestamps()),
}


@pytest.mark.parametrize("name", READERS)
def test_a_document_that_has_as_many_values_as_it_may_is_read_and_one_more_is_not(name: str) -> None:
    most, read = READERS[name]
    read(most)
    with pytest.raises(MalformedError, match=f"the document has more than {most} values$"):
        read(most + 1)


@pytest.mark.parametrize("document", [layouts.image(CONFIG, []), layouts.index([])], ids=["manifest", "index"])
def test_a_candidate_of_more_values_than_a_signature_has_is_a_limit_and_an_image_is_not(document: bytes) -> None:
    most, more = (with_values(document, limits.CANDIDATE_VALUES + number) for number in range(2))
    assert parse_candidate(most) == parse_manifest(most)
    with pytest.raises(
        UnavailableError, match=f"^a manifest has more than {limits.CANDIDATE_VALUES} values$"
    ) as caught:
        parse_candidate(more)
    assert (caught.value.reason, caught.value.outage) == (Reason.LIMIT, False)
    assert parse_manifest(more)


def test_a_statement_of_more_values_than_a_signature_has_is_an_attestation_whatever_it_says() -> None:
    most = limits.STATEMENT_VALUES
    assert parse_statement(with_values(MADE.content, most)).digests == (IMAGE,)
    with pytest.raises(UntrustedError) as caught:
        parse_statement(with_values(MADE.content, most + 1))
    assert caught.value.reason is Reason.ATTESTATION
    assert caught.value.message == (
        "its statement has more than 40960 values, as only attestations have; an attestation is not a signature"
    )


def test_every_limit_leaves_room_for_what_is_signed_today() -> None:
    entry = replace(TAGGED.entries[0], proof=MADE.entries[0].proof)
    documents = {
        limits.BUNDLE_VALUES: MADE.document(),
        limits.STATEMENT_VALUES: MADE.content,
        limits.SIGNED_VALUES: TAGGED.content + entry.body + as_annotation(entry).encode(),
    }
    for most, document in documents.items():
        assert strictjson.count_values(document) * 10 < most
