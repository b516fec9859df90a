"""Tag-based signatures: what is read from a layer, and what is refused before any key is asked."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.formats.simplesigning import (
    LAYER_TYPE,
    PAYLOAD_TYPE,
    SIGNATURE_ANNOTATION,
    LayerMaterial,
    SimpleSigningFormat,
    parse_payload,
)
from gate.core.manifests import Descriptor, Manifest, UnreadableLayer
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Claim, NoMaterial, RefusedCandidate, UntrustedSignature
from tests.fakes.sigstore import Sigstore

DIGEST = Digest.of(b"image")
FORM = SimpleSigningFormat()
CONFIG = Descriptor("application/x", DIGEST, 1)
SIGNATURE = base64.b64encode(b"signature").decode()

UNREADABLE = UnreadableLayer(LAYER_TYPE, Reason.MALFORMED, "the size is out of range")
NO_TYPE = UnreadableLayer(None, Reason.MALFORMED, "it is not an object")
FOREIGN = UnreadableLayer("text/x", Reason.MALFORMED, "the size is out of range")
EXCESSIVE = UnreadableLayer(LAYER_TYPE, Reason.LIMIT, "the annotations are too large")

NOT_A_DIGEST = "is not a digest of the form sha256:<64 hex digits>"

Fields = dict[str, object]


def critical(**changes: object) -> Fields:
    fields: Fields = {
        "identity": {"docker-reference": "reg.io/a"},
        "image": {"docker-manifest-digest": str(DIGEST)},
        "type": PAYLOAD_TYPE,
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def payload(**changes: object) -> bytes:
    return json.dumps({"critical": critical(**changes), "optional": None}).encode()


def layer(data: bytes, signature: str | None = SIGNATURE, media_type: str = LAYER_TYPE) -> Descriptor:
    annotations = () if signature is None else ((SIGNATURE_ANNOTATION, signature),)
    return Descriptor(media_type, Digest.of(data), len(data), annotations)


def manifest(*layers: Descriptor | UnreadableLayer) -> Manifest:
    return Manifest(DIGEST, "application/x", None, CONFIG, layers, None)


def read(data: bytes, signature: str | None = SIGNATURE) -> Candidate:
    (candidate,) = FORM.read(manifest(layer(data, signature)), "here", {Digest.of(data): data})
    return candidate


def refused(data: bytes, signature: str | None = SIGNATURE) -> tuple[Reason, str]:
    candidate = read(data, signature)
    assert isinstance(candidate, RefusedCandidate)
    assert (candidate.format, candidate.location) == ("simplesigning", "here layer 0")
    return candidate.reason, candidate.message


def test_a_payload_is_kept_byte_for_byte_as_the_message() -> None:
    data = b" " + payload() + b"\n"
    assert read(data) == UntrustedSignature(
        "simplesigning", "here layer 0", data, b"signature", Claim((DIGEST,), "reg.io/a"), material=LayerMaterial()
    )


def test_what_is_optional_changes_nothing() -> None:
    for optional in ({"creator": "me", "n": 1}, {}, "text"):
        data = json.dumps({"critical": critical(), "optional": optional}).encode()
        assert parse_payload(data) == parse_payload(payload())
    assert parse_payload(json.dumps({"critical": critical()}).encode()) == parse_payload(payload())


@pytest.mark.parametrize("identity", [{}, {"docker-reference": ""}])
def test_a_payload_may_name_no_repository(identity: Fields) -> None:
    assert parse_payload(payload(identity=identity)).repository is None


@pytest.mark.parametrize(
    "kind",
    ["", "not a signature at all", "atomic container signature", PAYLOAD_TYPE.upper(), PAYLOAD_TYPE + "\n", "a\u202eb"],
)
def test_a_payload_of_another_type_is_unsupported(kind: str) -> None:
    reason, message = refused(payload(type=kind))
    assert reason is Reason.UNSUPPORTED
    assert message.startswith("the payload is of type ")
    assert message.isprintable()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": None}, "critical.type is not a string"),
        ({"type": 1}, "critical.type is not a string"),
        ({"type": [PAYLOAD_TYPE]}, "critical.type is not a string"),
        ({"image": None}, "critical.image is not an object"),
        ({"image": str(DIGEST)}, "critical.image is not an object"),
        ({"image": {}}, "critical.image.docker-manifest-digest is not a string"),
        ({"image": {"docker-manifest-digest": [str(DIGEST)]}}, "critical.image.docker-manifest-digest is not a string"),
        ({"image": {"Docker-Manifest-Digest": "x"}}, 'critical.image has the unknown member "Docker-Manifest-Digest"'),
        ({"image": {"docker-manifest-digest": str(DIGEST), "x": 1}}, 'critical.image has the unknown member "x"'),
        ({"image": {"docker-manifest-digest": DIGEST.hex}}, f'"{DIGEST.hex}" {NOT_A_DIGEST}'),
        ({"image": {"docker-manifest-digest": ""}}, f'"" {NOT_A_DIGEST}'),
        ({"identity": None}, "critical.identity is not an object"),
        ({"identity": "reg.io/a"}, "critical.identity is not an object"),
        ({"identity": {"docker-reference": None}}, "critical.identity.docker-reference is not a string"),
        ({"identity": {"docker-reference": 1}}, "critical.identity.docker-reference is not a string"),
        ({"identity": {"Docker-Reference": "reg.io/a"}}, 'critical.identity has the unknown member "Docker-Reference"'),
        ({"Type": PAYLOAD_TYPE}, 'critical has the unknown member "Type"'),
        ({"expires": "2020"}, 'critical has the unknown member "expires"'),
    ],
)
def test_a_payload_with_a_wrong_member_is_malformed(changes: Fields, message: str) -> None:
    assert refused(payload(**changes)) == (Reason.MALFORMED, message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the document is not valid JSON"),
        (b"[]", "the document is not an object"),
        (b"{}", "critical is not an object"),
        (json.dumps({"Critical": critical()}).encode(), "critical is not an object"),
        (json.dumps({"critical": []}).encode(), "critical is not an object"),
        (payload() + payload(), "the document is not valid JSON"),
        (b"\xff" + payload(), "the document is not UTF-8"),
        (payload()[:-1] + b', "optional": {}}', "the document names a member of an object twice"),
        (
            payload().replace(b'"type":', b'"type": "x", "\\u0074ype":'),
            "the document names a member of an object twice",
        ),
        (payload()[:-1] + b', "x": NaN}', "the document contains NaN or Infinity"),
        (payload()[:-1] + b', "x": ' + b"[" * 64 + b"]" * 64 + b"}", "the document is nested deeper than 64 levels"),
    ],
)
def test_a_payload_that_could_mean_two_things_is_malformed(data: bytes, message: str) -> None:
    assert refused(data) == (Reason.MALFORMED, message)


def test_a_payload_of_64_kib_is_the_largest() -> None:
    largest = payload() + b" " * (64 * 1024 - len(payload()))
    assert isinstance(read(largest), UntrustedSignature)
    reason, message = refused(largest + b" ")
    assert reason is Reason.MALFORMED
    assert message == "the document has 65537 bytes, more than 65536"


@pytest.mark.parametrize("signature", [None, ""])
def test_a_layer_without_a_signature_is_malformed(signature: str | None) -> None:
    assert refused(payload(), signature) == (Reason.MALFORMED, "the layer carries no signature annotation")


@pytest.mark.parametrize(
    "signature", ["!", "YQ", "YQ==\n", " YQ==", "YQ==YQ==", "Y-_=", "\u00e9\u00e9\u00e9\u00e9", "a"]
)
def test_a_signature_that_is_not_base64_is_malformed(signature: str) -> None:
    assert refused(payload(), signature) == (Reason.MALFORMED, "the layer's signature annotation is not base64")


def test_the_annotations_of_certificates_logs_and_timestamps_are_not_looked_at() -> None:
    data = payload()
    names = ("certificate", "chain", "bundle", "rfc3161timestamp")
    annotations = ((SIGNATURE_ANNOTATION, SIGNATURE), *((f"dev.sigstore.cosign/{name}", "{garbage") for name in names))
    described = Descriptor(LAYER_TYPE, Digest.of(data), len(data), annotations)
    (candidate,) = FORM.read(manifest(described), "here", {described.digest: data})
    assert isinstance(candidate, UntrustedSignature)
    plain = read(data)
    assert isinstance(plain, UntrustedSignature)
    assert replace(candidate, material=NoMaterial()) == replace(plain, material=NoMaterial())
    assert candidate.size == len(data) + len(b"signature") + 4 * len("{garbage")


def test_the_certificates_are_the_first_of_the_signers_and_the_chain() -> None:
    sigstore = Sigstore.create()
    one, two = (sigstore.enroll().certificate for _ in range(2))
    [intermediate, *_] = sigstore.ca.chain
    both, chain = pem(one, two), pem(intermediate)
    assert LayerMaterial(certificate=both, chain=chain).certificates() == (one, intermediate)
    assert LayerMaterial(certificate=both).certificates() == (one,)


def test_a_chain_without_a_signer_is_nobodys() -> None:
    assert LayerMaterial(chain=pem(Sigstore.create().enroll().certificate)).certificates() == ()


def pem(*certificates: x509.Certificate) -> str:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates).decode()


def test_each_layer_is_a_candidate_of_its_own_and_a_bad_one_disables_none() -> None:
    good, bad, other = payload(), b"{", payload(type="x")
    layers = (
        layer(bad),
        layer(good),
        layer(b"foreign", None, "application/octet-stream"),
        layer(good, None),
        layer(other),
    )
    found = FORM.read(manifest(*layers), "here", {Digest.of(data): data for data in (good, bad, other)})
    assert [(item.location, type(item).__name__) for item in found] == [
        ("here layer 0", "RefusedCandidate"),
        ("here layer 1", "UntrustedSignature"),
        ("here layer 2", "RefusedCandidate"),
        ("here layer 3", "RefusedCandidate"),
    ]


def test_each_layer_that_cannot_be_read_is_a_refused_candidate_in_its_place() -> None:
    good = payload()
    mixed = manifest(UNREADABLE, FOREIGN, layer(b"foreign", None, "text/x"), layer(good), NO_TYPE)
    first, second, third = FORM.read(mixed, "here", {Digest.of(good): good})
    assert first == RefusedCandidate("simplesigning", "here layer 0", UNREADABLE.reason, UNREADABLE.message)
    assert (second.location, type(second)) == ("here layer 1", UntrustedSignature)
    assert third == RefusedCandidate("simplesigning", "here layer 2", NO_TYPE.reason, NO_TYPE.message)
    assert (FORM.wanted(mixed), FORM.omitted(mixed)) == ((layer(good),), None)


def test_a_layer_with_too_large_annotations_is_omitted_and_hides_no_other() -> None:
    good = payload()
    both = manifest(EXCESSIVE, layer(good))
    (candidate,) = FORM.read(both, "here", {Digest.of(good): good})
    assert (candidate.location, type(candidate)) == ("here layer 1", UntrustedSignature)
    assert FORM.wanted(both) == (layer(good),)
    assert_limit(FORM.omitted(both), EXCESSIVE.message)


@pytest.mark.parametrize(("unreadable", "recognised"), [(UNREADABLE, True), (EXCESSIVE, True), (NO_TYPE, False)])
def test_a_layer_that_cannot_be_read_is_recognised_by_the_type_that_it_names(
    unreadable: UnreadableLayer, recognised: bool
) -> None:
    assert FORM.recognises(manifest(unreadable)) is recognised
    assert not FORM.recognises(manifest(FOREIGN))


@pytest.mark.parametrize("unreadable", [UNREADABLE, NO_TYPE])
def test_layers_that_cannot_be_read_count_towards_the_64(unreadable: UnreadableLayer) -> None:
    good = payload()
    full, over = manifest(*[unreadable] * 63, layer(good)), manifest(*[unreadable] * 64, layer(good))
    documents = {Digest.of(good): good}
    assert (len(FORM.read(full, "here", documents)), FORM.omitted(full)) == (64, None)
    assert (len(FORM.read(over, "here", documents)), FORM.wanted(over)) == (64, ())
    assert_limit(FORM.omitted(over), "a signature manifest has 65 signatures, more than 64")


def test_a_payload_that_was_not_fetched_is_no_candidate() -> None:
    good, lost = payload(), payload(identity={})
    found = FORM.read(manifest(layer(lost), layer(good)), "here", {Digest.of(good): good})
    assert [item.location for item in found] == ["here layer 1"]


def test_a_manifest_is_recognised_by_its_layers_alone() -> None:
    assert FORM.recognises(manifest(layer(b"x"), layer(b"y", None, "text/x")))
    assert not FORM.recognises(manifest(layer(b"y", None, "text/x"), layer(b"z", None, LAYER_TYPE.upper())))
    assert not FORM.recognises(manifest())


def test_only_the_payload_layers_are_wanted() -> None:
    payload_layer = layer(b"x")
    assert FORM.wanted(manifest(payload_layer, layer(b"y", None, "text/x"))) == (payload_layer,)


def test_64_signatures_in_one_manifest_are_the_most() -> None:
    full, over = manifest(*[layer(b"x")] * 64), manifest(*[layer(b"x")] * 65)
    assert (len(FORM.wanted(full)), FORM.omitted(full)) == (64, None)
    assert len(FORM.wanted(over)) == 64
    assert len(FORM.read(over, "here", {Digest.of(b"x"): b"x"})) == 64
    assert_limit(FORM.omitted(over), "a signature manifest has 65 signatures, more than 64")


def test_a_payload_that_says_it_is_larger_than_64_kib_is_not_fetched_and_hides_no_other() -> None:
    largest, larger = Descriptor(LAYER_TYPE, DIGEST, 64 * 1024), Descriptor(LAYER_TYPE, DIGEST, 64 * 1024 + 1)
    both = manifest(larger, largest)
    assert FORM.omitted(manifest(largest)) is None
    assert FORM.wanted(both) == (largest,)
    assert_limit(FORM.omitted(both), "a signed payload is larger than 65536 bytes")


def assert_limit(omitted: UnavailableError | None, message: str) -> None:
    assert omitted is not None
    assert (omitted.reason, omitted.outage, omitted.message) == (Reason.LIMIT, False, message)


names = st.sampled_from(["critical", "identity", "image", "type", "docker-reference", "docker-manifest-digest", "x"])
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([str(DIGEST), PAYLOAD_TYPE])
values = st.recursive(
    leaves, lambda below: st.dictionaries(names, below, max_size=4) | st.lists(below, max_size=2), max_leaves=8
)
near = st.builds(
    lambda identity, image, kind: payload(identity=identity, image=image, type=kind), values, values, values
)
any_bytes = st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()) | near


@given(any_bytes)
def test_no_payload_raises_anything_but_malformed_and_untrusted_error(data: bytes) -> None:
    try:
        parse_payload(data)
    except (MalformedError, UntrustedError) as error:
        assert len(error.message.splitlines()) == 1


@given(any_bytes, st.text(max_size=20) | st.just(SIGNATURE))
def test_reading_raises_nothing(data: bytes, signature: str) -> None:
    candidate = read(data, signature)
    if isinstance(candidate, RefusedCandidate):
        assert candidate.reason in {Reason.MALFORMED, Reason.UNSUPPORTED}
