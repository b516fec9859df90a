"""Sigstore bundles: what is read from the envelope, and what is refused before any key is asked."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.formats.bundle import BundleFormat, parse_statement
from gate.core.formats.dsse import IN_TOTO_TYPE, SIGNATURE_PREDICATE, pre_authentication_encoding
from gate.core.formats.sigstorebundle import BUNDLE_TYPE
from gate.core.manifests import Descriptor, Manifest, UnreadableLayer
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Claim, RefusedCandidate, UntrustedSignature

DIGEST = Digest.of(b"image")
FORM = BundleFormat()
CONFIG = Descriptor("application/x", DIGEST, 1)
UNREADABLE = UnreadableLayer(BUNDLE_TYPE, Reason.MALFORMED, "the size is out of range")
NO_TYPE = UnreadableLayer(None, Reason.MALFORMED, "it is not an object")
FOREIGN = UnreadableLayer("text/x", Reason.MALFORMED, "the size is out of range")
EXCESSIVE = UnreadableLayer(BUNDLE_TYPE, Reason.LIMIT, "the annotations are too large")
NOT_A_DIGEST = "is not a digest of the form sha256:<64 hex digits>"
SIGNATURE = {"sig": base64.b64encode(b"signature").decode()}

Fields = dict[str, object]


def kept(fields: Fields, changes: Fields) -> Fields:
    """Return the members with some replaced; None leaves one out."""
    return {name: value for name, value in (fields | changes).items() if value is not None}


def statement(**changes: object) -> bytes:
    fields: Fields = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": DIGEST.hex}}],
        "predicateType": SIGNATURE_PREDICATE,
        "predicate": {},
    }
    return json.dumps(kept(fields, changes)).encode()


def envelope(data: bytes | None = None, **changes: object) -> Fields:
    fields: Fields = {
        "payload": base64.b64encode(statement() if data is None else data).decode(),
        "payloadType": IN_TOTO_TYPE,
        "signatures": [SIGNATURE],
    }
    return kept(fields, changes)


def bundle(**changes: object) -> bytes:
    fields: Fields = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": envelope(),
    }
    return json.dumps(kept(fields, changes)).encode()


def layer(data: bytes, media_type: str = BUNDLE_TYPE) -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def manifest(*layers: Descriptor | UnreadableLayer) -> Manifest:
    return Manifest(DIGEST, "application/x", None, CONFIG, layers, None)


def read(data: bytes) -> Candidate:
    (candidate,) = FORM.read(manifest(layer(data)), "here", {Digest.of(data): data})
    return candidate


def refused(data: bytes) -> tuple[Reason, str]:
    candidate = read(data)
    assert isinstance(candidate, RefusedCandidate)
    assert (candidate.format, candidate.location) == ("bundle", "here")
    return candidate.reason, candidate.message


def test_what_was_signed_is_the_pre_authentication_encoding_of_the_payloads_own_bytes() -> None:
    data = b" " + statement() + b"\n"
    document = bundle(dsseEnvelope=envelope(data))
    candidate = read(document)
    assert isinstance(candidate, UntrustedSignature)
    message = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(data), data)
    assert (candidate.format, candidate.location, candidate.claim) == ("bundle", "here", Claim((DIGEST,)))
    assert (candidate.message, candidate.signature) == (message, b"signature")
    assert (candidate.payload, candidate.document) == (data, document)
    assert candidate.size == len(message) + len(b"signature") + len(data) + len(document)


def test_the_lengths_of_the_encoding_are_in_bytes() -> None:
    assert pre_authentication_encoding("\u00e9", b"\xff\xff\xff") == b"DSSEv1 2 \xc3\xa9 3 \xff\xff\xff"
    assert pre_authentication_encoding("", b"") == b"DSSEv1 0  0 "
    # The example of the specification, DSSE protocol.md
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize("kind", ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"])
def test_both_versions_of_a_statement_are_read(kind: str) -> None:
    assert parse_statement(statement(_type=kind)) == Claim((DIGEST,))


@pytest.mark.parametrize("media_type", [BUNDLE_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"])
def test_both_spellings_of_version_0_3_are_read(media_type: str) -> None:
    assert isinstance(read(bundle(mediaType=media_type)), UntrustedSignature)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        BUNDLE_TYPE.upper(),
        "",
    ],
)
def test_another_version_is_unsupported(media_type: str) -> None:
    assert refused(bundle(mediaType=media_type)) == (
        Reason.UNSUPPORTED,
        f'the bundle is of type "{media_type}", not v0.1 to v0.3',
    )


@pytest.mark.parametrize("minor", [1, 2])
def test_older_versions_sign_no_images(minor: int) -> None:
    media_type = f"application/vnd.dev.sigstore.bundle+json;version=0.{minor}"
    assert refused(bundle(mediaType=media_type)) == (
        Reason.UNSUPPORTED,
        f"the bundle is of version 0.{minor}, not v0.3",
    )


@pytest.mark.parametrize(
    ("material", "certified"),
    [
        ({"publicKey": {"hint": "x"}}, False),
        (
            {"publicKey": {"hint": "the hint selects nothing"}, "tlogEntries": [], "timestampVerificationData": {}},
            False,
        ),
        ({"publicKey": {}}, False),
        ({"certificate": {"rawBytes": "eA=="}}, True),
        ({"x509CertificateChain": {"certificates": []}, "tlogEntries": []}, True),
    ],
)
def test_a_bundle_is_judged_by_the_one_thing_that_it_carries(material: Fields, certified: bool) -> None:
    candidate = read(bundle(verificationMaterial=material))
    assert isinstance(candidate, UntrustedSignature)
    assert candidate.certified is certified


@pytest.mark.parametrize(
    "material",
    [
        {},
        {"publicKey": {}, "certificate": {}},
        {"publicKey": {}, "x509CertificateChain": {}},
        {"certificate": {}, "x509CertificateChain": {}},
        {"PublicKey": {}},
    ],
)
def test_a_bundle_with_no_or_two_kinds_of_material_is_malformed(material: Fields) -> None:
    assert refused(bundle(verificationMaterial=material)) == (
        Reason.MALFORMED,
        "the bundle does not carry exactly one of publicKey and certificate",
    )


def test_material_with_a_member_that_nobody_knows_is_malformed() -> None:
    assert refused(bundle(verificationMaterial={"publicKey": {}, "tlog_entries": []})) == (
        Reason.MALFORMED,
        'the bundle\'s verificationMaterial has the unknown member "tlog_entries"',
    )


@pytest.mark.parametrize("value", [5, "x", [], True], ids=str)
@pytest.mark.parametrize("name", ["publicKey", "certificate", "x509CertificateChain"])
def test_material_that_is_not_an_object_is_malformed(name: str, value: object) -> None:
    assert refused(bundle(verificationMaterial={name: value}))[0] is Reason.MALFORMED


def test_a_bundle_over_a_message_is_unsupported() -> None:
    assert refused(bundle(dsseEnvelope=None, messageSignature={"signature": SIGNATURE["sig"]})) == (
        Reason.UNSUPPORTED,
        "the bundle signs a message, not a statement about an image",
    )


def test_a_bundle_over_two_things_at_once_is_malformed() -> None:
    assert refused(bundle(messageSignature={})) == (
        Reason.MALFORMED,
        "the bundle holds an envelope and a message signature at once",
    )


@pytest.mark.parametrize("payload_type", ["", "text/plain", "application/vnd.in-toto+JSON", IN_TOTO_TYPE + " "])
def test_an_envelope_of_another_payload_type_is_unsupported(payload_type: str) -> None:
    assert refused(bundle(dsseEnvelope=envelope(payloadType=payload_type))) == (
        Reason.UNSUPPORTED,
        f'the envelope holds "{payload_type}", not an in-toto statement',
    )


@pytest.mark.parametrize("count", [0, 2, 3])
def test_an_envelope_has_exactly_one_signature(count: int) -> None:
    assert refused(bundle(dsseEnvelope=envelope(signatures=[SIGNATURE] * count))) == (
        Reason.MALFORMED,
        f"the envelope has {count} signatures; a bundle has exactly one",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mediaType": None}, "the bundle's mediaType is not a string"),
        ({"mediaType": 3}, "the bundle's mediaType is not a string"),
        ({"verificationMaterial": None}, "the bundle's verificationMaterial is not an object"),
        ({"verificationMaterial": []}, "the bundle's verificationMaterial is not an object"),
        ({"dsseEnvelope": None}, "the bundle's dsseEnvelope is not an object"),
        ({"dsseEnvelope": "x"}, "the bundle's dsseEnvelope is not an object"),
        ({"dsseenvelope": {}}, 'the bundle has the unknown member "dsseenvelope"'),
        ({"MediaType": BUNDLE_TYPE}, 'the bundle has the unknown member "MediaType"'),
        ({"dsseEnvelope": envelope(payloadType=None)}, "the envelope's payloadType is not a string"),
        ({"dsseEnvelope": envelope(signatures=None)}, "the envelope's signatures is not an array"),
        ({"dsseEnvelope": envelope(signatures=SIGNATURE)}, "the envelope's signatures is not an array"),
        ({"dsseEnvelope": envelope(signatures=["x"])}, "the envelope's signature is not an object"),
        ({"dsseEnvelope": envelope(signatures=[{}])}, "the signature is not a string"),
        ({"dsseEnvelope": envelope(signatures=[{"sig": ""}])}, "the signature is empty"),
        ({"dsseEnvelope": envelope(signatures=[{"sig": "YQ==\n"}])}, "the signature is not base64"),
        ({"dsseEnvelope": envelope(signatures=[{"sig": "Y-_="}])}, "the signature is not base64"),
        ({"dsseEnvelope": envelope(payload=None)}, "the envelope's payload is not a string"),
        ({"dsseEnvelope": envelope(payload="")}, "the envelope's payload is empty"),
        ({"dsseEnvelope": envelope(payload="\u00e9")}, "the envelope's payload is not base64"),
    ],
)
def test_a_bundle_with_a_wrong_member_is_malformed(changes: Fields, message: str) -> None:
    assert refused(bundle(**changes)) == (Reason.MALFORMED, message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the document is not valid JSON"),
        (b"[]", "the document is not an object"),
        (bundle()[:-1] + b', "mediaType": "x"}', "the document names a member of an object twice"),
        (bundle() + b"{}", "the document is not valid JSON"),
        (bundle() + b"\xff", "the document is not UTF-8"),
        (
            bundle(dsseEnvelope=envelope(statement()[:-1] + b', "_type": "x"}')),
            "the document names a member of an object twice",
        ),
        (bundle(dsseEnvelope=envelope(statement()[:-1] + b', "x": NaN}')), "the document contains NaN or Infinity"),
        (bundle(dsseEnvelope=envelope(b"\xff")), "the document is not UTF-8"),
        (bundle(dsseEnvelope=envelope(b"[]")), "the document is not an object"),
    ],
)
def test_a_bundle_or_statement_that_could_mean_two_things_is_malformed(data: bytes, message: str) -> None:
    assert refused(data) == (Reason.MALFORMED, message)


@pytest.mark.parametrize(
    "kind",
    ["", "https://in-toto.io/Statement/v2", "https://in-toto.io/statement/v1", "https://in-toto.io/Statement/v1/"],
)
def test_a_statement_of_another_type_is_unsupported(kind: str) -> None:
    assert refused(bundle(dsseEnvelope=envelope(statement(_type=kind)))) == (
        Reason.UNSUPPORTED,
        f'the statement is of type "{kind}", which is not in-toto\'s',
    )


@pytest.mark.parametrize(
    "predicate",
    [
        "",
        "https://cosign.sigstore.dev/attestation/v1",
        "https://slsa.dev/provenance/v1",
        "https://spdx.dev/Document",
        SIGNATURE_PREDICATE.upper(),
        SIGNATURE_PREDICATE + "/",
        SIGNATURE_PREDICATE + "?x",
    ],
)
def test_a_statement_of_another_predicate_type_is_an_attestation_and_no_signature(predicate: str) -> None:
    assert refused(bundle(dsseEnvelope=envelope(statement(predicateType=predicate)))) == (
        Reason.ATTESTATION,
        f'it attests "{predicate}"; an attestation is not a signature',
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_type": None}, "the statement's _type is not a string"),
        ({"predicateType": None}, "the statement's predicateType is not a string"),
        ({"predicateType": [SIGNATURE_PREDICATE]}, "the statement's predicateType is not a string"),
        ({"subject": None}, "the statement's subject is not an array"),
        ({"subject": {}}, "the statement's subject is not an array"),
        ({"subject": []}, "the statement has 0 subjects, not 1 to 1024"),
        ({"subject": ["x"]}, "a subject of the statement is not an object"),
        ({"subject": [{}]}, "the digest of a subject is not an object"),
        ({"subject": [{"digest": DIGEST.hex}]}, "the digest of a subject is not an object"),
        ({"subject": [{"digest": {"sha256": 1}}]}, "the sha256 of a subject is not a string"),
        ({"subject": [{"digest": {"sha256": ""}}]}, f'"sha256:" {NOT_A_DIGEST}'),
        ({"subject": [{"digest": {"sha256": str(DIGEST)}}]}, f'"sha256:{DIGEST}" {NOT_A_DIGEST}'),
        ({"subject": [{"digest": {"sha256": DIGEST.hex}}, {"digest": {"sha256": "x"}}]}, f'"sha256:x" {NOT_A_DIGEST}'),
    ],
)
def test_a_statement_with_a_wrong_member_is_malformed(changes: Fields, message: str) -> None:
    assert refused(bundle(dsseEnvelope=envelope(statement(**changes)))) == (Reason.MALFORMED, message)


def test_every_sha256_of_every_subject_is_claimed_and_nothing_else() -> None:
    other = Digest.of(b"other")
    subjects = [
        {"name": str(Digest.of(b"a name")), "digest": {"sha512": "0", "sha256": other.hex}},
        {"digest": {"SHA256": Digest.of(b"case").hex}},
        {"digest": {"sha256": DIGEST.hex}, "annotations": {"sha256": "x"}},
    ]
    assert parse_statement(statement(subject=subjects)) == Claim((other, DIGEST))


def test_a_statement_without_any_sha256_claims_nothing() -> None:
    assert parse_statement(statement(subject=[{"digest": {}}])) == Claim(())


def test_1024_subjects_with_32_digests_are_the_most() -> None:
    subject: Fields = {"digest": {"sha256": DIGEST.hex} | {str(number): "" for number in range(31)}}
    assert parse_statement(statement(subject=[subject] * 1024)).digests == (DIGEST,) * 1024
    with pytest.raises(MalformedError, match="the statement has 1025 subjects, not 1 to 1024"):
        parse_statement(statement(subject=[subject] * 1025))
    crowded: Fields = {"digest": {str(number): "" for number in range(33)}}
    with pytest.raises(MalformedError, match="a subject has 33 digests, more than 32"):
        parse_statement(statement(subject=[crowded]))


def test_a_bundle_and_a_statement_of_1_mib_are_the_largest() -> None:
    largest = bundle() + b" " * (1024 * 1024 - len(bundle()))
    assert isinstance(read(largest), UntrustedSignature)
    assert refused(largest + b" ") == (Reason.MALFORMED, "the document has 1048577 bytes, more than 1048576")
    with pytest.raises(MalformedError, match="more than 1048576"):
        parse_statement(statement() + b" " * 1024 * 1024)


def test_of_several_bundles_in_one_manifest_only_the_first_is_read() -> None:
    good, bad = bundle(), b"{"
    documents = {Digest.of(data): data for data in (good, bad)}
    (found,) = FORM.read(manifest(layer(b"foreign", "text/x"), layer(good), layer(bad)), "here", documents)
    assert isinstance(found, UntrustedSignature)
    assert found.location == "here"


def test_a_bundle_that_was_not_fetched_is_no_candidate() -> None:
    assert FORM.read(manifest(layer(b"x")), "here", {}) == ()


@pytest.mark.parametrize(
    ("media_type", "recognised"),
    [
        (BUNDLE_TYPE, True),
        ("application/vnd.dev.sigstore.bundle.v0.1+json", True),  # to be refused by name, not overlooked
        ("application/vnd.dev.sigstore.bundle+json;version=0.3", True),
        ("application/vnd.dsse.envelope.v1+json", False),
        ("application/vnd.in-toto+json", False),
        ("text/x;application/vnd.dev.sigstore.bundle", False),
    ],
)
def test_a_manifest_is_recognised_by_its_layers_alone(media_type: str, recognised: bool) -> None:
    assert FORM.recognises(manifest(layer(b"y", "text/x"), layer(b"x", media_type))) is recognised


def test_only_the_bundle_layers_are_wanted() -> None:
    wanted = layer(b"x")
    assert FORM.wanted(manifest(layer(b"y", "text/x"), wanted)) == (wanted,)


def test_a_second_bundle_in_one_manifest_is_not_fetched() -> None:
    two = manifest(layer(b"x"), layer(b"y"))
    assert FORM.omitted(manifest(layer(b"x"))) is None
    assert [item.digest for item in FORM.wanted(two)] == [Digest.of(b"x")]
    assert_limit(FORM.omitted(two), "a signature manifest has 2 bundles, more than 1")


@pytest.mark.parametrize("bad", [UNREADABLE, NO_TYPE, EXCESSIVE])
@pytest.mark.parametrize("bad_first", [True, False], ids=["before", "after"])
def test_a_layer_that_cannot_be_read_is_told_and_hides_not_the_good_one(bad: UnreadableLayer, bad_first: bool) -> None:
    good = bundle()
    both = manifest(bad, layer(good)) if bad_first else manifest(layer(good), bad)
    candidate, *refused = FORM.read(both, "here", {Digest.of(good): good})
    assert isinstance(candidate, UntrustedSignature)
    assert FORM.wanted(both) == (layer(good),)
    if bad is EXCESSIVE:
        assert refused == []
        assert_limit(FORM.omitted(both), EXCESSIVE.message)
    else:
        assert refused == [RefusedCandidate("bundle", "here", bad.reason, bad.message)]
        assert FORM.omitted(both) is None


def test_a_foreign_layer_that_cannot_be_read_is_passed_over_as_others_are() -> None:
    both = manifest(FOREIGN, layer(bundle()))
    assert (FORM.wanted(both), FORM.omitted(both)) == ((layer(bundle()),), None)


def test_a_bundle_whose_layer_cannot_be_read_is_a_refused_candidate() -> None:
    alone = manifest(UNREADABLE)
    refused = RefusedCandidate("bundle", "here", UNREADABLE.reason, UNREADABLE.message)
    assert FORM.read(alone, "here", {}) == (refused,)
    assert (FORM.wanted(alone), FORM.omitted(alone)) == ((), None)


def test_a_bundle_with_too_large_annotations_is_omitted() -> None:
    alone = manifest(EXCESSIVE)
    assert (FORM.read(alone, "here", {}), FORM.wanted(alone)) == ((), ())
    assert_limit(FORM.omitted(alone), EXCESSIVE.message)


@pytest.mark.parametrize(
    ("unreadable", "recognised"), [(UNREADABLE, True), (EXCESSIVE, True), (NO_TYPE, False), (FOREIGN, False)]
)
def test_a_layer_that_cannot_be_read_is_recognised_by_the_type_that_it_names(
    unreadable: UnreadableLayer, recognised: bool
) -> None:
    assert FORM.recognises(manifest(unreadable)) is recognised


def test_a_bundle_that_says_it_is_larger_than_1_mib_is_not_fetched() -> None:
    largest, larger = Descriptor(BUNDLE_TYPE, DIGEST, 1024 * 1024), Descriptor(BUNDLE_TYPE, DIGEST, 1024 * 1024 + 1)
    assert FORM.omitted(manifest(largest)) is None
    assert FORM.wanted(manifest(largest)) == (largest,)
    assert FORM.wanted(manifest(larger)) == ()
    assert_limit(FORM.omitted(manifest(larger)), "a bundle is larger than 1048576 bytes")


def assert_limit(omitted: UnavailableError | None, message: str) -> None:
    assert omitted is not None
    assert (omitted.reason, omitted.outage, omitted.message) == (Reason.LIMIT, False, message)


names = st.sampled_from(
    [
        *("mediaType", "verificationMaterial", "dsseEnvelope", "publicKey", "payload", "payloadType", "signatures"),
        *("sig", "_type", "subject", "predicateType", "digest", "sha256"),
    ]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([BUNDLE_TYPE, IN_TOTO_TYPE, "YQ=="])
)
values = st.recursive(
    leaves, lambda below: st.dictionaries(names, below, max_size=4) | st.lists(below, max_size=2), max_leaves=8
)
changes = st.dictionaries(names, values, max_size=2)
any_statement = (
    st.binary(max_size=80)
    | values.map(lambda value: json.dumps(value).encode())
    | changes.map(lambda change: statement(**change))
)
any_bundle = (
    st.binary(max_size=80)
    | changes.map(lambda change: bundle(**change))
    | changes.map(lambda change: bundle(dsseEnvelope=kept(envelope(), dict(change))))
    | any_statement.map(lambda data: bundle(dsseEnvelope=envelope(data)))
)


@given(any_statement)
def test_no_statement_raises_anything_but_malformed_and_untrusted_error(data: bytes) -> None:
    try:
        parse_statement(data)
    except (MalformedError, UntrustedError) as error:
        assert len(error.message.splitlines()) == 1


@given(any_bundle)
def test_reading_raises_nothing(data: bytes) -> None:
    candidate = read(data)
    if isinstance(candidate, RefusedCandidate):
        assert candidate.reason in {Reason.MALFORMED, Reason.UNSUPPORTED, Reason.ATTESTATION}
