"""Sigstore bundles (v0.3) in referrers: a DSSE envelope around an in-toto statement.

protobuf-specs ``sigstore_bundle.proto``, DSSE v1.0.2 ``protocol.md``, in-toto attestation v1 ``statement.md``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.oci import Descriptor, Digest, Manifest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Claim, RefusedCandidate, UntrustedSignature

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle"
# The specification names both spellings for v0.3; sigstore_bundle.proto, Bundle.media_type.
_SUPPORTED_TYPES = frozenset({BUNDLE_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"})
IN_TOTO_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPES = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

_BUNDLE_MEMBERS = frozenset({"mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"})
_MATERIALS = ("publicKey", "certificate", "x509CertificateChain")


class BundleFormat:
    """One candidate for a manifest with a bundle."""

    name = "bundle"

    def recognises(self, manifest: Manifest) -> bool:
        """Return whether any layer is a Sigstore bundle, of whatever version."""
        return bool(_layers(manifest))

    def wanted(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """Return the bundle, of at most 1 MiB; cosign puts one into a manifest, and only the first is read."""
        return tuple(layer for layer in _layers(manifest)[:1] if layer.size <= limits.BUNDLE_BYTES)

    def omitted(self, manifest: Manifest) -> UnavailableError | None:
        """Return what is above those limits, or None."""
        layers = _layers(manifest)
        if len(layers) > 1:
            return UnavailableError(Reason.LIMIT, f"a signature manifest has {len(layers)} bundles, more than 1")
        if any(layer.size > limits.BUNDLE_BYTES for layer in layers):
            return UnavailableError(Reason.LIMIT, f"a bundle is larger than {limits.BUNDLE_BYTES} bytes")
        return None

    def read(self, manifest: Manifest, location: str, documents: Mapping[Digest, bytes]) -> tuple[Candidate, ...]:
        """Return the candidate, if its bundle was fetched."""
        return tuple(
            self._candidate(location, documents[layer.digest])
            for layer in _layers(manifest)[:1]
            if layer.digest in documents
        )

    def _candidate(self, location: str, raw: bytes) -> Candidate:
        try:
            bundle = strictjson.loads_object(raw, limit=limits.BUNDLE_BYTES)
            certified = _is_certified(bundle)
            message, signature, statement = _open_envelope(bundle)
            claim = parse_statement(statement)
        except (MalformedError, UntrustedError) as error:
            return RefusedCandidate(self.name, location, error.reason, error.message)
        return UntrustedSignature(self.name, location, message, signature, claim, certified)


def _layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    return tuple(layer for layer in manifest.layers if layer.media_type.startswith(_BUNDLE_FAMILY))


def _is_certified(bundle: strictjson.Object) -> bool:
    """Return whether the bundle is to be judged by a certificate; raise for what is not a v0.3 bundle."""
    media_type = strictjson.expect_string(bundle.get("mediaType"), "the bundle's mediaType")
    if media_type not in _SUPPORTED_TYPES:
        raise UntrustedError(Reason.UNSUPPORTED, f"the bundle is of type {quote(media_type)}, not v0.3")
    unknown = sorted(set(bundle) - _BUNDLE_MEMBERS)
    if unknown:
        raise MalformedError(f"the bundle has the unknown member {quote(unknown[0])}")
    material = strictjson.expect_object(bundle.get("verificationMaterial"), "the bundle's verificationMaterial")
    given = [name for name in _MATERIALS if name in material]
    if len(given) != 1:
        raise MalformedError("the bundle does not carry exactly one of publicKey and certificate")
    strictjson.expect_object(material[given[0]], f"the bundle's {given[0]}")
    return given[0] != "publicKey"


def _open_envelope(bundle: strictjson.Object) -> tuple[bytes, bytes, bytes]:
    """Return what was signed, the signature and the statement of the bundle's DSSE envelope."""
    if "messageSignature" in bundle:
        if "dsseEnvelope" in bundle:
            raise MalformedError("the bundle holds an envelope and a message signature at once")
        raise UntrustedError(Reason.UNSUPPORTED, "the bundle signs a message, not a statement about an image")
    envelope = strictjson.expect_object(bundle.get("dsseEnvelope"), "the bundle's dsseEnvelope")
    payload_type = strictjson.expect_string(envelope.get("payloadType"), "the envelope's payloadType")
    if payload_type != IN_TOTO_TYPE:
        raise UntrustedError(Reason.UNSUPPORTED, f"the envelope holds {quote(payload_type)}, not an in-toto statement")
    signatures = strictjson.expect_array(envelope.get("signatures"), "the envelope's signatures")
    if len(signatures) != 1:
        raise MalformedError(f"the envelope has {len(signatures)} signatures; a bundle has exactly one")
    signature = strictjson.expect_object(signatures[0], "the envelope's signature")
    statement = _base64(envelope.get("payload"), "the envelope's payload")
    return (
        pre_authentication_encoding(payload_type, statement),
        _base64(signature.get("sig"), "the signature"),
        statement,
    )


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature is over (DSSE v1.0.2, "PAE"); lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def parse_statement(raw: bytes) -> Claim:
    """Return what an in-toto statement of cosign's signature type claims.

    Raises MalformedError; UntrustedError (attestation) for another predicate type, (unsupported) for another statement.
    The statement is unproved: the caller compares the claim only after the signature over these very bytes verified.
    """
    statement = strictjson.loads_object(raw, limit=limits.BUNDLE_BYTES)
    kind = strictjson.expect_string(statement.get("_type"), "the statement's _type")
    if kind not in STATEMENT_TYPES:
        raise UntrustedError(Reason.UNSUPPORTED, f"the statement is of type {quote(kind)}, which is not in-toto's")
    predicate = strictjson.expect_string(statement.get("predicateType"), "the statement's predicateType")
    if predicate != SIGNATURE_PREDICATE:
        raise UntrustedError(Reason.ATTESTATION, f"it attests {quote(predicate)}; an attestation is not a signature")
    subjects = strictjson.expect_array(statement.get("subject"), "the statement's subject")
    if not 0 < len(subjects) <= limits.STATEMENT_SUBJECTS:
        raise MalformedError(f"the statement has {len(subjects)} subjects, not 1 to {limits.STATEMENT_SUBJECTS}")
    return Claim(tuple(digest for subject in subjects for digest in _subject_digests(subject)))


def _subject_digests(value: strictjson.Json) -> tuple[Digest, ...]:
    """Return the sha256 digest of one subject, or nothing where it has only others."""
    subject = strictjson.expect_object(value, "a subject of the statement")
    digests = strictjson.expect_object(subject.get("digest"), "the digest of a subject")
    if len(digests) > limits.SUBJECT_DIGESTS:
        raise MalformedError(f"a subject has {len(digests)} digests, more than {limits.SUBJECT_DIGESTS}")
    if "sha256" not in digests:
        return ()
    return (Digest.parse("sha256:" + strictjson.expect_string(digests["sha256"], "the sha256 of a subject")),)


def _base64(value: strictjson.Json, what: str) -> bytes:
    text = strictjson.expect_string(value, what)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"{what} is not base64") from error
    if not data:
        raise MalformedError(f"{what} is empty")
    return data
