"""Bundles beside files: what they sign, and that they are about the file at hand."""

from __future__ import annotations

import base64
import json

import pytest

from gate.core.artifacts import read_artifact_signature
from gate.core.authorities import KeyAuthority
from gate.core.errors import MalformedError, UntrustedError
from gate.core.formats.sigstorebundle import BUNDLE_TYPE
from gate.core.keys import parse_public_key
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.demo import layouts
from tests.fakes.keyless import keyless
from tests.fakes.signing import signer
from tests.fakes.sigstore import NOW, Sigstore

ARTIFACT = b"a file"
DIGEST = Digest.of(ARTIFACT)
SIGNATURE = signer().sign(ARTIFACT)
AUTHORITY = KeyAuthority("release", parse_public_key(signer().public_pem))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def bundle(message: object) -> bytes:
    material = {"publicKey": {"hint": "x"}}
    return json.dumps(
        {"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "messageSignature": message}
    ).encode()


def described(digest: bytes = bytes.fromhex(DIGEST.hex), algorithm: object = "SHA2_256") -> dict[str, object]:
    return {"signature": text(SIGNATURE), "messageDigest": {"algorithm": algorithm, "digest": text(digest)}}


@pytest.mark.parametrize("artifact", [ARTIFACT, DIGEST])
@pytest.mark.parametrize("message", [described(), {"signature": text(SIGNATURE)}])
def test_a_signature_of_a_file_or_its_digest_verifies(artifact: bytes | Digest, message: dict[str, object]) -> None:
    read = read_artifact_signature(bundle(message), artifact)
    assert (read.format, read.message, read.signature, read.payload) == ("bundle", artifact, SIGNATURE, None)
    assert read.claim.digests == (DIGEST,)
    assert read.document == bundle(message)
    assert AUTHORITY.verify(read, DIGEST, NOW).authority == "release"


def test_an_envelope_is_about_the_subjects_of_its_statement_whatever_its_predicate() -> None:
    box = Sigstore.create()
    statement = layouts.statement([DIGEST], "https://slsa.dev/provenance/v1", layouts.STATEMENT_TYPE, {}, {})
    made = box.sign("bundle", box.enroll(), DIGEST, content=statement, stamped=True)
    raw = made.document()
    for artifact in (ARTIFACT, DIGEST, b"another file"):  # the file itself is not looked at
        read = read_artifact_signature(raw, artifact)
        assert (read.format, read.message, read.signature, read.payload) == (
            "bundle",
            made.message,
            made.signature,
            statement,
        )
        assert (read.claim.digests, read.certified, read.document) == ((DIGEST,), True, raw)
        assert read.material.entries() == made.entries
        assert read.material.timestamps() == made.timestamps
        assert keyless(box.trusted_root()).verify(read, DIGEST, NOW).authority == "dev"
        with pytest.raises(UntrustedError) as caught:
            keyless(box.trusted_root()).verify(read, Digest.of(b"another file"), NOW)
        assert caught.value.reason is Reason.WRONG_DIGEST
        with pytest.raises(UntrustedError) as caught:
            AUTHORITY.verify(read, DIGEST, NOW)
        assert caught.value.reason is Reason.CERTIFICATE


def test_a_bundle_that_gives_another_digest_is_about_another_file() -> None:
    other = Digest.of(b"another file")
    for artifact in (ARTIFACT, DIGEST):
        with pytest.raises(UntrustedError, match=f"^the bundle is about {other}, not {DIGEST}$") as caught:
            read_artifact_signature(bundle(described(bytes.fromhex(other.hex))), artifact)
        assert caught.value.reason is Reason.WRONG_DIGEST


def test_another_kind_of_digest_is_unsupported() -> None:
    with pytest.raises(UntrustedError, match=r'^the message\'s digest is "SHA2_512", not SHA2_256$') as caught:
        read_artifact_signature(bundle(described(bytes(64), "SHA2_512")), ARTIFACT)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("x", "the bundle's messageSignature is not an object"),
        ({}, "the signature is not a string"),
        ({"signature": "?"}, "the signature is not base64"),
        ({"signature": "eA==", "messageDigest": "x"}, "the bundle's messageDigest is not an object"),
        ({"signature": "eA==", "messageDigest": {}}, "the algorithm of the messageDigest is not a string"),
        (described(algorithm=1), "the algorithm of the messageDigest is not a string"),
        (
            {"signature": "eA==", "messageDigest": {"algorithm": "SHA2_256", "digest": 5}},
            "the digest of the messageDigest is not a string",
        ),
    ],
)
def test_a_message_signature_that_cannot_be_read_is_malformed(message: object, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read_artifact_signature(bundle(message), ARTIFACT)
    assert caught.value.message == words


def test_a_digest_of_another_length_is_malformed() -> None:
    with pytest.raises(MalformedError):
        read_artifact_signature(bundle(described(bytes(31))), ARTIFACT)
