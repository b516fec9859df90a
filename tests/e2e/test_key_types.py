"""Every type of key that cosign signs with, in every way in which cosign signs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.e2e.command import verify_with_key
from tests.e2e.cosign import SIGNERS, KeyPair, Signer, imported
from tests.e2e.images import Repository

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def _rsa(bits: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits)


TYPES: dict[str, Callable[[], PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": _rsa(2048),
    "rsa3072": _rsa(3072),
    "rsa4096": _rsa(4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def make(folder: Path, name: str, kind: str) -> KeyPair:
    """Return a new key of that type, as cosign keeps it."""
    pem = folder / f"{name}.pem"
    pem.write_bytes(
        TYPES[kind]().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return imported(folder, name, pem)


@pytest.fixture(scope="module", params=TYPES)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each type of key, one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def keys(kind: str, folder: Path) -> KeyPair:
    """Return a key of the type."""
    return make(folder, kind, kind)


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)
def test_what_cosign_signs_with_a_key_verifies_with_it(kind: str, signer: Signer, keys: KeyPair, olareg: str) -> None:
    repository = Repository(olareg, f"keys/{kind}")
    image = f"{repository}@{repository.push()}"
    signer.sign(image, keys)
    code, printed = verify_with_key(image, keys)
    (candidate,) = printed["candidates"]
    if kind == "ed25519":
        # Both cosigns sign with the prehashed variant, which gate refuses, and says so.
        assert (code, printed["reason"], candidate["reason"]) == (1, "untrusted", "bad-signature")
        assert "Ed25519ph, is not supported" in candidate["message"]
    else:
        assert (code, printed["reason"], candidate["reason"]) == (0, "verified", "verified")
