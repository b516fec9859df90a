from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.manifests import OCI_INDEX, OCI_MANIFEST
from gate.core.oci import Digest
from gate.demo.endpoints import UPLOADS, Answer, Registry, Request
from gate.demo.store import BLOB_BYTES, Store

BLOB = Digest.of(b"blob")


def ask(registry: Registry, method: str, path: str, body: bytes = b"", content_range: str = "", **query: str) -> Answer:
    return registry.answer(Request(method, path, query, OCI_MANIFEST, content_range, body))


def header(answer: Answer, name: str) -> str | None:
    return dict(answer.headers).get(name)


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["errors"][0]["code"])


@pytest.fixture
def registry() -> Registry:
    return Registry(Store(), referrers_api=True)


def test_the_protocol_is_spoken_at_its_root(registry: Registry) -> None:
    assert ask(registry, "GET", "/v2/").status is HTTPStatus.OK


def test_a_manifest_is_answered_with_its_bytes_type_and_digest(registry: Registry) -> None:
    digest = registry.store.push_manifest("team/app", b"{}", OCI_INDEX, tag="1")
    for reference in ("1", digest):
        answer = ask(registry, "GET", f"/v2/team/app/manifests/{reference}")
        assert (answer.status, answer.body, answer.media_type) == (HTTPStatus.OK, b"{}", OCI_INDEX)
        assert header(answer, "Docker-Content-Digest") == str(digest)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/app/manifests/1", "MANIFEST_UNKNOWN"),
        (f"/v2/app/manifests/{BLOB}", "MANIFEST_UNKNOWN"),
        (f"/v2/app/blobs/{BLOB}", "BLOB_UNKNOWN"),
        ("/v2/app/tags/list", "NAME_UNKNOWN"),
        ("/v2/App/tags/list", "NAME_UNKNOWN"),
        ("/v2/../etc/manifests/1", "NAME_UNKNOWN"),
        ("/v1/", "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_answered_404(registry: Registry, path: str, expected: str) -> None:
    answer = ask(registry, "GET", path)
    assert (answer.status, code(answer)) == (HTTPStatus.NOT_FOUND, expected)


def test_an_upload_in_chunks_is_kept_under_its_digest(registry: Registry) -> None:
    location = header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location")
    assert location is not None
    assert header(ask(registry, "PATCH", location, b"bl", "0-1"), "Range") == "0-1"
    assert header(ask(registry, "PATCH", location, b"o", "2-2"), "Range") == "0-2"
    assert ask(registry, "GET", location).status is HTTPStatus.NO_CONTENT
    answer = ask(registry, "PUT", location, b"b", digest=str(BLOB))
    assert (answer.status, header(answer, "Location")) == (HTTPStatus.CREATED, f"/v2/app/blobs/{BLOB}")
    assert ask(registry, "GET", f"/v2/app/blobs/{BLOB}").body == b"blob"
    assert ask(registry, "GET", location).status is HTTPStatus.NOT_FOUND


def test_a_whole_blob_can_be_posted_at_once(registry: Registry) -> None:
    assert ask(registry, "POST", "/v2/app/blobs/uploads/", b"blob", digest=str(BLOB)).status is HTTPStatus.CREATED
    assert registry.store.blob("app", BLOB) == b"blob"


def test_a_chunk_out_of_order_is_refused(registry: Registry) -> None:
    location = header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location") or ""
    answer = ask(registry, "PATCH", location, b"lob", "1-3")
    assert answer.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@pytest.mark.parametrize("digest", ["", "sha256:00", str(Digest.of(b"other")), "md5:1"])
def test_an_upload_with_another_digest_is_refused_and_not_kept(registry: Registry, digest: str) -> None:
    location = header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location") or ""
    answer = ask(registry, "PUT", location, b"blob", digest=digest)
    assert (answer.status, code(answer)) == (HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
    assert registry.store.blob("app", BLOB) is None


def test_a_cancelled_upload_is_gone(registry: Registry) -> None:
    location = header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location") or ""
    assert ask(registry, "DELETE", location).status is HTTPStatus.NO_CONTENT
    assert ask(registry, "PATCH", location, b"x").status is HTTPStatus.NOT_FOUND


def test_an_upload_above_the_limit_is_refused(registry: Registry) -> None:
    location = header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location") or ""
    assert ask(registry, "PATCH", location, bytes(BLOB_BYTES)).status is HTTPStatus.ACCEPTED
    assert ask(registry, "PATCH", location, b"x").status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_the_oldest_of_too_many_unfinished_uploads_gives_way(registry: Registry) -> None:
    locations = [header(ask(registry, "POST", "/v2/app/blobs/uploads/"), "Location") or "" for _ in range(UPLOADS + 1)]
    assert ask(registry, "GET", locations[0]).status is HTTPStatus.NOT_FOUND
    assert ask(registry, "GET", locations[1]).status is HTTPStatus.NO_CONTENT


def test_a_manifest_is_kept_under_its_tag_with_the_type_it_was_pushed_as(registry: Registry) -> None:
    answer = ask(registry, "PUT", "/v2/app/manifests/1", b'{"a":1}')
    assert answer.status is HTTPStatus.CREATED
    assert header(answer, "Docker-Content-Digest") == str(Digest.of(b'{"a":1}'))
    assert registry.store.manifest("app", "1") == (b'{"a":1}', OCI_MANIFEST)


def test_a_manifest_under_another_digest_is_refused(registry: Registry) -> None:
    answer = ask(registry, "PUT", f"/v2/app/manifests/{BLOB}", b"{}")
    assert (answer.status, code(answer)) == (HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a":1,"a":2}', b'{"subject":1}'])
def test_what_is_no_manifest_is_refused(registry: Registry, raw: bytes) -> None:
    answer = ask(registry, "PUT", "/v2/app/manifests/1", raw)
    assert (answer.status, code(answer)) == (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID")
    assert registry.store.manifest("app", "1") is None


def subject_manifest(kind: str) -> bytes:
    subject = {"mediaType": OCI_MANIFEST, "size": 4, "digest": str(BLOB)}
    return json.dumps({"artifactType": kind, "layers": [], "subject": subject}).encode()


def test_a_referrer_is_acknowledged_and_listed_and_can_be_filtered_by_type(registry: Registry) -> None:
    pushed = ask(registry, "PUT", "/v2/app/manifests/1", subject_manifest("a/b"))
    ask(registry, "PUT", "/v2/app/manifests/2", subject_manifest("c/d"))
    assert header(pushed, "OCI-Subject") == str(BLOB)
    everything = ask(registry, "GET", f"/v2/app/referrers/{BLOB}")
    assert everything.media_type == OCI_INDEX
    assert everything.body.count(b'"artifactType"') == 2
    assert header(everything, "OCI-Filters-Applied") is None
    filtered = ask(registry, "GET", f"/v2/app/referrers/{BLOB}", artifactType="c/d")
    assert b"a/b" not in filtered.body
    assert b"c/d" in filtered.body
    assert header(filtered, "OCI-Filters-Applied") == "artifactType"


def test_a_digest_without_referrers_has_an_empty_list_even_in_an_unknown_repository(registry: Registry) -> None:
    answer = ask(registry, "GET", f"/v2/app/referrers/{BLOB}")
    assert (answer.status, b'"manifests":[]' in answer.body) == (HTTPStatus.OK, True)


def test_without_the_referrers_api_it_is_404_and_a_subject_is_not_acknowledged() -> None:
    registry = Registry(Store(), referrers_api=False)
    assert header(ask(registry, "PUT", "/v2/app/manifests/1", subject_manifest("a/b")), "OCI-Subject") is None
    assert ask(registry, "GET", f"/v2/app/referrers/{BLOB}").status is HTTPStatus.NOT_FOUND


def test_tags_are_listed_in_order(registry: Registry) -> None:
    for tag in ("b", "a"):
        registry.store.push_manifest("app", b"{}", tag=tag)
    assert ask(registry, "GET", "/v2/app/tags/list").body == b'{"name":"app","tags":["a","b"]}'


def test_a_method_that_an_endpoint_does_not_have_is_405(registry: Registry) -> None:
    assert ask(registry, "DELETE", "/v2/app/manifests/1").status is HTTPStatus.METHOD_NOT_ALLOWED


def test_every_request_is_counted_whatever_is_answered(registry: Registry) -> None:
    ask(registry, "GET", "/v2/")
    ask(registry, "PUT", "/nowhere")
    assert registry.store.recent_requests == ("GET /v2/", "PUT /nowhere")


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]),
    path=st.text(max_size=40).map(lambda text: f"/v2/app/{text}")
    | st.sampled_from(["/v2/app/manifests/1", "/v2/app/blobs/uploads/", f"/v2/app/referrers/{BLOB}"]),
    body=st.binary(max_size=60),
    content_range=st.text(max_size=8),
    digest=st.text(max_size=80),
)
def test_whatever_is_sent_there_is_an_answer(
    method: str, path: str, body: bytes, content_range: str, digest: str
) -> None:
    answer = ask(Registry(Store(), referrers_api=True), method, path, body, content_range, digest=digest)
    assert answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
