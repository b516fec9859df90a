"""What a format reads out of a candidate: unproved until an authority accepts it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from cryptography import x509

from gate.core.errors import UnavailableError
from gate.core.keys import Signed
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.transparency import LogDemand, LogEntry


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed payload says: the digests it is about, and the repository it names, if any."""

    digests: tuple[Digest, ...]
    repository: str | None = None


class Material(Protocol):
    """What came beside a signature, read only when an authority asks for it; immutable and hashable.

    What cannot be read raises MalformedError, and concerns only who needs it: beside a key that vouches alone, a
    certificate that is garbage changes nothing.
    """

    @property
    def demand(self) -> LogDemand:
        """What a log entry brings in this format."""

    @property
    def size(self) -> int:
        """How many bytes it holds."""

    @property
    def raw(self) -> bytes:
        """Everything that is read from it, in one form: equal bytes, equal material."""

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Return the signer's certificate and then untrusted intermediates; nothing where a key signed."""

    def entries(self) -> tuple[LogEntry, ...]:
        """Return the transparency log's entries."""

    def timestamps(self) -> tuple[bytes, ...]:
        """Return the RFC 3161 responses, DER TimeStampResp."""


@dataclass(frozen=True, slots=True)
class NoMaterial:
    """Nothing came beside the signature."""

    @property
    def demand(self) -> LogDemand:
        """Everything: there is no entry that could bring it."""
        return LogDemand(promise=True, proof=True)

    @property
    def size(self) -> int:
        """Return nothing."""
        return 0

    @property
    def raw(self) -> bytes:
        """Return nothing."""
        return b""

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Return nothing."""
        return ()

    def entries(self) -> tuple[LogEntry, ...]:
        """Return nothing."""
        return ()

    def timestamps(self) -> tuple[bytes, ...]:
        """Return nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class UntrustedSignature:
    """One well-formed candidate; nothing in it is proved.

    ``message`` is exactly what ``signature`` should be over, and ``claim`` was parsed from the same bytes.
    ``certified`` says that the candidate wants to be judged by the certificate it carries, not by a key.
    ``payload`` is what the message encodes, where that is a DSSE envelope; ``document`` the bundle it came in.
    """

    format: str
    location: str
    message: Signed
    signature: bytes
    claim: Claim
    certified: bool = False
    material: Material = field(default_factory=NoMaterial)
    payload: bytes | None = None
    document: bytes | None = None

    @property
    def fingerprint(self) -> bytes:
        """A digest of everything in it but where it was found: what is proved of one is proved of its equal."""
        message = str(self.message).encode() if isinstance(self.message, Digest) else self.message
        parts = (message, self.signature, self.payload or b"", self.material.raw, b"%d" % self.certified)
        return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        held = (self.message, self.signature, self.payload, self.document)
        return self.material.size + sum(len(each) for each in held if isinstance(each, bytes))


@dataclass(frozen=True, slots=True)
class RefusedCandidate:
    """A candidate that no authority needs to look at, and why: malformed, unsupported, or an attestation."""

    format: str
    location: str
    reason: Reason
    message: str


Candidate: TypeAlias = UntrustedSignature | RefusedCandidate


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was found for one digest, and everything that could not be read."""

    candidates: tuple[Candidate, ...] = ()
    unreadable: tuple[UnavailableError, ...] = ()
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """An index whose hashed bytes list the digest directly, and what was found for the index."""

    digest: Digest
    evidence: Evidence
