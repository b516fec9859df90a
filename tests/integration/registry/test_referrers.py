"""The referrers API, its pages and its fallback tag."""

from __future__ import annotations

import pytest

from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import INDEX_ENTRIES, MANIFEST_BYTES
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.registry.referrers import Listed
from tests.fakes.hostile import Hostile, Reply, as_json, redirect
from tests.integration.registry.conftest import REPOSITORY, Asker, described, within

SUBJECT = Digest.of(b"subject")
API = f"/v2/{REPOSITORY}/referrers/{SUBJECT}"
TAG = f"/v2/{REPOSITORY}/manifests/{SUBJECT.tag}"


def entry(number: int, **more: object) -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"%d" % number)), "size": number, **more}


def expected(*numbers: int) -> tuple[Descriptor, ...]:
    return tuple(Descriptor(OCI_MANIFEST, Digest.of(b"%d" % number), number) for number in numbers)


def index(*entries: object, headers: tuple[tuple[str, str], ...] = (), media_type: str = OCI_INDEX) -> Reply:
    return as_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, 200, media_type, *headers)


def link(target: str) -> tuple[tuple[str, str], ...]:
    return (("Link", f'<{target}>; rel="next"'),)


def listed(asker: Asker, server: Hostile) -> tuple[Descriptor, ...] | None:
    found = asker.client(server).referrers_api(REPOSITORY, SUBJECT, within())
    return None if found is None else found.descriptors


def refused(asker: Asker, server: Hostile) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        asker.client(server).referrers(REPOSITORY, SUBJECT, within())
    return caught.value


def test_the_api_lists_descriptors_without_what_an_index_says_of_them(asker: Asker, either: Hostile) -> None:
    either.on(API, index(entry(1, artifactType="x", annotations={"a": "b"}), entry(2, annotations=7)))
    assert listed(asker, either) == expected(1, 2)
    assert either.seen[0].headers["accept"] == OCI_INDEX


def test_an_empty_list_of_the_api_is_the_answer(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index())
    registry.on(TAG, index(entry(1)))
    assert asker.client(registry).referrers(REPOSITORY, SUBJECT, within()).descriptors == ()
    assert registry.paths() == [API]


@pytest.mark.parametrize("status", [404, 400, 405, 406])
def test_a_registry_without_the_api_is_asked_for_the_fallback_tag(asker: Asker, registry: Hostile, status: int) -> None:
    registry.on(API, Reply(status))
    registry.on(TAG, index(entry(1)))
    assert asker.client(registry).referrers(REPOSITORY, SUBJECT, within()).descriptors == expected(1)
    assert listed(asker, registry) is None


@pytest.mark.parametrize("media_type", ["application/json", "text/html", OCI_MANIFEST, ""])
def test_an_answer_of_another_type_is_no_referrers_api(asker: Asker, registry: Hostile, media_type: str) -> None:
    registry.on(API, index(entry(1), media_type=media_type))
    assert listed(asker, registry) is None


def test_the_type_of_the_list_may_have_parameters(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index(entry(1), media_type=f"{OCI_INDEX}; charset=utf-8"))
    assert listed(asker, registry) == expected(1)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.REGISTRY_UNAUTHORIZED),
        (403, Reason.REGISTRY_UNAUTHORIZED),
        (429, Reason.REGISTRY_LIMITED),
        (500, Reason.REGISTRY_ERROR),
        (503, Reason.REGISTRY_ERROR),
        (410, Reason.REGISTRY_ERROR),
    ],
)
def test_an_error_of_the_api_never_means_none(asker: Asker, registry: Hostile, status: int, reason: Reason) -> None:
    registry.on(API, Reply(status))
    assert refused(asker, registry).reason is reason
    assert TAG not in registry.paths()


def test_another_hosts_404_does_not_mean_that_there_is_no_api(asker: Asker, secure: Hostile, public: Hostile) -> None:
    secure.on(API, redirect(f"{public.url}/x"))
    assert refused(asker, secure).reason is Reason.REGISTRY_ERROR


def test_pages_are_followed_at_the_same_endpoint(asker: Asker, registry: Hostile) -> None:
    registry.on(
        API,
        index(entry(1), headers=link(f"{API}?n=1&last=a%2Fb")),
        index(entry(2), headers=link(f"{registry.url}{API}?n=2")),
        index(entry(3), headers=link("?n=3")),
        index(entry(4), headers=link(API.replace(":", "%3A") + "?n=4")),
        index(entry(5)),
    )
    assert listed(asker, registry) == expected(1, 2, 3, 4, 5)
    assert [seen.target.partition("?")[2] for seen in registry.seen] == ["", "n=1&last=a%2Fb", "n=2", "n=3", "n=4"]


@pytest.mark.parametrize(
    "header",
    ["<", 'x; rel="next"', '<{api}?a>; rel="next", <{api}?b>; rel="next"', "<{api}?a> rel=next", "<" + "x" * 9000],
)
def test_a_link_that_cannot_be_read_is_an_error(asker: Asker, registry: Hostile, header: str) -> None:
    registry.on(API, index(entry(1), headers=(("Link", header.replace("{api}", API)),)))
    assert refused(asker, registry).reason is Reason.REGISTRY_ERROR


def test_links_of_other_relations_are_not_followed(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index(entry(1), headers=(("Link", '<https://a.example/>; rel="describedby"; title="next"'),)))
    assert listed(asker, registry) == expected(1)


def test_a_sixth_page_is_not_read(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index(entry(1), headers=link("?n=1")))
    error = refused(asker, registry)
    assert (error.reason, error.outage, len(registry.seen)) == (Reason.LIMIT, False, 5)


def test_too_many_referrers_on_all_pages_together_are_an_error(asker: Asker, registry: Hostile) -> None:
    half = [entry(number) for number in range(INDEX_ENTRIES // 2)]
    registry.on(API, index(*half, headers=link("?n=1")), index(*half, headers=link("?n=2")), index(entry(1)))
    assert refused(asker, registry).reason is Reason.LIMIT


def test_as_many_referrers_as_the_limit_are_read(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index(*[entry(number) for number in range(INDEX_ENTRIES)]))
    assert len(listed(asker, registry) or ()) == INDEX_ENTRIES


def test_a_later_page_that_cannot_be_had_is_an_error(asker: Asker, registry: Hostile) -> None:
    registry.on(API, index(entry(1), headers=link("?n=1")), Reply(404))
    assert refused(asker, registry).reason is Reason.REGISTRY_ERROR


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"manifests":{}}', b'{"manifests":[],"manifests":[]}', b"\xff", b"nul"]
)
def test_a_list_that_does_not_parse_is_an_error(asker: Asker, registry: Hostile, body: bytes) -> None:
    registry.on(API, Reply(200, body, (("Content-Type", OCI_INDEX),)))
    error = refused(asker, registry)
    assert (error.reason, error.outage) == (Reason.REGISTRY_ERROR, False)


def test_an_entry_that_is_no_descriptor_hides_no_other(asker: Asker, registry: Hostile) -> None:
    sha512 = entry(2, digest=f"sha512:{'0' * 128}")
    registry.on(API, index(entry(1), sha512, 7, None, {}, entry(3, size=-1), entry(4)))
    assert listed(asker, registry) == expected(1, 4)


def test_without_a_fallback_tag_there_are_none(asker: Asker, registry: Hostile) -> None:
    assert asker.client(registry).referrers_tag(REPOSITORY, SUBJECT, within()) == Listed()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"", b'{"config":{},"layers":[]}', b"\xff"])
def test_a_fallback_tag_that_is_no_index_is_malformed(asker: Asker, registry: Hostile, body: bytes) -> None:
    registry.on(TAG, Reply(200, body))
    with pytest.raises(MalformedError):
        asker.client(registry).referrers_tag(REPOSITORY, SUBJECT, within())


def test_the_fallback_tag_is_held_to_the_same_limit(asker: Asker, registry: Hostile) -> None:
    registry.on(TAG, index(*[entry(number) for number in range(INDEX_ENTRIES + 1)]))
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).referrers_tag(REPOSITORY, SUBJECT, within())
    assert caught.value.reason is Reason.LIMIT


def test_a_page_larger_than_a_manifest_is_refused(asker: Asker, registry: Hostile) -> None:
    registry.on(API, Reply(200, b" " * (MANIFEST_BYTES + 1), (("Content-Type", OCI_INDEX),)))
    assert refused(asker, registry).reason is Reason.LIMIT


def test_all_pages_together_are_no_larger_than_one_index_may_be(asker: Asker, registry: Hostile) -> None:
    def page(size: int, *headers: tuple[str, str]) -> Reply:
        body = index(entry(1)).body
        return Reply(200, body + b" " * (size - len(body)), (("Content-Type", OCI_INDEX), *headers))

    first = page(MANIFEST_BYTES - 1000, *link("?n=1"))
    registry.on(API, first, page(1000))
    assert asker.client(registry).referrers(REPOSITORY, SUBJECT, within()).size == MANIFEST_BYTES
    registry.on(API, first, page(1001))
    assert refused(asker, registry).reason is Reason.LIMIT


def test_a_blob_of_another_repository_is_not_confused(asker: Asker, registry: Hostile) -> None:
    registry.on(f"/v2/ns/other/blobs/{described(b'x').digest}", Reply(200, b"x"))
    with pytest.raises(UnavailableError):
        asker.client(registry).blob(REPOSITORY, described(b"x"), 10, within())
