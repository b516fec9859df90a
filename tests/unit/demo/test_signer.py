from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from cryptography.hazmat.primitives import hashes

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.manifests import DOCKER_MANIFEST, OCI_INDEX, Manifest, parse_manifest
from gate.core.oci import Digest, Reference
from gate.core.policy import NoMatch
from gate.core.reasons import Reason
from gate.core.verify import decide
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.registry.discovery import Discovery
from tests.fakes.registry import StoreClient
from tests.fakes.shared import shared_fixture
from tests.fakes.signing import NOW, REPOSITORY, rule_for, signer

Layout = Literal["tag", "referrer", "bundle"]
LAYOUTS: tuple[Layout, ...] = ("tag", "referrer", "bundle")
KINDS = ("p256", "p384", "p521", "rsa2048", "ed25519")


def image(store: Store, content: bytes = b"image") -> Digest:
    config = store.push_blob(REPOSITORY, b"{}")
    descriptor = {"mediaType": layouts.IMAGE_CONFIG, "size": 2, "digest": str(config)}
    return store.push_manifest(REPOSITORY, layouts.image(descriptor, [], annotations={"content": content.hex()}))


def sign(by: Signer, layout: Layout, store: Store, digest: Digest) -> Digest:
    match layout:
        case "tag":
            return by.sign_tag(store, REPOSITORY, digest)
        case "referrer":
            return by.sign_referrer(store, REPOSITORY, digest)
        case "bundle":
            return by.sign_bundle(store, REPOSITORY, digest)


def reasons(store: Store, digest: Digest, by: Signer) -> tuple[Reason, list[Reason]]:
    """Return the verdict of gate's own engine with ``by`` as the only authority, and what it says of each candidate."""
    with ThreadPoolExecutor(4) as executor:
        deadline = Deadline.after(8, lambda: 0.0)
        evidence = Discovery(StoreClient(store), REPOSITORY, digest, deadline, executor).run()
    rules = [rule_for(by)]
    decision = decide(Reference("r.example", REPOSITORY, digest=digest), evidence, rules, NoMatch.DENY, NOW)
    return decision.verdict.reason, [item.reason for item in decision.rules[0].candidates]


@pytest.mark.parametrize("referrers_api", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_gate_verifies_every_layout_of_every_key(kind: str, layout: Layout, referrers_api: bool) -> None:
    store, by = Store(referrers_api=referrers_api), signer(kind)
    digest = image(store)
    sign(by, layout, store, digest)
    assert reasons(store, digest, by) == (Reason.VERIFIED, [Reason.VERIFIED])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_signature_by_another_key_is_not_good(layout: Layout) -> None:
    store = Store()
    digest = image(store)
    sign(signer(number=2), layout, store, digest)
    assert reasons(store, digest, signer()) == (Reason.UNTRUSTED, [Reason.BAD_SIGNATURE])


@pytest.mark.parametrize("kind", ["p384", "p521"])
@pytest.mark.parametrize("layout", ["tag", "referrer"])
def test_cosign_2_signs_with_sha_256_whatever_the_curve(kind: str, layout: Layout) -> None:
    store, by = Store(), signer(kind)
    digest = image(store)
    if layout == "tag":
        by.sign_tag(store, REPOSITORY, digest, hash=hashes.SHA256())
    else:
        by.sign_referrer(store, REPOSITORY, digest, hash=hashes.SHA256())
    assert reasons(store, digest, by) == (Reason.VERIFIED, [Reason.VERIFIED])


def test_a_second_signature_is_appended_to_the_first() -> None:
    store, first, second = Store(), signer(), signer(number=2)
    digest = image(store)
    first.sign_tag(store, REPOSITORY, digest)
    second.sign_tag(store, REPOSITORY, digest)
    assert reasons(store, digest, first) == (Reason.VERIFIED, [Reason.VERIFIED, Reason.BAD_SIGNATURE])
    assert reasons(store, digest, second) == (Reason.VERIFIED, [Reason.BAD_SIGNATURE, Reason.VERIFIED])


def test_a_signature_that_is_not_appended_replaces_the_first() -> None:
    store = Store()
    digest = image(store)
    signer().sign_tag(store, REPOSITORY, digest)
    signer(number=2).sign_tag(store, REPOSITORY, digest, append=False)
    assert reasons(store, digest, signer())[1] == [Reason.BAD_SIGNATURE]


def test_the_claim_can_be_of_another_digest() -> None:
    store, by, other = Store(), signer(), Digest.of(b"other")
    tagged, bundled = image(store, b"1"), image(store, b"2")
    by.sign_tag(store, REPOSITORY, tagged, claim=other)
    by.sign_bundle(store, REPOSITORY, bundled, claim=other)
    assert reasons(store, tagged, by)[1] == reasons(store, bundled, by)[1] == [Reason.WRONG_DIGEST]


def test_a_bundle_with_another_predicate_is_an_attestation() -> None:
    store, by = Store(), signer()
    digest = image(store)
    by.sign_bundle(store, REPOSITORY, digest, predicate_type="https://slsa.dev/provenance/v1")
    assert reasons(store, digest, by) == (Reason.NO_SIGNATURE, [Reason.ATTESTATION])


def test_every_member_of_a_document_can_be_replaced_or_left_out() -> None:
    store, by = Store(), signer()
    digest = image(store)
    signed = by.sign_tag(
        store,
        REPOSITORY,
        digest,
        signature=None,
        payload=b"",
        annotations={"a": "b"},
        layer={"size": 7},
        config={"mediaType": "x/y"},
        manifest={"artifactType": "t/t"},
        tag="elsewhere",
        media_type=DOCKER_MANIFEST,
    )
    found = store.manifest(REPOSITORY, "elsewhere")
    assert found is not None
    assert found == store.manifest(REPOSITORY, signed)
    assert found[1] == DOCKER_MANIFEST
    manifest = parse_manifest(found[0])
    assert isinstance(manifest, Manifest)
    assert (manifest.artifact_type, manifest.config.media_type) == ("t/t", "x/y")
    assert (manifest.layers[0].size, manifest.layers[0].annotations) == (7, (("a", "b"),))
    assert store.blob(REPOSITORY, manifest.layers[0].digest) == b""

    pushed = by.sign_bundle(store, REPOSITORY, digest, bundle={"mediaType": None, "x": 1}, manifest={"subject": None})
    document = documents(store, pushed)[0]
    assert "mediaType" not in document
    assert document["x"] == 1
    assert pushed not in {item.digest for item in store.referrers(REPOSITORY, digest)}


def documents(store: Store, digest: Digest) -> list[strictjson.Object]:
    found = store.manifest(REPOSITORY, digest)
    assert found is not None
    manifest = parse_manifest(found[0])
    assert isinstance(manifest, Manifest)
    blobs = [store.blob(REPOSITORY, layer.digest) or b"" for layer in manifest.layers]
    return [strictjson.loads_object(blob, limit=10_000) for blob in blobs]


def test_the_fallback_tag_is_written_only_where_there_is_no_referrers_api_and_lists_every_referrer_once() -> None:
    for referrers_api in (True, False):
        store, by = Store(referrers_api=referrers_api), signer()
        digest = image(store)
        pushed = [by.sign_referrer(store, REPOSITORY, digest), by.sign_bundle(store, REPOSITORY, digest)]
        found = store.manifest(REPOSITORY, digest.tag)
        if referrers_api:
            assert found is None
            continue
        assert found is not None
        assert found[1] == OCI_INDEX
        assert [found[0].count(item.hex.encode()) for item in pushed] == [1, 1]


# What cosign itself wrote, and our layouts with its signatures put in: byte for byte the same.

IMAGE = Digest.parse("sha256:f22c6e9356792b8f9ec83192e02066b00e1dd9c4305ff96f42038e015cbcf04b")


def recorded(repository: str, digest: str) -> bytes:
    return (shared_fixture(f"signed/{repository}/manifests") / f"sha256-{digest}.json").read_bytes()


def store_with_image(repository: str) -> Store:
    store = Store(referrers_api=False)
    store.push_manifest(repository, recorded(repository, IMAGE.hex), DOCKER_MANIFEST)
    return store


@pytest.mark.parametrize(
    ("repository", "digest"),
    [
        ("k/p256-c2l", "f7781de9605f11df7756b41b066801d6dcafae78e0a224a053cf6891fb0a7841"),
        ("k/p384-c3l", "eef9eab0bcbb3918441423a83206f78728e913642205ab5d7841eba15da14aba"),
    ],
)
def test_a_tag_based_signature_is_byte_for_byte_cosigns(repository: str, digest: str) -> None:
    raw, store = recorded(repository, digest), store_with_image(repository)
    manifest = parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    signature = manifest.layers[0].annotation("dev.cosignproject.cosign/signature")
    made = signer().sign_tag(store, repository, IMAGE, reference=f"127.0.0.1:15902/{repository}", signature=signature)
    assert store.manifest(repository, made) == (raw, "application/vnd.oci.image.manifest.v1+json")


def test_a_signature_in_a_referrer_is_byte_for_byte_cosigns() -> None:
    repository = "t/referrers"
    raw = recorded(repository, "455e48a4d2811c3362b79cce131852d681dd649b58f5264a7a71c42c9eb450b3")
    store, manifest = store_with_image(repository), parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    signature = manifest.layers[0].annotation("dev.cosignproject.cosign/signature")
    signer().sign_referrer(store, repository, IMAGE, reference=f"127.0.0.1:15902/{repository}", signature=signature)
    index = recorded(repository, "990022e6ef39972dcba6eb8bbd21379dd267b29cba3840125ed29ce9ad61ea8d")
    assert store.manifest(repository, IMAGE.tag) == (index, OCI_INDEX)
    assert store.manifest(repository, Digest.of(raw)) is not None


def test_a_bundle_is_byte_for_byte_cosigns() -> None:
    repository = "k/p256-c3b"
    raw = recorded(repository, "2a96a8880dfe9f8284c65c2d84c7533b029f3167da4de78a442e42a324282051")
    store, manifest = store_with_image(repository), parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    blob = shared_fixture(f"signed/{repository}/blobs/{manifest.layers[0].digest.tag}").read_bytes()
    theirs = strictjson.loads_object(blob, limit=10_000)
    envelope = strictjson.expect_object(theirs["dsseEnvelope"], "the envelope")
    (entry,) = strictjson.expect_array(envelope["signatures"], "the signatures")
    text = strictjson.expect_string(strictjson.expect_object(entry, "the signature")["sig"], "the signature")
    material = strictjson.expect_object(theirs["verificationMaterial"], "the material")
    signer().sign_bundle(
        store,
        repository,
        IMAGE,
        signatures=[base64.b64decode(text)],
        material=material,
        manifest={"annotations": dict(manifest.annotations)},
    )
    index = recorded(repository, "ece2e9bc6b7f6a271802d1ccc9224105eb36e44f1744ffb94b796f586169944f")
    assert store.manifest(repository, IMAGE.tag) == (index, OCI_INDEX)
    assert store.manifest(repository, Digest.of(raw)) is not None


def test_a_key_of_every_kind_has_a_public_half_in_pem() -> None:
    for kind in (*KINDS, "rsa3072"):
        assert signer(kind).public_pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
