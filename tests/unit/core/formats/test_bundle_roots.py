"""The chain of an older bundle: so many certificates, and no root, because trust comes from the trust root alone."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gate.core import limits
from gate.core.errors import MalformedError
from gate.core.formats.sigstorebundle import BUNDLE_TYPE, VERSIONS, Bundle
from gate.core.oci import Digest
from tests.fakes.sigstore import Sigstore

SIGSTORE = Sigstore.create()
LEAF = SIGSTORE.enroll()
OLDER = sorted(set(VERSIONS) - {BUNDLE_TYPE})[:2]


def certificates(media_type: str, *chain: x509.Certificate | None) -> tuple[x509.Certificate, ...]:
    """Return what is read of a bundle with this chain."""
    listed = [{"rawBytes": base64.b64encode(each.public_bytes(Encoding.DER)).decode()} for each in chain if each]
    made = SIGSTORE.sign("bundle", LEAF, Digest.of(b"image"))
    material = {"x509CertificateChain": {"certificates": listed}}
    return Bundle.parse(made.document(mediaType=media_type, verificationMaterial=material)).material.certificates()


@pytest.mark.parametrize("media_type", OLDER)
def test_intermediates_may_come_along(media_type: str) -> None:
    intermediate = SIGSTORE.ca.chain[0]
    assert certificates(media_type, LEAF.certificate, intermediate) == (LEAF.certificate, intermediate)


@pytest.mark.parametrize("media_type", OLDER)
def test_a_root_may_not(media_type: str) -> None:
    with pytest.raises(MalformedError, match=r"^the bundle carries a root certificate, and roots are trusted from"):
        certificates(media_type, LEAF.certificate, *SIGSTORE.ca.chain)


@pytest.mark.parametrize("media_type", OLDER)
@pytest.mark.parametrize("count", [0, 1, limits.CHAIN_CERTIFICATES, limits.CHAIN_CERTIFICATES + 1])
def test_a_chain_has_one_to_eight_certificates(media_type: str, count: int) -> None:
    chain = (LEAF.certificate,) * count
    if count in (1, limits.CHAIN_CERTIFICATES):
        assert certificates(media_type, *chain) == chain
    else:
        with pytest.raises(MalformedError, match=f"^the bundle has {count} certificates, not 1 to 8$"):
            certificates(media_type, *chain)


def test_the_newest_bundle_has_no_chain() -> None:
    with pytest.raises(MalformedError, match=r"^the bundle carries a chain of certificates, and its version has exact"):
        certificates(BUNDLE_TYPE, LEAF.certificate)


@pytest.mark.parametrize("count", [limits.TIMESTAMPS, limits.TIMESTAMPS + 1])
def test_a_bundle_has_at_most_eight_timestamps(count: int) -> None:
    made = SIGSTORE.sign("bundle", LEAF, Digest.of(b"image"))
    made = replace(made, timestamps=(b"a timestamp",) * count)
    material = Bundle.parse(made.document()).material
    if count == limits.TIMESTAMPS:
        assert material.timestamps() == made.timestamps
    else:
        with pytest.raises(MalformedError, match=r"^the bundle's rfc3161Timestamps has 9 members, more than 8$"):
            material.timestamps()


CHAIN = "x509CertificateChain"


@pytest.mark.parametrize(
    ("material", "message"),
    [
        ({CHAIN: {}}, "the certificates of the bundle is not an array"),
        ({CHAIN: {"certificates": ["x"]}}, "a certificate of the bundle is not an object"),
        ({CHAIN: {"certificates": [{}]}}, "the rawBytes of a certificate of the bundle is not a string"),
        ({CHAIN: {"certificates": [{"hint": ""}]}}, 'a certificate of the bundle has the unknown member "hint"'),
        ({"certificate": {}}, "the rawBytes of the bundle's certificate is not a string"),
        ({"publicKey": {}, "tlogEntries": {}}, "the bundle's tlogEntries is not an array"),
        (
            {"publicKey": {}, "timestampVerificationData": {"rfc3161Timestamps": "x"}},
            "the bundle's rfc3161Timestamps is not an array",
        ),
    ],
)
def test_what_is_wrong_beside_a_signature_is_told_by_name(material: dict[str, object], message: str) -> None:
    made = SIGSTORE.sign("bundle", LEAF, Digest.of(b"image"))
    read = Bundle.parse(made.document(mediaType=OLDER[0], verificationMaterial=material)).material
    with pytest.raises(MalformedError) as caught:
        (read.certificates(), read.entries(), read.timestamps())
    assert caught.value.message == message


@pytest.mark.parametrize("extra", ["hint", "chain"])
def test_a_certificate_has_no_other_members(extra: str) -> None:
    made = SIGSTORE.sign("bundle", LEAF, Digest.of(b"image"))
    raw = base64.b64encode(LEAF.certificate.public_bytes(Encoding.DER)).decode()
    for material in ({"certificate": {"rawBytes": raw, extra: ""}}, {"publicKey": {"hint": "x", "rawBytes": ""}}):
        with pytest.raises(MalformedError, match="has the unknown member"):
            Bundle.parse(made.document(verificationMaterial=material))
