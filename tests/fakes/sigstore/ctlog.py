"""A certificate transparency log that promises anything: signed certificate timestamps (SCT), RFC 6962 section 3."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from gate.core.trust import Window
from gate.demo.signer import Signer
from tests.fakes.sigstore.keys import key_id, named_key

_V1, _CERTIFICATE_TIMESTAMP, _PRECERT_ENTRY = 0, 0, 1
_SHA256 = 4  # RFC 5246 section 7.4.1.4.1
_RSA, _ECDSA = 1, 3


@dataclass(frozen=True, slots=True)
class CtLog:
    """A log by its key; ``log_id`` is what its promises say of it."""

    key: Signer
    log_id: bytes
    window: Window
    url: str = "https://ct.example"

    @classmethod
    def create(cls, name: str, window: Window, kind: str = "p256") -> Self:
        """Return a log with a key of its own."""
        key = named_key(name, kind)
        return cls(key, key_id(key), window)

    def promise(self, tbs: bytes, issuer_key_hash: bytes, at: datetime, extensions: bytes = b"") -> bytes:
        """Return the SCT for a certificate whose ``tbs`` is what it is without SCTs."""
        milliseconds = int(at.timestamp() * 1000)
        suffix = struct.pack("!H", len(extensions)) + extensions
        head = struct.pack("!BBQH", _V1, _CERTIFICATE_TIMESTAMP, milliseconds, _PRECERT_ENTRY)
        signed = head + issuer_key_hash + len(tbs).to_bytes(3, "big") + tbs + suffix
        signature = self.key.sign(signed, hashes.SHA256())
        algorithm = _RSA if isinstance(self.key.key, rsa.RSAPrivateKey) else _ECDSA
        said = struct.pack("!B32sQ", _V1, self.log_id, milliseconds) + suffix
        return said + struct.pack("!BBH", _SHA256, algorithm, len(signature)) + signature


def sct_list(promises: Sequence[bytes]) -> bytes:
    """Return the SignedCertificateTimestampList, RFC 6962 section 3.3."""
    listed = b"".join(struct.pack("!H", len(each)) + each for each in promises)
    return struct.pack("!H", len(listed)) + listed
