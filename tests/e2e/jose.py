"""JSON Web Tokens for one test run, signed with ES256."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ALGORITHM, KEY_ID = "ES256", "e2e"
COORDINATE_BYTES = 32  # of P-256; RFC 7518, sections 3.4 and 6.2.1.2


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A new key that signs tokens."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the token that says ``claims``."""
        signed = f"{_part({'alg': ALGORITHM, 'typ': 'JWT', 'kid': KEY_ID})}.{_part(claims)}"
        numbers = decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(b''.join(each.to_bytes(COORDINATE_BYTES) for each in numbers))}"

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a set of one."""
        numbers = self.private.public_key().public_numbers()
        point = {name: _base64(each.to_bytes(COORDINATE_BYTES)) for name, each in (("x", numbers.x), ("y", numbers.y))}
        return {"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": KEY_ID, "alg": ALGORITHM, **point}]}


def _part(document: object) -> str:
    return _base64(json.dumps(document).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
