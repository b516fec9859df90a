"""The chain of an older bundle holds no root: what is trusted comes from the trust root alone."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

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
