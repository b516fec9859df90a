"""The private keys of a Sigstore in memory, and what its documents call their public halves."""

from __future__ import annotations

import functools
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gate.demo.signer import PrivateKey, Signer

_CURVE_DETAILS = {
    "secp256r1": "PKIX_ECDSA_P256_SHA_256",
    "secp384r1": "PKIX_ECDSA_P384_SHA_384",
    "secp521r1": "PKIX_ECDSA_P521_SHA_512",
}
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


@functools.cache
def named_key(name: str, kind: str = "p256") -> Signer:
    """Return the same key for the same arguments, another for each name."""
    return Signer.generate(kind)


def spki(key: Signer) -> bytes:
    """Return the public half, DER SubjectPublicKeyInfo."""
    return key.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def raw_public_key(key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public half."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(key: Signer) -> bytes:
    """Return what Rekor v1 and CT logs are known by: the SHA-256 of the SPKI. RFC 6962 section 3.2."""
    return hashlib.sha256(spki(key)).digest()


def key_details(key: Signer) -> str:
    """Return the key's kind as protobuf-specs ``sigstore_common.proto``, PublicKeyDetails, has it."""
    match key.key:
        case ec.EllipticCurvePrivateKey():
            return _CURVE_DETAILS[key.key.curve.name]
        case rsa.RSAPrivateKey():
            return f"PKIX_RSA_PKCS1V15_{key.key.key_size}_SHA256"
        case ed25519.Ed25519PrivateKey():
            return "PKIX_ED25519"


def certificate_hash(key: PrivateKey) -> hashes.HashAlgorithm | None:
    """Return the hash with which an authority signs certificates; Ed25519 has none."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return _CURVE_HASHES.get(key.curve.name, hashes.SHA256())
        case rsa.RSAPrivateKey():
            return hashes.SHA256()
        case ed25519.Ed25519PrivateKey():
            return None


def signing_hash(key: Signer) -> tuple[str, str]:
    """Return the hash with which the key signs unless told otherwise, as Rekor v2 and as hashlib spell it."""
    match key.key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return "SHA2_384", "sha384"
        case ec.EllipticCurvePrivateKey(curve=ec.SECP521R1()):
            return "SHA2_512", "sha512"
        case _:
            return "SHA2_256", "sha256"
