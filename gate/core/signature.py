"""What a format reads out of a candidate: unproved until an authority accepts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gate.core.errors import UnavailableError
from gate.core.oci import Digest
from gate.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed payload says: the digests it is about, and the repository it names, if any."""

    digests: tuple[Digest, ...]
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class UntrustedSignature:
    """One well-formed candidate; nothing in it is proved.

    ``message`` is the exact bytes that ``signature`` should be over, and ``claim`` was parsed from the same bytes.
    ``certified`` says that the candidate wants to be judged by the certificate it carries, not by a key.
    """

    format: str
    location: str
    message: bytes
    signature: bytes
    claim: Claim
    certified: bool = False


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
