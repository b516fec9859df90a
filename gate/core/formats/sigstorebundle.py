"""Sigstore bundles v0.1 to v0.3: what is signed, by whom, and what came beside it (``sigstore_bundle.proto``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeAlias

from cryptography import x509

from gate.core import limits, strictjson
from gate.core.certificates import is_root, parse_certificate
from gate.core.errors import MalformedError, UntrustedError
from gate.core.formats.dsse import Envelope
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.transparency import LogDemand, LogEntry

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# The specification names two spellings for v0.3; sigstore_bundle.proto, Bundle.media_type.
VERSIONS = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": 1,
    "application/vnd.dev.sigstore.bundle+json;version=0.2": 2,
    "application/vnd.dev.sigstore.bundle+json;version=0.3": 3,
    BUNDLE_TYPE: 3,
}
SINGLE_CERTIFICATE = 3  # the first version with exactly one certificate in place of a chain

_MEMBERS = frozenset({"mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"})
_SIGNERS = {
    "publicKey": frozenset({"hint"}),
    "certificate": frozenset({"rawBytes"}),
    "x509CertificateChain": frozenset({"certificates"}),
}
_BESIDE = frozenset({"tlogEntries", "timestampVerificationData"})


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over an artifact itself, and the digest that the bundle gives of that, if it does."""

    signature: bytes
    digest: Digest | None

    @classmethod
    def parse(cls, value: strictjson.Json) -> Self:
        """Return the signature in ``value``; MalformedError, or UntrustedError (unsupported) for another digest."""
        fields = strictjson.expect_object(value, "the bundle's messageSignature")
        signature = strictjson.expect_base64(fields.get("signature"), "the signature")
        if "messageDigest" not in fields:
            return cls(signature, None)
        digest = strictjson.expect_object(fields["messageDigest"], "the bundle's messageDigest")
        algorithm = strictjson.expect_string(digest.get("algorithm"), "the algorithm of the messageDigest")
        if algorithm != "SHA2_256":
            raise UntrustedError(Reason.UNSUPPORTED, f"the message's digest is {quote(algorithm)}, not SHA2_256")
        value_bytes = strictjson.expect_base64(digest.get("digest"), "the digest of the messageDigest")
        return cls(signature, Digest.parse(f"sha256:{value_bytes.hex()}"))


@dataclass(frozen=True, slots=True)
class BundleMaterial:
    """A bundle's verificationMaterial, read when it is asked for; ``document`` is the bundle it is part of."""

    version: int
    document: bytes = field(repr=False)

    @property
    def _fields(self) -> strictjson.Object:
        """What Bundle.parse() has found well-formed.

        It is parsed again each time: evidence is kept, and in memory this has many times the bytes of the document.
        """
        bundle = strictjson.loads_object(self.document, limit=limits.BUNDLE_BYTES, values=limits.BUNDLE_VALUES)
        return strictjson.expect_object(bundle.get("verificationMaterial"), "the bundle's verificationMaterial")

    @property
    def raw(self) -> bytes:
        """The document: everything is read from it."""
        return self.document

    @property
    def demand(self) -> LogDemand:
        """A promise in v0.1, a proof from v0.2 on: protobuf-specs, "Bundle" and "TransparencyLogEntry"."""
        return LogDemand(promise=self.version == 1, proof=self.version > 1)

    @property
    def size(self) -> int:
        """Nothing that the bundle itself does not count."""
        return 0

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Return the signer's certificate, then what came with it; nothing where a key signed."""
        fields = self._fields
        if "publicKey" in fields:
            return ()
        if "certificate" in fields:
            return (_certificate(fields["certificate"], "the bundle's certificate"),)
        if self.version >= SINGLE_CERTIFICATE:
            raise MalformedError("the bundle carries a chain of certificates, and its version has exactly one")
        chain = strictjson.expect_object(fields.get("x509CertificateChain"), "the bundle's x509CertificateChain")
        listed = strictjson.expect_array(chain.get("certificates"), "the certificates of the bundle")
        if not 0 < len(listed) <= limits.CHAIN_CERTIFICATES:
            raise MalformedError(f"the bundle has {len(listed)} certificates, not 1 to {limits.CHAIN_CERTIFICATES}")
        parsed = tuple(_certificate(each, "a certificate of the bundle") for each in listed)
        if any(map(is_root, parsed)):
            # sigstore_bundle.proto, VerificationMaterial.x509_certificate_chain: a root MUST NOT be included.
            raise MalformedError(
                "the bundle carries a root certificate, and roots are trusted from the trust root alone"
            )
        return parsed

    def entries(self) -> tuple[LogEntry, ...]:
        """Return the entries of transparency logs."""
        listed = _optional_array(self._fields.get("tlogEntries"), "the bundle's tlogEntries", limits.LOG_ENTRIES)
        return tuple(LogEntry.from_bundle(each) for each in listed)

    def timestamps(self) -> tuple[bytes, ...]:
        """Return the RFC 3161 responses."""
        data = self._fields.get("timestampVerificationData")
        if data is None:
            return ()
        held = strictjson.expect_object(data, "the bundle's timestampVerificationData")
        listed = _optional_array(held.get("rfc3161Timestamps"), "the bundle's rfc3161Timestamps", limits.TIMESTAMPS)
        stamps = (strictjson.expect_object(each, "a timestamp of the bundle") for each in listed)
        return tuple(strictjson.expect_base64(each.get("signedTimestamp"), "a signedTimestamp") for each in stamps)


def _certificate(value: strictjson.Json, what: str) -> x509.Certificate:
    fields = strictjson.expect_closed(value, what, _SIGNERS["certificate"])
    return parse_certificate(strictjson.expect_base64(fields.get("rawBytes"), f"the rawBytes of {what}"))


def _optional_array(value: strictjson.Json, what: str, limit: int) -> tuple[strictjson.Json, ...]:
    listed = () if value is None else tuple(strictjson.expect_array(value, what))
    if len(listed) > limit:
        raise MalformedError(f"{what} has {len(listed)} members, more than {limit}")
    return listed


Content: TypeAlias = Envelope | MessageSignature


@dataclass(frozen=True, slots=True)
class Bundle:
    """One bundle; nothing in it is proved."""

    version: int
    certified: bool
    content: Content
    material: BundleMaterial

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Return the bundle in ``raw``; MalformedError, or UntrustedError (unsupported) for a version or content.

        What came beside the signature is read later, by whoever needs it.
        """
        bundle = strictjson.loads_object(raw, limit=limits.BUNDLE_BYTES, values=limits.BUNDLE_VALUES)
        media_type = strictjson.expect_string(bundle.get("mediaType"), "the bundle's mediaType")
        if media_type not in VERSIONS:
            raise UntrustedError(Reason.UNSUPPORTED, f"the bundle is of type {quote(media_type)}, not v0.1 to v0.3")
        strictjson.expect_closed(bundle, "the bundle", _MEMBERS)
        material = strictjson.expect_object(bundle.get("verificationMaterial"), "the bundle's verificationMaterial")
        given = [name for name in _SIGNERS if name in material]
        if len(given) != 1:
            raise MalformedError("the bundle does not carry exactly one of publicKey and certificate")
        strictjson.expect_closed(material, "the bundle's verificationMaterial", _BESIDE.union(_SIGNERS))
        strictjson.expect_closed(material[given[0]], f"the bundle's {given[0]}", _SIGNERS[given[0]])
        version = VERSIONS[media_type]
        return cls(version, given[0] != "publicKey", _content(bundle), BundleMaterial(version, raw))


def _content(bundle: strictjson.Object) -> Content:
    if "messageSignature" not in bundle:
        return Envelope.parse(bundle.get("dsseEnvelope"))
    if "dsseEnvelope" in bundle:
        raise MalformedError("the bundle holds an envelope and a message signature at once")
    return MessageSignature.parse(bundle["messageSignature"])
