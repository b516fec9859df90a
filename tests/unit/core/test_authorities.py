"""A key vouches for one digest, by one signature over bytes that name it. Real signatures in cosign's own layouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes

from gate.core.errors import UntrustedError
from gate.core.formats.dsse import SIGNATURE_PREDICATE
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, RefusedCandidate, UntrustedSignature
from gate.core.verdict import Signer as Voucher
from gate.demo.signer import Signer
from tests.fakes.signing import NOW, REPOSITORY, Image, authority, signer

OTHER = Digest.of(b"another image")

Sign = Callable[[Image, Signer], object]


def by_tag(image: Image, key: Signer) -> None:
    key.sign_tag(image.store, REPOSITORY, image.digest)


def by_referrer(image: Image, key: Signer) -> None:
    key.sign_referrer(image.store, REPOSITORY, image.digest)


def by_bundle(image: Image, key: Signer) -> None:
    key.sign_bundle(image.store, REPOSITORY, image.digest)


LAYOUTS = [by_tag, by_referrer, by_bundle]
KINDS = ["p256", "p384", "p521", "rsa2048", "rsa3072", "ed25519"]


def only(image: Image) -> UntrustedSignature:
    (candidate,) = image.evidence().candidates
    assert isinstance(candidate, UntrustedSignature), candidate
    return candidate


def refusal(candidate: Candidate, key: Signer, subject: Digest) -> Reason:
    if isinstance(candidate, RefusedCandidate):
        return candidate.reason
    with pytest.raises(UntrustedError) as caught:
        authority(key).verify(candidate, subject, NOW)
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", LAYOUTS)
def test_a_signature_of_the_key_over_this_digest_is_accepted(sign: Sign, kind: str) -> None:
    image = Image.push()
    sign(image, signer(kind))
    vouching = authority(signer(kind))
    found = vouching.verify(only(image), image.digest, NOW)
    assert found == Voucher("release", vouching.key.fingerprint)


@pytest.mark.parametrize("kind", ["p384", "p521"])
def test_a_larger_curve_with_sha_256_as_cosign_2_signs_is_accepted(kind: str) -> None:
    image = Image.push()
    signer(kind).sign_tag(image.store, REPOSITORY, image.digest, hash=hashes.SHA256())
    authority(signer(kind)).verify(only(image), image.digest, NOW)


@pytest.mark.parametrize("sign", LAYOUTS)
def test_a_signature_of_another_key_is_refused(sign: Sign) -> None:
    image = Image.push()
    sign(image, signer("p256", 1))
    assert refusal(only(image), signer(), image.digest) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("sign", LAYOUTS)
def test_a_good_signature_of_another_image_is_refused(sign: Sign) -> None:
    image = Image.push()
    sign(image, signer())
    assert refusal(only(image), signer(), OTHER) is Reason.WRONG_DIGEST


def test_a_payload_that_claims_another_digest_is_refused_under_this_ones_tag() -> None:
    image = Image.push()
    signer().sign_tag(image.store, REPOSITORY, image.digest, claim=OTHER)
    assert refusal(only(image), signer(), image.digest) is Reason.WRONG_DIGEST


def test_a_statement_that_claims_another_digest_is_refused_though_it_refers_to_this_one() -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, claim=OTHER)
    assert refusal(only(image), signer(), image.digest) is Reason.WRONG_DIGEST


def test_a_statement_about_several_digests_is_good_for_each_of_them_and_no_other() -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, claim=[OTHER, image.digest])
    for subject in (image.digest, OTHER):
        authority(signer()).verify(only(image), subject, NOW)
    assert refusal(only(image), signer(), Digest.of(b"a third")) is Reason.WRONG_DIGEST


def test_a_statement_that_claims_no_digest_is_refused() -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, claim=[OTHER])
    candidate = only(image)
    assert refusal(candidate, signer(), image.digest) is Reason.WRONG_DIGEST


def test_whether_a_claim_fits_is_not_told_to_whoever_cannot_sign() -> None:
    image = Image.push()
    signer("p256", 1).sign_tag(image.store, REPOSITORY, image.digest, claim=OTHER)
    assert refusal(only(image), signer(), image.digest) is Reason.BAD_SIGNATURE


def test_a_payload_that_was_altered_after_signing_is_refused() -> None:
    image = Image.push()
    made = Image.push()
    signer().sign_tag(made.store, REPOSITORY, made.digest, claim=OTHER)
    signer().sign_tag(image.store, REPOSITORY, image.digest, signature=only(made).signature)
    assert refusal(only(image), signer(), image.digest) is Reason.BAD_SIGNATURE


def test_a_statement_that_was_altered_after_signing_is_refused() -> None:
    image, made = Image.push(), Image.push()
    signer().sign_bundle(made.store, REPOSITORY, made.digest, claim=OTHER)
    signer().sign_bundle(image.store, REPOSITORY, image.digest, signatures=[only(made).signature])
    assert refusal(only(image), signer(), image.digest) is Reason.BAD_SIGNATURE


def test_a_signature_over_the_bare_statement_is_refused() -> None:
    image = Image.push()
    statement = (
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"%s"}'
    )
    data = statement % (image.digest.hex.encode(), SIGNATURE_PREDICATE.encode())
    signer().sign_bundle(image.store, REPOSITORY, image.digest, statement=data, signatures=[signer().sign(data)])
    assert refusal(only(image), signer(), image.digest) is Reason.BAD_SIGNATURE


def test_a_signed_payload_that_is_not_a_signatures_is_refused() -> None:
    image = Image.push()
    signer().sign_tag(image.store, REPOSITORY, image.digest, type="not a signature at all")
    assert refusal(image.evidence().candidates[0], signer(), image.digest) is Reason.UNSUPPORTED


def test_a_signed_attestation_is_not_a_signature() -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, predicate_type="https://slsa.dev/provenance/v1")
    assert refusal(image.evidence().candidates[0], signer(), image.digest) is Reason.ATTESTATION


@pytest.mark.parametrize("material", ["certificate", "x509CertificateChain"])
def test_a_bundle_with_a_certificate_is_refused_by_a_key_even_if_the_key_signed_it(material: str) -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, material={material: {}})
    assert refusal(only(image), signer(), image.digest) is Reason.CERTIFICATE


def test_the_hint_selects_nothing() -> None:
    image = Image.push()
    signer().sign_bundle(
        image.store, REPOSITORY, image.digest, material={"publicKey": {"hint": signer("p256", 1).hint}}
    )
    authority(signer()).verify(only(image), image.digest, NOW)
    assert refusal(only(image), signer("p256", 1), image.digest) is Reason.BAD_SIGNATURE


def test_the_certificate_log_and_timestamp_beside_a_tag_based_signature_are_not_looked_at() -> None:
    image = Image.push()
    names = ("certificate", "chain", "bundle", "rfc3161timestamp")
    beside = {f"dev.sigstore.cosign/{name}": "garbage" for name in names}
    signer().sign_tag(image.store, REPOSITORY, image.digest, annotations=beside)
    authority(signer()).verify(only(image), image.digest, NOW)


@pytest.mark.parametrize("reference", ["evil.example/other", "", "registry.example/team/config:v1"])
def test_the_repository_in_the_payload_is_not_compared(reference: str) -> None:
    image = Image.push()
    signer().sign_tag(image.store, REPOSITORY, image.digest, reference=reference)
    authority(signer()).verify(only(image), image.digest, NOW)
