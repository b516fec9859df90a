"""The trust root as an immutable value: whose logs, certificates and timestamps count.

protobuf-specs ``sigstore_trustroot.proto``, TrustedRoot v0.1 and v0.2 in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from gate.core.keys import PublicKey
from gate.core.oci import Digest


@dataclass(frozen=True, slots=True)
class Window:
    """When something was in use; both ends belong to it, and without an end it still is."""

    start: datetime
    end: datetime | None = None

    def contains(self, at: datetime) -> bool:
        """Return whether ``at`` (aware) lies in the window."""
        return self.start <= at and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Log:
    """A transparency log or a certificate transparency log: ``log_id`` is the id by which entries name it, exactly."""

    log_id: bytes
    key: PublicKey
    window: Window


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """An authority for certificates or timestamps.

    ``chain`` ends in the root. Of a certificate authority it begins with what issues; of a timestamp authority with the
    certificate that signs timestamps.
    """

    chain: tuple[x509.Certificate, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """Everything that is trusted beside the policy's keys; ``digest`` is of ``source``, the bytes that were parsed."""

    digest: Digest
    logs: tuple[Log, ...] = ()
    ct_logs: tuple[Log, ...] = ()
    certificate_authorities: tuple[CertificateAuthority, ...] = ()
    timestamp_authorities: tuple[CertificateAuthority, ...] = ()
    source: bytes = field(default=b"", repr=False, compare=False)


def parse_trusted_root(raw: bytes) -> TrustedRoot:
    """Return the trust root in ``raw`` (JSON), or raise MalformedError."""
    raise NotImplementedError
