"""Which manifest of an index Config Sync syncs, and what an index lists."""

from __future__ import annotations

import json

import pytest

from gate.core.errors import MalformedError
from gate.core.manifests import DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, Index, parse_manifest
from gate.core.oci import Digest
from gate.core.platforms import Listing

ONE, TWO, THREE = (Digest.of(text) for text in (b"one", b"two", b"three"))
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64"}
ATTESTATION = {"os": "unknown", "architecture": "unknown"}
DIGEST_KEY = "dige\u017ft"  # with a long s, which Go's decoder takes for an s


def entry(digest: Digest, platform: object = AMD64, **more: object) -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": 1, "platform": platform, **more}


def listing(*entries: object, **members: object) -> Listing:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **members}
    return Listing.of(parse_manifest(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("entries", "synced"),
    [
        ([entry(ONE)], ONE),
        ([entry(ONE, ARM64), entry(TWO)], TWO),
        ([entry(ONE, ATTESTATION), entry(TWO)], TWO),
        ([entry(ONE), entry(TWO)], ONE),
        ([entry(ONE, AMD64 | {"variant": "v3", "os.version": "1", "os.features": ["x"]}), entry(TWO)], ONE),
        ([entry(ONE, None), entry(TWO)], ONE),
        ([{"mediaType": OCI_MANIFEST, "digest": str(ONE), "size": 1}, entry(TWO)], ONE),
        ([entry(ONE, {}), entry(TWO)], TWO),
        ([entry(ONE, {"os": "linux"}), entry(TWO)], TWO),
        ([entry(ONE, {"os": "windows", "architecture": "amd64"}), entry(TWO)], TWO),
        ([entry(ONE, {"os": "linux/amd64"}), entry(TWO, {"architecture": "linux/amd64"})], None),
        ([entry(ONE, ARM64)], None),
        ([], None),
        ([entry(ONE, mediaType=OCI_INDEX), entry(TWO)], None),
        ([entry(ONE, mediaType=DOCKER_INDEX)], None),
    ],
)
def test_config_sync_syncs_the_first_manifest_for_linux_on_amd64(entries: list[object], synced: Digest | None) -> None:
    assert listing(*entries).synced == synced


@pytest.mark.parametrize(
    ("platform", "named"),
    [
        ({}, "/"),
        ({"os": "linux"}, "linux/"),
        ({"architecture": "amd64"}, "/amd64"),
        ({"os": "", "architecture": ""}, "/"),
        (None, "linux/amd64"),
    ],
)
def test_a_platform_is_named_as_the_index_has_it_with_nothing_for_what_it_lacks(platform: object, named: str) -> None:
    raw = json.dumps({"manifests": [entry(ONE, platform)]}).encode()
    index = parse_manifest(raw)
    assert isinstance(index, Index)
    assert [each.platform for each in index.manifests] == [named]


def test_what_an_index_lists_is_told_with_its_own_digest() -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(ONE)]}).encode()
    assert Listing.of(parse_manifest(raw)) == Listing(Digest.of(raw), (ONE,), ONE)


def test_an_image_is_synced_itself_and_lists_nothing() -> None:
    config = {"mediaType": "application/x", "digest": str(ONE), "size": 1}
    raw = json.dumps({"config": config, "layers": [config]}).encode()
    found = Listing.of(parse_manifest(raw))
    assert (found.digest, found.synced, found.manifests) == (Digest.of(raw), Digest.of(raw), ())
    assert not found.lists(Digest.of(raw))
    assert not found.lists(ONE)


def test_an_index_lists_what_it_names_directly_for_whichever_platform() -> None:
    found = listing(entry(ONE, ATTESTATION), entry(TWO, ARM64), annotations={"x": str(THREE)})
    assert found.manifests == (ONE, TWO)
    assert [found.lists(digest) for digest in (ONE, TWO, THREE, found.digest)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("entries", "members"),
    [
        ([entry(ONE, Digest=str(TWO))], {}),
        ([entry(ONE, **{DIGEST_KEY: str(TWO)})], {}),
        ([entry(ONE, MediaType=OCI_INDEX)], {}),
        ([{**entry(ONE), "Platform": ARM64}], {}),
        ([entry(ONE, AMD64 | {"OS": "windows"})], {}),
        ([entry(ONE, AMD64 | {"Architecture": "arm64"})], {}),
        ([entry(ONE)], {"Manifests": [entry(TWO)]}),
        ([entry(ONE)], {"MEDIATYPE": OCI_MANIFEST}),
        ([entry(ONE, "linux/amd64")], {}),
        ([entry(ONE, AMD64 | {"os": 1})], {}),
        ([entry(ONE, AMD64 | {"architecture": None})], {}),
    ],
)
def test_an_index_that_somebody_else_may_read_otherwise_is_malformed(
    entries: list[object], members: dict[str, object]
) -> None:
    with pytest.raises(MalformedError):
        listing(*entries, **members)
