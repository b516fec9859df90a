"""What Rekor writes down of a signature, for each kind of entry (rekor ``pkg/types``, rekor-tiles ``hashedrekord``)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rfc8785
from cryptography.hazmat.primitives.serialization import Encoding

from gate.core.formats import dsse as envelope
from gate.demo import layouts
from tests.fakes.sigstore.keys import key_details, signing_hash, spki

if TYPE_CHECKING:  # a signature holds entries, and an entry's body tells of a signature
    from tests.fakes.sigstore.made import Made


@dataclass(frozen=True, slots=True)
class Body:
    """An entry's kind and its canonicalized body."""

    kind: str
    version: str
    raw: bytes

    @classmethod
    def of(cls, kind: str, version: str, spec: object) -> Body:
        """Return the body with this spec."""
        return cls(kind, version, rfc8785.dumps({"apiVersion": version, "kind": kind, "spec": spec}))


def hashedrekord(made: Made) -> Body:
    """Return the entry of Rekor v1 for a signature over bytes."""
    spec = {
        "data": {"hash": _sha256(made.message)},
        "signature": {"content": _text(made.signature), "publicKey": {"content": _text(made.holder.pem)}},
    }
    return Body.of("hashedrekord", "0.0.1", spec)


def dsse(made: Made) -> Body:
    """Return the entry of Rekor v1 for an envelope."""
    spec = {
        "envelopeHash": _sha256(layouts.compact(made.envelope)),
        "payloadHash": _sha256(made.content),
        "signatures": [{"signature": _text(made.signature), "verifier": _text(made.holder.pem)}],
    }
    return Body.of("dsse", "0.0.1", spec)


def intoto(made: Made) -> Body:
    """Return the older entry of Rekor v1 for an envelope: the signature is in base64 twice."""
    signature = {"sig": _text(_text(made.signature).encode()), "publicKey": _text(made.holder.pem)}
    content = {
        "envelope": {"payloadType": envelope.IN_TOTO_TYPE, "signatures": [signature]},
        "hash": _sha256(layouts.compact(made.envelope)),
        "payloadHash": _sha256(made.content),
    }
    return Body.of("intoto", "0.0.2", {"content": content})


def hashedrekord_v2(made: Made) -> Body:
    """Return the one kind of entry of Rekor v2, for a signature over bytes or an envelope's encoding."""
    name, algorithm = signing_hash(made.holder.key)
    certificate = made.holder.certificate
    if certificate is None:
        verifier: dict[str, object] = {"publicKey": {"rawBytes": _text(spki(made.holder.key))}}
    else:
        verifier = {"x509Certificate": {"rawBytes": _text(certificate.public_bytes(Encoding.DER))}}
    verifier["keyDetails"] = key_details(made.holder.key)
    spec = {
        "data": {"algorithm": name, "digest": _text(hashlib.new(algorithm, made.message).digest())},
        "signature": {"content": _text(made.signature), "verifier": verifier},
    }
    return Body.of("hashedrekord", "0.0.2", {"hashedRekordV002": spec})


Describe = Callable[["Made"], Body]


def _sha256(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
