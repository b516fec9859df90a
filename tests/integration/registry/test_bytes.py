"""Bytes are hashed, counted and bounded here; the hazards themselves are in test_hazards."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gate.core.errors import UnavailableError
from gate.core.limits import MANIFEST_BYTES
from gate.core.manifests import OCI_MANIFEST
from gate.core.oci import Digest
from gate.core.reasons import Reason
from tests.fakes.hostile import Hostile, Raw, Reply
from tests.integration.registry.conftest import REPOSITORY, Asker, described, within

BODY = b'{"schemaVersion":2}'
MANIFEST = Reply(200, BODY, (("Content-Type", OCI_MANIFEST + "; charset=utf-8"),))
TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
WANTED = Digest.of(BODY)
PINNED = f"/v2/{REPOSITORY}/manifests/{WANTED}"


def refused(asker: Asker, server: Hostile, *, by: str | Digest = "v1") -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        asker.client(server).manifest(REPOSITORY, by, within())
    return caught.value


def test_a_manifest_comes_with_the_digest_of_its_bytes_and_its_media_type(asker: Asker, either: Hostile) -> None:
    either.on(TAGGED, MANIFEST)
    document = asker.client(either).manifest(REPOSITORY, "v1", within())
    assert document is not None
    assert (document.digest, document.media_type, document.raw) == (WANTED, OCI_MANIFEST, BODY)


def test_the_registrys_own_digest_header_does_not_stand_in_for_the_bytes(asker: Asker, registry: Hostile) -> None:
    registry.on(PINNED, Reply(200, b'{"evil":true}', (("Docker-Content-Digest", str(WANTED)),)))
    assert refused(asker, registry, by=WANTED).reason is Reason.REGISTRY_ERROR


def test_a_tagged_manifest_must_agree_with_the_digest_that_the_registry_names(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Reply(200, BODY, (("Docker-Content-Digest", f"sha256:{'0' * 64}"),)))
    error = refused(asker, registry)
    assert (error.reason, error.outage) == (Reason.REGISTRY_ERROR, False)


def test_a_digest_header_of_another_algorithm_is_not_compared(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Reply(200, BODY, (("Docker-Content-Digest", f"sha512:{'0' * 128}"),)))
    assert asker.client(registry).manifest(REPOSITORY, "v1", within()) is not None


@pytest.mark.parametrize("body", [b"goo", b"good!", b"good!!"])
def test_a_blob_must_have_its_size(asker: Asker, registry: Hostile, body: bytes) -> None:
    descriptor = described(b"good")
    registry.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Reply(200, body))
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).blob(REPOSITORY, descriptor, 100, within())
    assert caught.value.reason in (Reason.REGISTRY_ERROR, Reason.LIMIT)
    assert not caught.value.outage


def test_a_blob_with_the_right_digest_must_have_its_descriptors_size(asker: Asker, registry: Hostile) -> None:
    descriptor = replace(described(b"good"), size=5)
    registry.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Reply(200, b"good"))
    with pytest.raises(UnavailableError, match="number of bytes"):
        asker.client(registry).blob(REPOSITORY, descriptor, 100, within())


def test_a_good_blob_is_returned(asker: Asker, either: Hostile) -> None:
    descriptor = described(b"good")
    either.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Reply(200, b"good"))
    assert asker.client(either).blob(REPOSITORY, descriptor, 4, within()) == b"good"


def test_an_empty_blob_is_returned(asker: Asker, registry: Hostile) -> None:
    descriptor = described(b"")
    registry.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Reply(200, b""))
    assert asker.client(registry).blob(REPOSITORY, descriptor, 4, within()) == b""


def test_a_missing_blob_is_an_error(asker: Asker, registry: Hostile) -> None:
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).blob(REPOSITORY, described(b"good"), 100, within())
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_ERROR, False)


def test_a_blob_above_the_limit_is_not_asked_for(asker: Asker, registry: Hostile) -> None:
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).blob(REPOSITORY, described(b"too large"), 4, within())
    assert (caught.value.reason, registry.seen) == (Reason.LIMIT, [])


def test_a_body_that_announces_too_many_bytes_is_not_read(asker: Asker, registry: Hostile) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {MANIFEST_BYTES + 1}\r\n\r\n".encode()
    registry.on(TAGGED, Raw(head, then="stall"))
    started = time.monotonic()
    error = refused(asker, registry)
    assert (error.reason, error.outage) == (Reason.LIMIT, False)
    assert time.monotonic() - started < 0.5


def test_a_chunk_header_without_end_is_refused(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 200_000, then="stall"))
    error = refused(asker, registry)
    assert (error.reason, error.outage) == (Reason.REGISTRY_ERROR, False)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_a_truncated_body_is_no_outage(asker: Asker, either: Hostile, start: bytes) -> None:
    either.on(TAGGED, Raw(start))
    error = refused(asker, either)
    assert (error.reason, error.outage) == (Reason.REGISTRY_ERROR, False)


@pytest.mark.parametrize(
    "start",
    [
        b"220 smtp.example ready\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ],
)
def test_what_is_not_http_is_no_outage(asker: Asker, registry: Hostile, start: bytes) -> None:
    registry.on(TAGGED, Raw(start))
    error = refused(asker, registry)
    assert (error.reason, error.outage) == (Reason.REGISTRY_ERROR, False)
