"""A transparency log in memory: it promises, includes and signs checkpoints of whatever it is given."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gate.core.keys import parse_public_key
from gate.core.transparency import InclusionProof
from gate.core.trust import Log, Window
from gate.demo.signer import Signer

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECONDS = int(AT.timestamp())
WINDOW = Window(AT - timedelta(days=1), AT + timedelta(days=1))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """Return the largest power of two below ``size``, the k of RFC 6962 section 2.1."""
    return 1 << (size - 1).bit_length() - 1


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH(leaves), as RFC 6962 section 2.1 writes it down."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = _split(len(leaves))
    return node_hash(tree_root(leaves[:k]), tree_root(leaves[k:]))


def audit_path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return PATH(index, leaves), as RFC 6962 section 2.1.1 writes it down."""
    if len(leaves) == 1:
        return ()
    k = _split(len(leaves))
    if index < k:
        return (*audit_path(index, leaves[:k]), tree_root(leaves[k:]))
    return (*audit_path(index - k, leaves[k:]), tree_root(leaves[:k]))


def signature_line(hint: bytes, signature: bytes, name: str = "log.example") -> str:
    return f"\u2014 {name} {b64(hint[:4] + signature)}\n"


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """One log with its key; what it signs is whatever it is given."""

    key: Signer
    window: Window = WINDOW

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(self.key.public_pem).digest()

    @property
    def trusted(self) -> Log:
        """The log as a trust root lists it."""
        return Log(self.log_id, parse_public_key(self.key.public_pem), self.window)

    def promise(self, body: bytes, index: int, seconds: int = SECONDS, log_id: bytes | None = None) -> bytes:
        fields = {
            "body": b64(body),
            "integratedTime": seconds,
            "logID": (log_id or self.log_id).hex(),
            "logIndex": index,
        }
        return self.key.sign(rfc8785.dumps(fields))

    def note(self, text: str, before: str = "", after: str = "") -> str:
        """Return ``text`` (all its lines) and the log's signature of it, between signature lines of others."""
        return f"{text}\n{before}{signature_line(self.log_id, self.key.sign(text.encode()))}{after}"

    def checkpoint(self, size: int, root: bytes, extension: str = "") -> str:
        return self.note(f"log.example - 1\n{size}\n{b64(root)}\n{extension}")

    def proof(self, leaves: Sequence[bytes], index: int) -> InclusionProof:
        root = tree_root(leaves)
        return InclusionProof(index, len(leaves), root, audit_path(index, leaves), self.checkpoint(len(leaves), root))


def compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def hashedrekord(digest: str, signature: bytes, pem: bytes, algorithm: str = "sha256") -> dict[str, object]:
    """Return the body of Rekor v1's entry for a signature of bytes."""
    spec = {
        "data": {"hash": {"algorithm": algorithm, "value": digest}},
        "signature": {"content": b64(signature), "publicKey": {"content": b64(pem)}},
    }
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}


def hashedrekord_v2(
    digest: bytes, signature: bytes, verifier: Mapping[str, object], algorithm: str = "SHA2_256"
) -> dict[str, object]:
    """Return the body of Rekor v2's entry."""
    record = {
        "data": {"algorithm": algorithm, "digest": b64(digest)},
        "signature": {"content": b64(signature), "verifier": verifier},
    }
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}}


def payload_hash(payload: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}


def dsse(payload: bytes, signature: bytes, pem: bytes) -> dict[str, object]:
    """Return the body of Rekor v1's entry for an envelope."""
    spec = {
        "envelopeHash": payload_hash(b"one spelling of the envelope"),
        "payloadHash": payload_hash(payload),
        "signatures": [{"signature": b64(signature), "verifier": b64(pem)}],
    }
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}


def intoto(payload: bytes, signature: bytes, pem: bytes) -> dict[str, object]:
    """Return the body of Rekor v1's older entry for an envelope."""
    signed = {"publicKey": b64(pem), "sig": b64(b64(signature).encode())}
    envelope = {"payloadType": "application/vnd.in-toto+json", "signatures": [signed]}
    return {
        "apiVersion": "0.0.2",
        "kind": "intoto",
        "spec": {"content": {"envelope": envelope, "payloadHash": payload_hash(payload)}},
    }


def certificate(key: Signer, name: str = "somebody") -> x509.Certificate:
    """Return a certificate of ``key`` that nobody but the key itself vouches for."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.key.public_key(), 1)
    dated = builder.not_valid_before(AT).not_valid_after(AT + timedelta(minutes=10))
    return dated.sign(key.key, hashes.SHA256())


def pem_of(found: x509.Certificate) -> bytes:
    return found.public_bytes(Encoding.PEM)
