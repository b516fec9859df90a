"""The HTTP front of the registry in memory: keep-alive, bodies and their limits."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.core.manifests import OCI_MANIFEST, Manifest, parse_manifest
from gate.core.oci import Digest, Reference
from gate.demo import content
from gate.demo.registry import serve
from gate.demo.store import BLOB_BYTES, Store

BLOB = Digest.of(b"blob")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def connection(store: Store) -> Iterator[http.client.HTTPConnection]:
    with serve(store) as address:
        connection = http.client.HTTPConnection(address, timeout=5)
        yield connection
        connection.close()


def ask(connection: http.client.HTTPConnection, method: str, path: str, **options: object) -> tuple[int, bytes]:
    connection.request(method, path, **options)  # type: ignore[arg-type]  # typeshed names every option
    response = connection.getresponse()
    return response.status, response.read()


def test_one_connection_carries_many_requests(store: Store, connection: http.client.HTTPConnection) -> None:
    digest = store.push_manifest("app", b"{}", tag="1")
    connection.connect()
    kept = connection.sock
    for method, body in (("HEAD", b""), ("GET", b"{}")):
        for reference in ("1", digest):
            connection.request(method, f"/v2/app/manifests/{reference}")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, body)
            assert response.headers["Content-Length"] == "2"
            assert response.headers["Content-Type"] == OCI_MANIFEST
            assert response.headers["Docker-Content-Digest"] == str(digest)
    assert connection.sock is kept
    assert store.requests == 4


def test_a_chunked_body_arrives_whole(store: Store, connection: http.client.HTTPConnection) -> None:
    path = f"/v2/app/blobs/uploads/?digest={BLOB}"
    assert ask(connection, "POST", path, body=iter([b"bl", b"ob"]), encode_chunked=True) == (201, b"")
    assert store.blob("app", BLOB) == b"blob"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Content-Length: 99999999999", b"", 413),
        ("Content-Length: -1", b"", 400),
        ("Content-Length: x", b"", 400),
        ("Transfer-Encoding: gzip", b"", 501),
        ("Transfer-Encoding: chunked", b"zz\r\n", 400),
        ("Transfer-Encoding: chunked", b"-5\r\n", 413),
        ("Transfer-Encoding: chunked", b"%x\r\n" % (BLOB_BYTES + 1), 413),
        ("Transfer-Encoding: chunked", b"1" * 5000, 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_closed(
    store: Store, connection: http.client.HTTPConnection, headers: str, body: bytes, status: int
) -> None:
    with socket.create_connection((connection.host, connection.port), timeout=5) as raw:
        raw.sendall(f"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer
    assert store.requests == 0


def test_a_front_without_the_referrers_api_says_so_whatever_the_store_has(store: Store) -> None:
    with serve(store, referrers_api=False) as address:
        connection = http.client.HTTPConnection(address, timeout=5)
        assert ask(connection, "GET", f"/v2/app/referrers/{BLOB}")[0] == 404
        connection.close()


def test_an_idle_connection_does_not_keep_the_registry_from_ending(store: Store) -> None:
    with serve(store) as address:
        idle = http.client.HTTPConnection(address, timeout=5)
        assert ask(idle, "GET", "/v2/")[0] == 200
    assert idle.sock.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        idle.connect()


def test_oras_pushes_a_bundle_as_config_sync_reads_it(store: Store, tmp_path: Path) -> None:
    with serve(store) as address:
        digest = content.push(Reference(address, "config", "v1"), content.GOOD, tmp_path)
    found = store.manifest("config", "v1")
    assert found is not None
    manifest = parse_manifest(*found)
    assert isinstance(manifest, Manifest)
    assert manifest.digest == digest
    assert [layer.media_type for layer in manifest.layers] == ["application/vnd.oci.image.layer.v1.tar+gzip"]
    assert store.blob("config", manifest.layers[0].digest) == content.pack(content.GOOD)


def test_the_digest_of_a_bundle_depends_on_its_files_alone(store: Store, tmp_path: Path) -> None:
    with serve(store) as address:
        digests = {
            content.push(Reference(address, repository, tag), content.GOOD, tmp_path)
            for repository, tag in (("a", "1"), ("b", "2"))
        }
        assert content.push(Reference(address, "a", "1"), content.TAMPERED, tmp_path) not in digests
    assert len(digests) == 1
