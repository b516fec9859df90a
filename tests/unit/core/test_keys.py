"""Which key verifies which signature: the whole table, with real signatures."""

from __future__ import annotations

import base64
import functools
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import PublicKey, Signed, parse_public_key
from gate.core.oci import Digest
from gate.core.reasons import Reason
from tests.fakes.signing import NOW, signer

MESSAGE = b"what was signed"
CURVES: dict[str, ec.EllipticCurve] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 (to see it refused)
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha3-256": hashes.SHA3_256(),
}
ACCEPTED = {
    ("p256", "sha256"),
    ("p384", "sha256"),
    ("p384", "sha384"),
    ("p521", "sha256"),
    ("p521", "sha512"),
}


def pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public(kind: str) -> PublicKey:
    return parse_public_key(signer(kind).public_pem)


@functools.cache
def private_rsa() -> rsa.RSAPrivateKey:
    key = signer("rsa2048").key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def assert_refused(key: PublicKey, signature: bytes, message: Signed = MESSAGE) -> UntrustedError:
    with pytest.raises(UntrustedError) as caught:
        key.verify(signature, message)
    assert caught.value.reason is Reason.BAD_SIGNATURE
    assert caught.value.message.startswith("the signature does not verify with the key")
    return caught.value


@pytest.mark.parametrize(("kind", "algorithm"), [(kind, name) for kind in CURVES for name in HASHES])
def test_each_curve_goes_with_its_own_hash_and_the_larger_ones_with_sha_256_too(kind: str, algorithm: str) -> None:
    signature = signer(kind).sign(MESSAGE, HASHES[algorithm])
    if (kind, algorithm) in ACCEPTED:
        public(kind).verify(signature, MESSAGE)
    else:
        assert_refused(public(kind), signature)


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072"])
def test_rsa_with_pkcs_1_v1_5_and_sha_256_is_accepted(kind: str) -> None:
    public(kind).verify(signer(kind).sign(MESSAGE, hashes.SHA256()), MESSAGE)


@pytest.mark.parametrize("algorithm", sorted(set(HASHES) - {"sha256"}))
def test_rsa_with_another_hash_is_refused(algorithm: str) -> None:
    assert_refused(public("rsa2048"), signer("rsa2048").sign(MESSAGE, HASHES[algorithm]))


@pytest.mark.parametrize("salt", [32, padding.PSS.MAX_LENGTH], ids=["digest", "max"])
def test_rsa_with_pss_padding_is_refused(salt: int) -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    assert_refused(public("rsa2048"), private_rsa().sign(MESSAGE, pss, hashes.SHA256()))


def test_pure_ed25519_is_accepted() -> None:
    public("ed25519").verify(signer("ed25519").sign(MESSAGE), MESSAGE)


def test_prehashed_ed25519_is_refused_and_the_message_names_it() -> None:
    # RFC 8032 section 7.3, "TEST abc"
    seed = bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
    signature = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert raw.hex() == "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"
    error = assert_refused(parse_public_key(pem(key)), signature, b"abc")
    assert "Ed25519ph, is not supported" in error.message
    assert_refused(parse_public_key(pem(key)), signature, hashlib.sha512(b"abc").digest())


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048"])
def test_of_a_message_its_sha_256_digest_is_enough(kind: str) -> None:
    signature = signer(kind).sign(MESSAGE, hashes.SHA256())
    public(kind).verify(signature, Digest.of(MESSAGE))
    assert_refused(public(kind), signature, Digest.of(b"another message"))
    assert_refused(public(kind), signer(kind).sign(MESSAGE, hashes.SHA512()), Digest.of(MESSAGE))


def test_ed25519_needs_the_message_itself() -> None:
    with pytest.raises(UntrustedError, match=r"^Ed25519 signs a message, and only its digest is known$") as caught:
        public("ed25519").verify(signer("ed25519").sign(MESSAGE), Digest.of(MESSAGE))
    assert caught.value.reason is Reason.UNSUPPORTED


KINDS = ["p256", "p384", "p521", "rsa2048", "ed25519"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_over_other_bytes_is_refused(kind: str) -> None:
    signature = signer(kind).sign(MESSAGE)
    assert_refused(public(kind), signature, MESSAGE + b"\n")
    assert_refused(public(kind), signature, b"")


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_another_key_is_refused(kind: str) -> None:
    assert_refused(public(kind), signer(kind, 1).sign(MESSAGE))


@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_signature_is_refused(kind: str) -> None:
    signature = signer(kind).sign(MESSAGE)
    for altered in (signature[:-1], signature + b"\0", signature[:-1] + bytes([signature[-1] ^ 1]), b"", b"\0" * 64):
        assert_refused(public(kind), altered)


@pytest.mark.parametrize("kind", KINDS)
@given(signature=st.binary(max_size=600))
def test_no_signature_raises_anything_but_untrusted_error(kind: str, signature: bytes) -> None:
    assert_refused(public(kind), signature)


def test_a_raw_pair_in_place_of_der_is_refused() -> None:
    # IEEE P1363 form, r and s without ASN.1
    signature = signer("p256").sign(MESSAGE)
    assert_refused(public("p256"), signature[4:36] + signature[-32:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_named_by_the_digest_of_its_canonical_der(kind: str) -> None:
    der = signer(kind).key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public(kind).spki == der
    assert public(kind).fingerprint == "sha256:" + hashlib.sha256(der).hexdigest()
    assert public(kind) == public(kind)
    assert public(kind) != parse_public_key(signer(kind, 1).public_pem)


def test_two_spellings_of_one_point_are_one_key() -> None:
    key = signer("p256").key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    compressed = prefix + key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    assert parse_public_key(block("PUBLIC KEY", compressed)) == public("p256")


def test_white_space_and_line_ends_around_a_key_change_nothing() -> None:
    text = signer("p256").public_pem
    assert parse_public_key(b"\r\n" + text.replace(b"\n", b"\r\n") + b"\n\n") == public("p256")


def block(kind: str, der: bytes) -> bytes:
    return f"-----BEGIN {kind}-----\n".encode() + base64.encodebytes(der) + f"-----END {kind}-----\n".encode()


def rsa_pem(bits: int, exponent: int = 65537) -> bytes:
    """Return a key of so many bits; nobody knows its factors."""
    return pem(rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key())


def certificate() -> bytes:
    key = signer("p256").key
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def private_pem(form: PrivateFormat, *, encrypted: bool = False) -> bytes:
    protection = BestAvailableEncryption(b"x") if encrypted else NoEncryption()
    return signer("p256").key.private_bytes(Encoding.PEM, form, protection)


GARBAGE = {
    "empty": b"",
    "text": b"not a key",
    "der": signer("p256").key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "utf-16": signer("p256").public_pem.decode().encode("utf-16"),
}
UNREADABLE = {
    "cut": signer("p256").public_pem[:-40],
    "no base64": block("PUBLIC KEY", b"").replace(b"\n", b"\n!!!\n", 1),
    "no content": block("PUBLIC KEY", b""),
    "no spki": block("PUBLIC KEY", b"\x30\x00"),
    "trailing der": block("PUBLIC KEY", GARBAGE["der"] + b"\0"),
    "pkcs1 as spki": block(
        "PUBLIC KEY", signer("rsa2048").key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    ),
    "off the curve": block("PUBLIC KEY", GARBAGE["der"][:-1] + bytes([GARBAGE["der"][-1] ^ 1])),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_pem_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match=r"^it is not exactly one PEM block of type PUBLIC KEY$"):
        parse_public_key(GARBAGE[name])


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_block_that_holds_no_key_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match=r"^it "):
        parse_public_key(UNREADABLE[name])


def test_two_keys_in_one_file_are_refused() -> None:
    with pytest.raises(MalformedError, match=r"^it is not exactly one PEM block of type PUBLIC KEY$"):
        parse_public_key(signer("p256").public_pem + signer("p384").public_pem)


def test_a_key_followed_by_another_kind_of_block_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"^it is not exactly one PEM block of type PUBLIC KEY$"):
        parse_public_key(signer("p256").public_pem + block("EC PARAMETERS", b"\x06\x01\x01"))


def test_a_pkcs_1_block_is_refused() -> None:
    key = private_rsa().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    with pytest.raises(MalformedError, match=r"^it is not exactly one PEM block of type PUBLIC KEY$"):
        parse_public_key(key)


@pytest.mark.parametrize(
    "text",
    [
        private_pem(PrivateFormat.PKCS8),
        private_pem(PrivateFormat.TraditionalOpenSSL),
        private_pem(PrivateFormat.PKCS8, encrypted=True),
        signer("p256").public_pem + private_pem(PrivateFormat.PKCS8),
        block("ENCRYPTED SIGSTORE PRIVATE KEY", b"{}"),
    ],
    ids=["pkcs8", "sec1", "encrypted", "beside the public key", "cosign.key"],
)
def test_a_private_key_is_refused_by_name_and_not_shown(text: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_public_key(text)
    assert caught.value.message == "it holds a private key; give the public key (cosign.pub)"


def test_a_certificate_is_refused_by_name() -> None:
    with pytest.raises(MalformedError, match=r"^it holds a certificate, not a public key$"):
        parse_public_key(certificate())


@pytest.mark.parametrize(
    ("curve", "name"),
    [(ec.SECP256K1(), "secp256k1"), (ec.SECP224R1(), "secp224r1"), (ec.BrainpoolP256R1(), "brainpoolP256r1")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_curve_is_refused_by_name(curve: ec.EllipticCurve, name: str) -> None:
    with pytest.raises(MalformedError, match=f"^it is on the curve {name}; P-256, P-384 and P-521 are supported$"):
        parse_public_key(pem(ec.generate_private_key(curve).public_key()))


@pytest.mark.parametrize("bits", [2048, 16384])
def test_the_smallest_and_the_largest_rsa_key_are_accepted(bits: int) -> None:
    parse_public_key(rsa_pem(bits))


@pytest.mark.parametrize("bits", [1024, 2047, 16385])
def test_an_rsa_key_outside_2048_to_16384_bits_is_refused(bits: int) -> None:
    with pytest.raises(MalformedError, match=f"^it is RSA of {bits} bits; 2048 to 16384 are supported$"):
        parse_public_key(rsa_pem(bits))


@pytest.mark.parametrize(
    "key",
    [
        dsa.DSAPublicNumbers(5, dsa.DSAParameterNumbers((1 << 1024) - 105, (1 << 160) - 47, 3)),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
    ],
    ids=["dsa", "ed448", "x25519"],
)
def test_another_algorithm_is_refused(key: PublicKeyTypes | dsa.DSAPublicNumbers) -> None:
    text = pem(key.public_key() if isinstance(key, dsa.DSAPublicNumbers) else key)
    with pytest.raises(MalformedError, match=r"^it is neither ECDSA nor RSA nor Ed25519$"):
        parse_public_key(text)


def test_a_file_of_64_kib_is_the_largest() -> None:
    text = signer("p256").public_pem
    assert parse_public_key(text + b"\n" * (64 * 1024 - len(text))) == public("p256")
    with pytest.raises(MalformedError, match=r"^it has more than 65536 bytes$"):
        parse_public_key(text + b"\n" * (64 * 1024 + 1 - len(text)))


@given(st.binary(max_size=200), st.integers(0, 200), st.booleans())
def test_no_bytes_raise_anything_but_malformed_error(data: bytes, at: int, wrapped: bool) -> None:
    der = GARBAGE["der"]
    for text in (
        data,
        block("PUBLIC KEY", data),
        block("PUBLIC KEY", der[:at] + data[:1] + der[at + 1 :]) if wrapped else b"",
    ):
        try:
            parse_public_key(text)
        except MalformedError as error:
            assert len(error.message.splitlines()) == 1
