"""Public keys, and which signature algorithm goes with which."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from gate.core import limits
from gate.core.errors import MalformedError, UntrustedError
from gate.core.oci import Digest
from gate.core.reasons import Reason

_Supported: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

Signed: TypeAlias = bytes | Digest  # what a signature is over: the bytes, or their digest where only that is known

RSA_MINIMUM = 2048  # bits; NIST SP 800-131A rev. 2, section 3
RSA_MAXIMUM = 16384  # bits; beyond it one verification takes milliseconds

# The hash goes with the curve (FIPS 186-5). cosign 2 signs with SHA-256 whatever the curve, so the larger curves
# accept it too: the signature fixes the digest, and both hashes are collision-resistant.
_CURVE_HASHES: dict[str, tuple[hashes.HashAlgorithm, ...]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA384(), hashes.SHA256()),
    "secp521r1": (hashes.SHA512(), hashes.SHA256()),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that gate can verify with; ``spki`` is its canonical DER and its identity."""

    spki: bytes
    _key: _Supported = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """The key's name in records: ``sha256:`` and the hex digest of the SPKI DER."""
        return "sha256:" + hashlib.sha256(self.spki).hexdigest()

    def verify(self, signature: bytes, message: Signed) -> None:
        """Return if ``signature`` is over ``message``, else raise UntrustedError.

        ECDSA: ASN.1 DER, FIPS 186-5 section 6.4.2. RSA: PKCS #1 v1.5 with SHA-256, RFC 8017 section 8.2.2.
        Ed25519: pure, RFC 8032 section 5.1.7; it needs the message itself.
        """
        match self._key:
            case ec.EllipticCurvePublicKey():
                _verify_ecdsa(self._key, signature, message)
            case rsa.RSAPublicKey():
                data, algorithm = _prepare(message, hashes.SHA256())
                try:
                    self._key.verify(signature, data, padding.PKCS1v15(), algorithm)
                except InvalidSignature as error:
                    raise UntrustedError(Reason.BAD_SIGNATURE, _BAD) from error
            case ed25519.Ed25519PublicKey():
                if isinstance(message, Digest):
                    raise UntrustedError(Reason.UNSUPPORTED, "Ed25519 signs a message, and only its digest is known")
                try:
                    self._key.verify(signature, message)
                except InvalidSignature as error:
                    raise UntrustedError(Reason.BAD_SIGNATURE, _BAD_ED25519) from error


# Says whether a signature is over a message: PublicKey.verify, or somebody who remembers what it said.
Check: TypeAlias = Callable[[PublicKey, bytes, Signed], None]

_BAD = "the signature does not verify with the key"
# cosign 3 signs with the prehashed variant (RFC 8032 section 5.1, dom2), which nothing in the signature tells apart.
_BAD_ED25519 = (
    f"{_BAD} as pure Ed25519 (the prehashed variant, Ed25519ph, is not supported: sign with an ECDSA P-256 key)"
)


def _verify_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, message: Signed) -> None:
    algorithms = _CURVE_HASHES[key.curve.name]
    for algorithm in algorithms if isinstance(message, bytes) else (hashes.SHA256(),):
        data, prepared = _prepare(message, algorithm)
        try:
            key.verify(signature, data, ec.ECDSA(prepared))
        except InvalidSignature:
            continue
        return
    raise UntrustedError(Reason.BAD_SIGNATURE, _BAD)


def _prepare(message: Signed, algorithm: hashes.HashAlgorithm) -> tuple[bytes, Prehashed | hashes.HashAlgorithm]:
    """Return what the library wants: the message and its hash, or the digest, said to be one already."""
    if isinstance(message, Digest):
        return bytes.fromhex(message.hex), Prehashed(algorithm)
    return message, algorithm


def parse_public_key(pem: bytes) -> PublicKey:
    """Return the one public key in ``pem`` (PEM, SubjectPublicKeyInfo), or raise MalformedError that says what it is.

    Accepted: ECDSA on P-256, P-384 and P-521, RSA of 2048 to 16384 bits, Ed25519.
    """
    if len(pem) > limits.KEY_BYTES:
        raise MalformedError(f"it has more than {limits.KEY_BYTES} bytes")
    if b"PRIVATE KEY" in pem:
        raise MalformedError("it holds a private key; give the public key (cosign.pub)")
    if b"-----BEGIN CERTIFICATE-----" in pem:
        raise MalformedError("it holds a certificate, not a public key")
    if pem.count(b"-----BEGIN ") != 1 or b"-----BEGIN PUBLIC KEY-----" not in pem:
        raise MalformedError("it is not exactly one PEM block of type PUBLIC KEY")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("it does not hold a public key that can be read") from error
    return supported_key(key)


def supported_key(key: object) -> PublicKey:
    """Return ``key``, one of cryptography's, as one of gate's, or raise MalformedError that says what it is."""
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name not in _CURVE_HASHES:
            raise MalformedError(f"it is on the curve {key.curve.name}; P-256, P-384 and P-521 are supported")
        case rsa.RSAPublicKey() if not RSA_MINIMUM <= key.key_size <= RSA_MAXIMUM:
            raise MalformedError(f"it is RSA of {key.key_size} bits; {RSA_MINIMUM} to {RSA_MAXIMUM} are supported")
        case ec.EllipticCurvePublicKey() | rsa.RSAPublicKey() | ed25519.Ed25519PublicKey():
            return PublicKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)
        case _:
            raise MalformedError("it is neither ECDSA nor RSA nor Ed25519")
