"""Transparency log entries: parsed, proved to be in a trusted log, and bound to one signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509

from gate.core.keys import Check, PublicKey, Signed
from gate.core.strictjson import Json
from gate.core.trust import Log


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The path from one leaf to a tree's root (RFC 6962 section 2.1.1), and the checkpoint that signs the root."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry as it came; nothing in it is proved. ``promise`` is the signed entry timestamp (SET)."""

    log_id: bytes
    index: int
    kind: str
    version: str
    body: bytes
    integrated_at: int | None = None  # seconds since 1970; proved by ``promise`` alone
    promise: bytes | None = None
    proof: InclusionProof | None = None

    @classmethod
    def from_annotation(cls, text: str) -> Self:
        """Return the entry in cosign's ``dev.sigstore.cosign/bundle`` annotation, or raise MalformedError."""
        raise NotImplementedError

    @classmethod
    def from_bundle(cls, value: Json) -> Self:
        """Return the entry in one member of a bundle's ``tlogEntries``, or raise MalformedError."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class LoggedSignature:
    """What an entry must be about to count: this signature of this message by this signer.

    ``payload`` is what is in a DSSE envelope, where the message is its encoding. ``certificate`` is the signer's, None
    where a key signs: then an entry that names a certificate must name one of that very key.
    """

    signature: bytes
    message: Signed
    key: PublicKey
    certificate: x509.Certificate | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class LogDemand:
    """What an entry must bring: where a format has an inclusion promise or proof, it is obligatory there."""

    promise: bool
    proof: bool


def verify_entries(
    entries: Sequence[LogEntry],
    about: LoggedSignature,
    logs: Sequence[Log],
    demand: LogDemand,
    check: Check = PublicKey.verify,
) -> tuple[datetime, ...]:
    """Return the times that the entries' promises prove; at least one entry is proved and bound to the signature.

    Raises UntrustedError: no-log-entry where there is none, log-entry where one does not hold.
    """
    raise NotImplementedError
