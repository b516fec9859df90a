"""Certificates: X.509 path at a time, profile, signed certificate timestamps, and the identity they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from gate.core.keys import Check, PublicKey
from gate.core.trust import CertificateAuthority, Log


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate names: its one subject alternative name, and who vouched for it (None: not said)."""

    subject: str
    issuer: str | None


def parse_certificate(der: bytes) -> x509.Certificate:
    """Return the certificate in ``der``, or raise MalformedError."""
    raise NotImplementedError


def parse_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in ``pem`` in their order, none where it is empty, or raise MalformedError."""
    raise NotImplementedError


def public_key(certificate: x509.Certificate) -> PublicKey:
    """Return the certificate's key, or raise UntrustedError (certificate) for one that gate does not verify with."""
    raise NotImplementedError


def identity(certificate: x509.Certificate) -> Identity:
    """Return whom the certificate names, or raise UntrustedError (certificate) where that is not exactly one."""
    raise NotImplementedError


def require_profile(certificate: x509.Certificate) -> None:
    """Return if the certificate may sign code and is no authority, else raise UntrustedError (certificate)."""
    raise NotImplementedError


def find_issuer(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    authorities: Sequence[CertificateAuthority],
    at: datetime,
) -> x509.Certificate:
    """Return the issuer on a path to a trusted root, every certificate of which is valid at ``at``.

    Raises UntrustedError (certificate) when there is no such path.
    """
    raise NotImplementedError


def require_sct(
    certificate: x509.Certificate, issuer: x509.Certificate, logs: Sequence[Log], check: Check = PublicKey.verify
) -> None:
    """Return if a trusted log promised to log the certificate, else raise UntrustedError (no-sct). RFC 6962."""
    raise NotImplementedError
