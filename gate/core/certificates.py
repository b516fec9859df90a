"""Certificates: X.509 path at a time, profile, signed certificate timestamps, and the identity they carry."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.certificate_transparency import SignedCertificateTimestamp
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from gate.core import limits
from gate.core.der import parse_certificate, parse_certificates, parse_utf8_string
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import Check, PublicKey, supported_key
from gate.core.reasons import Reason
from gate.core.rfc3339 import format_instant
from gate.core.trust import CertificateAuthority, Log

__all__ = [
    "Identity",
    "find_issuer",
    "identity",
    "is_root",
    "parse_certificate",
    "parse_certificates",
    "public_key",
    "require_profile",
    "require_sct",
]

# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # the bare text
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")  # DER UTF8String
_USER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")  # a subject of kind otherName, DER UTF8String

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate names: its one subject alternative name, and who vouched for it (None: not said)."""

    subject: str
    issuer: str | None


def public_key(certificate: x509.Certificate) -> PublicKey:
    """Return the certificate's key, or raise UntrustedError (certificate) for one that gate does not verify with."""
    try:
        return supported_key(certificate.public_key())
    except MalformedError as error:
        raise _untrusted(f"the certificate's key is not supported: {error.message}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _untrusted("the certificate's key cannot be read") from error


def identity(certificate: x509.Certificate) -> Identity:
    """Return whom the certificate names, or raise UntrustedError (certificate) where that is not exactly one.

    Subjects are addresses, URIs, DNS names and Fulcio's user names.
    """
    try:
        return Identity(_subject(certificate), _issuer(certificate))
    except MalformedError as error:
        raise _untrusted(error.message) from error


def _subject(certificate: x509.Certificate) -> str:
    names = tuple(_extension(certificate, x509.SubjectAlternativeName) or ())
    if len(names) != 1:
        raise MalformedError(f"the certificate has {len(names)} subject alternative names, not exactly one")
    match names[0]:
        case x509.RFC822Name(value=text) | x509.UniformResourceIdentifier(value=text) | x509.DNSName(value=text):
            return _bounded(text, "subject")
        case x509.OtherName(type_id=kind, value=der) if kind == _USER_NAME:
            return _bounded(parse_utf8_string(der), "subject")
        case _:
            raise MalformedError("the certificate's subject is neither an address, a URI, a DNS name nor a user name")


def _issuer(certificate: x509.Certificate) -> str | None:
    older, newer = _value(certificate, _ISSUER_V1), _value(certificate, _ISSUER_V2)
    try:
        said = [] if older is None else [older.decode("utf-8")]
    except UnicodeDecodeError as error:
        raise MalformedError("the issuer in the certificate is not UTF-8") from error
    if newer is not None:
        said.append(parse_utf8_string(newer))
    if len(set(said)) > 1:
        raise MalformedError("the certificate names two different issuers")
    return _bounded(said[0], "issuer") if said else None


def _bounded(text: str, what: str) -> str:
    if not 0 < len(text.encode("utf-8")) <= limits.IDENTITY_BYTES:
        raise MalformedError(f"the {what} in the certificate is empty or has more than {limits.IDENTITY_BYTES} bytes")
    return text


def require_profile(certificate: x509.Certificate) -> None:
    """Return if the certificate may sign code and is no authority, else raise UntrustedError (certificate)."""
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise _untrusted("the certificate's key usage does not include digital signatures")
    if _is_authority(certificate) or usage.key_cert_sign or usage.crl_sign:
        raise _untrusted("the certificate is an authority's, and signs nothing but certificates")
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise _untrusted("the certificate's extended key usage does not include code signing")


def is_root(certificate: x509.Certificate) -> bool:
    """Return whether the certificate is an authority's own about itself."""
    return _is_authority(certificate) and certificate.subject == certificate.issuer


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _require_code_signing(_: Policy, __: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    """Return if an authority with these purposes may issue, else raise ValueError, which the library understands."""
    if purposes is not None and not {
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }.intersection(purposes):
        raise ValueError("the authority's extended key usage does not include code signing")


# The library's profile is the web's (CA/Browser Forum): of an authority it demands critical basic constraints and key
# usage, of a leaf an authority key identifier and a subject alternative name that is critical where there is no other
# subject; both as Fulcio's. ECDSA and RSA issue, and Ed25519 does not. Only what is certified differs from the web.
_AUTHORITY = ExtensionPolicy.webpki_defaults_ca().may_be_present(
    x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_code_signing
)
_LEAF = ExtensionPolicy.webpki_defaults_ee().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)


def find_issuer(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    authorities: Sequence[CertificateAuthority],
    at: datetime,
) -> x509.Certificate:
    """Return the issuer on a path to a trusted root, every certificate of which is valid at ``at``.

    Raises UntrustedError (certificate) when there is no such path. ``intermediates`` are untrusted. RFC 5280 section 6.
    """
    in_use = [authority for authority in authorities if authority.window.contains(at)]
    if not in_use:
        raise _untrusted(f"the trust root has no certificate authority that was in use at {format_instant(at)}")
    for authority in in_use:
        *between, root = authority.chain
        builder = PolicyBuilder().store(Store([root])).time(at)
        verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF).build_client_verifier()
        try:
            # Every certificate of the path is held against ``at``, the root's as well (CVE-2026-24122). How often a
            # signature is checked on the way is bounded by the library, whatever the untrusted certificates are.
            path = verifier.verify(certificate, [*between, *intermediates]).chain
        except VerificationError:
            continue
        if len(path) > 1:  # a trust root may list a signer's own certificate, which nobody issued
            return path[1]
    raise _untrusted(f"the certificate has no path to a trusted root that is valid at {format_instant(at)}")


def require_sct(
    certificate: x509.Certificate, issuer: x509.Certificate, logs: Sequence[Log], check: Check = PublicKey.verify
) -> None:
    """Return if a trusted log promised to log the certificate, else raise UntrustedError (no-sct). RFC 6962.

    ``issuer`` is the one that find_issuer() returned; its key is part of what a log signs.
    """
    promises = tuple(_extension(certificate, x509.PrecertificateSignedCertificateTimestamps) or ())
    if not promises:
        raise UntrustedError(Reason.NO_SCT, "the certificate carries no signed certificate timestamp")
    for promise in promises[: limits.SCTS]:
        if _is_promised(promise, certificate, issuer, logs, check):
            return
    raise UntrustedError(Reason.NO_SCT, "the certificate carries no signed certificate timestamp of a trusted log")


def _is_promised(
    promise: SignedCertificateTimestamp,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    logs: Sequence[Log],
    check: Check,
) -> bool:
    try:
        at = promise.timestamp.replace(tzinfo=UTC)  # the library's is naive, in UTC
    except ValueError:  # after the year 9999, where the library's time ends
        return False
    message = _promised(promise, at, certificate, issuer)
    for log in logs:
        if log.log_id != promise.log_id or not log.window.contains(at):
            continue
        try:
            check(log.key, promise.signature, message)
        except UntrustedError:
            continue
        return True
    return False


def _promised(
    promise: SignedCertificateTimestamp, at: datetime, certificate: x509.Certificate, issuer: x509.Certificate
) -> bytes:
    """Return what a log signs: version v1, certificate_timestamp, and a precert_entry. RFC 6962 section 3.2."""
    issuer_key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certified = certificate.tbs_precertificate_bytes
    return b"".join(
        (
            bytes((0, 0)),
            ((at - _EPOCH) // _MILLISECOND).to_bytes(8),
            (1).to_bytes(2),
            hashlib.sha256(issuer_key).digest(),
            len(certified).to_bytes(3),
            certified,
            len(promise.extension_bytes).to_bytes(2),
            promise.extension_bytes,
        )
    )


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _value(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> bytes | None:
    """Return the bytes in an extension that the library does not know."""
    for each in certificate.extensions:
        if each.oid == kind and isinstance(each.value, x509.UnrecognizedExtension):
            return each.value.value
    return None


def _untrusted(message: str) -> UntrustedError:
    return UntrustedError(Reason.CERTIFICATE, message)
