"""Certificates: read whole or not at all, on a path at a time, fit to sign code, logged, and naming one identity."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Unpack

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from gate.core import limits
from gate.core.certificates import (
    Identity,
    find_issuer,
    identity,
    is_root,
    parse_certificate,
    parse_certificates,
    public_key,
    require_profile,
    require_sct,
)
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import PublicKey, Signed
from gate.core.reasons import Reason
from gate.core.trust import CertificateAuthority, Log, Window, parse_trusted_root
from gate.demo.signer import Signer
from tests.fakes.shared import shared_fixture
from tests.fakes.sigstore import ISSUER, NOW, SUBJECT, Authority, CtLog, Sigstore
from tests.fakes.sigstore.authority import (
    Leaf,
    builder_for,
    common_name,
    key_usage,
    other_name,
    self_signed_root,
)
from tests.fakes.sigstore.ctlog import sct_list
from tests.fakes.sigstore.keys import certificate_hash, named_key, spki

SIGSTORE = Sigstore.create()
ROOT = parse_trusted_root(SIGSTORE.trusted_root())
HOLDER = named_key("holder")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
YEAR = Window(NOW - 365 * DAY, NOW + 365 * DAY)


def leaf(**changes: Unpack[Leaf]) -> x509.Certificate:
    return SIGSTORE.ca.issue(HOLDER, NOW, **changes)


def as_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def as_pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def trusted(authority: Authority) -> CertificateAuthority:
    return CertificateAuthority(authority.chain, authority.window)


def issuer_at(at: datetime, certificate: x509.Certificate, *authorities: Authority) -> x509.Certificate:
    return find_issuer(certificate, [], [trusted(each) for each in authorities or [SIGSTORE.ca]], at)


def assert_no_path(
    certificate: x509.Certificate,
    *authorities: Authority,
    at: datetime = NOW,
    intermediates: tuple[x509.Certificate, ...] = (),
) -> str:
    with pytest.raises(UntrustedError) as caught:
        find_issuer(certificate, intermediates, [trusted(each) for each in authorities or [SIGSTORE.ca]], at)
    assert caught.value.reason is Reason.CERTIFICATE
    return caught.value.message


NO_PATH = "the certificate has no path to a trusted root that is valid at 2026-01-01T00:00:00Z"


# --- DER and PEM ------------------------------------------------------------------------------------------------------


def test_a_certificate_is_read_as_it_was_written() -> None:
    assert parse_certificate(as_der(leaf())).extensions
    assert as_der(parse_certificate(as_der(ROOT.certificate_authorities[0].chain[0]))) == as_der(SIGSTORE.ca.chain[0])


def unreadable(der: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_certificate(der)
    return caught.value.message


def spoilt(old: bytes, new: bytes, der: bytes) -> bytes:
    assert der.count(old) == 1
    assert len(old) == len(new)
    return der.replace(old, new)


def unrecognized(oid: str, value: str) -> x509.Extension[x509.ExtensionType]:
    extension = x509.UnrecognizedExtension(ObjectIdentifier(oid), bytes.fromhex(value))
    return x509.Extension(extension.oid, False, extension)  # noqa: FBT003


KEY_USAGE, EXTENDED_KEY_USAGE = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d25")
NAME_CONSTRAINTS = bytes.fromhex("0603551d1e")
X400_NAMES = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.18"), bytes.fromhex("3002a300"))
TLS_FEATURE = unrecognized("1.3.6.1.5.5.7.1.24", "3003020163")
THREE_BYTES = unrecognized("2.5.29.30", "3009a00730058703010203")
UNREADABLE = {
    "empty": b"",
    "no certificate": b"\x30\x00",
    "cut": as_der(leaf())[:-1],
    "trailing byte": as_der(leaf()) + b"\0",
    "PEM": as_pem(leaf()),
    "version": spoilt(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", as_der(leaf())),
    "an extension that is not what it should be": spoilt(KEY_USAGE, NAME_CONSTRAINTS, as_der(leaf())),
    "an extension twice": spoilt(EXTENDED_KEY_USAGE, KEY_USAGE, as_der(leaf())),
    "a kind of name that nobody reads": as_der(leaf(extensions=[x509.Extension(X400_NAMES.oid, False, X400_NAMES)])),  # noqa: FBT003
    "a list of promises that is none": as_der(leaf(scts=b"no list")),
    "a TLS feature that nobody knows": as_der(leaf(extensions=[TLS_FEATURE])),
    "a constraint to an address of three bytes": as_der(leaf(extensions=[THREE_BYTES])),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_certificate_in_every_part_is_refused_where_it_is_read(name: str) -> None:
    assert unreadable(UNREADABLE[name]) == "a certificate cannot be read"


def padded(size: int) -> bytes:
    """Return a certificate of exactly so many bytes."""

    def made(padding: int) -> bytes:
        value = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3"), bytes(padding))
        builder = builder_for(common_name("padded"), HOLDER, common_name("padded"), HOLDER, YEAR)
        return as_der(
            builder.add_extension(value, critical=False).sign(named_key("rsa", "rsa2048").key, hashes.SHA256())
        )

    padding = size - len(made(size // 2)) + size // 2
    # The length of an ECDSA signature varies, so the certificate is signed with RSA; a serial number's may vary too.
    return next(der for der in (made(padding) for _ in range(100)) if len(der) == size)


def test_the_size_of_a_certificate_is_bounded() -> None:
    assert parse_certificate(padded(limits.CERTIFICATE_BYTES))
    assert unreadable(padded(limits.CERTIFICATE_BYTES + 1)) == "a certificate has 32769 bytes, more than 32768"


@given(st.integers(0, len(as_der(leaf(logs=[SIGSTORE.ct]))) - 20), st.binary(min_size=1, max_size=3))
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.filterwarnings("ignore:The parsed certificate contains a NULL parameter value")
def test_an_altered_certificate_raises_nothing_but_what_is_documented(at: int, data: bytes) -> None:
    der = as_der(leaf(logs=[SIGSTORE.ct]))
    try:
        certificate = parse_certificate(der[:at] + data + der[at + len(data) :])
    except MalformedError:
        return
    for question in (
        lambda: public_key(certificate),
        lambda: identity(certificate),
        lambda: require_profile(certificate),
        lambda: is_root(certificate),
        lambda: find_issuer(certificate, [certificate], ROOT.certificate_authorities, NOW),
        lambda: require_sct(certificate, SIGSTORE.ca.chain[0], ROOT.ct_logs),
    ):
        try:
            question()
        except UntrustedError as error:
            assert len(error.message.splitlines()) == 1


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed_error(data: bytes) -> None:
    unreadable(data)
    for text in (b"x" + data, b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n"):
        with pytest.raises(MalformedError):
            parse_certificates(text)


def test_certificates_are_read_in_their_order() -> None:
    chain = SIGSTORE.ca.chain
    assert parse_certificates(as_pem(*chain)) == chain
    assert parse_certificates(as_pem(*chain[::-1])) == chain[::-1]


@pytest.mark.parametrize("pem", [b"", b" \n"], ids=["empty", "white space"])
def test_an_empty_chain_has_no_certificates(pem: bytes) -> None:
    assert parse_certificates(pem) == ()


def refused_chain(pem: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_certificates(pem)
    return caught.value.message


NOT_PEM = "a chain of certificates is not made of PEM blocks of type CERTIFICATE"


def test_a_chain_holds_nothing_but_certificates() -> None:
    assert refused_chain(b"no chain") == NOT_PEM
    assert refused_chain(as_der(leaf())) == NOT_PEM
    assert refused_chain(HOLDER.public_pem) == NOT_PEM
    assert refused_chain(as_pem(leaf()) + HOLDER.public_pem) == NOT_PEM


def test_a_block_that_is_no_certificate_refuses_the_chain() -> None:
    block = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert refused_chain(as_pem(leaf()) + block) == "a certificate cannot be read"
    cut = as_pem(leaf()) + as_pem(leaf())[:-30]
    assert "read" in refused_chain(cut)


def test_a_certificate_in_a_chain_is_held_to_the_same_as_one_alone() -> None:
    der = UNREADABLE["an extension twice"]
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    assert refused_chain(pem) == "a certificate cannot be read"


def test_a_chain_is_bounded() -> None:
    one = as_pem(leaf())
    assert len(parse_certificates(one * 8)) == 8
    assert refused_chain(one * 9) == "a chain has 9 certificates, more than 8"
    assert parse_certificates(one + b"\n" * (limits.CERTIFICATES_BYTES - len(one)))
    too_long = one + b"\n" * (limits.CERTIFICATES_BYTES + 1 - len(one))
    assert refused_chain(too_long) == "a chain of certificates has 262145 bytes, more than 262144"


# --- key --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519"])
def test_keys_of_every_kind_that_signs_are_read(kind: str) -> None:
    key = named_key(f"holder {kind}", kind)
    assert public_key(SIGSTORE.ca.issue(key, NOW)).spki == spki(key)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ec.generate_private_key(ec.SECP256K1()), "it is on the curve secp256k1; P-256, P-384 and P-521 are supported"),
        (rsa.generate_private_key(65537, 1024), "it is RSA of 1024 bits; 2048 to 16384 are supported"),  # noqa: S505 (to see it refused)
        (ed448.Ed448PrivateKey.generate(), "it is neither ECDSA nor RSA nor Ed25519"),
    ],
    ids=["curve", "small", "kind"],
)
def test_a_key_of_another_kind_is_refused(key: ec.EllipticCurvePrivateKey, said: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        public_key(SIGSTORE.ca.issue(Signer(key), NOW))
    assert (caught.value.reason, caught.value.message) == (
        Reason.CERTIFICATE,
        f"the certificate's key is not supported: {said}",
    )


@pytest.mark.parametrize("spoil", ["curve", "point"])
def test_a_key_that_cannot_be_read_is_refused(spoil: str) -> None:
    der, key = as_der(leaf()), spki(HOLDER)
    p256 = bytes.fromhex("06082a8648ce3d030107")
    other = key.replace(p256, p256[:-1] + b"\x63") if spoil == "curve" else key[:-1] + bytes([key[-1] ^ 1])
    with pytest.raises(UntrustedError) as caught:
        public_key(parse_certificate(spoilt(key, other, der)))
    assert (caught.value.reason, caught.value.message) == (Reason.CERTIFICATE, "the certificate's key cannot be read")


# --- identity ---------------------------------------------------------------------------------------------------------


def nobody(**changes: Unpack[Leaf]) -> str:
    with pytest.raises(UntrustedError) as caught:
        identity(leaf(**changes))
    assert caught.value.reason is Reason.CERTIFICATE
    return caught.value.message


WORKFLOW = "https://github.com/acme/config/.github/workflows/release.yaml@refs/heads/main"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        (x509.RFC822Name("dev@example.com"), "dev@example.com"),
        (x509.UniformResourceIdentifier(WORKFLOW), WORKFLOW),
        (x509.DNSName("ci.example.com"), "ci.example.com"),
        (other_name("dev!example.com"), "dev!example.com"),  # decoded: without the header of its encoding
        (other_name("ö" * 100), "ö" * 100),
    ],
    ids=["address", "uri", "dns", "user name", "long user name"],
)
def test_the_one_name_of_every_kind_is_the_subject(name: x509.GeneralName, subject: str) -> None:
    assert identity(leaf(names=[name])) == Identity(subject, ISSUER)


def test_no_name_and_two_names_are_nobody() -> None:
    assert nobody(names=[]) == "the certificate has 0 subject alternative names, not exactly one"
    two = [x509.RFC822Name("dev@example.com"), x509.RFC822Name("admin@example.com")]
    assert nobody(names=two) == "the certificate has 2 subject alternative names, not exactly one"


@pytest.mark.parametrize(
    "name",
    [
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
        x509.DirectoryName(common_name("dev@example.com")),
        x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), core.UTF8String("dev@example.com").dump()),
    ],
    ids=["oid", "directory", "another otherName"],
)
def test_a_name_of_another_kind_is_nobody(name: x509.GeneralName) -> None:
    message = "the certificate's subject is neither an address, a URI, a DNS name nor a user name"
    assert nobody(names=[name]) == message


NO_TEXT = "a text in a certificate is not a DER UTF8String of at most 2048 bytes"
NO_UTF8 = "a text in a certificate is not UTF-8"
ENCODINGS = {
    "nothing": (b"", NO_TEXT),
    "bare": (b"dev@example.com", NO_TEXT),
    "another kind of string": (b"\x16\x03dev", NO_TEXT),
    "cut": (b"\x0c\x04dev", NO_TEXT),
    "trailing": (b"\x0c\x03dev!", NO_TEXT),
    "long form for a short length": (b"\x0c\x81\x03dev", NO_TEXT),
    "two bytes for a length of one": (b"\x0c\x82\x00\x80" + b"a" * 128, NO_TEXT),
    "indefinite length": (b"\x0c\x80dev\0\0", NO_TEXT),
    "too long": (core.UTF8String("a" * 2049).dump(), NO_TEXT),
    "no UTF-8": (b"\x0c\x01\xff", NO_UTF8),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_text_with_any_but_its_one_encoding_is_refused(name: str) -> None:
    raw, message = ENCODINGS[name]
    assert nobody(issuer_v1=None, issuer_v2=raw) == message


@pytest.mark.parametrize("name", ["another kind of string", "too long", "no UTF-8"])
def test_a_user_name_is_held_to_the_same(name: str) -> None:
    # What is no DER at all cannot be in this place: the library does not read such a certificate.
    raw, message = ENCODINGS[name]
    assert nobody(names=[x509.OtherName(other_name("").type_id, raw)]) == message


@pytest.mark.parametrize("size", [1, 127, 128, 255, 256, 2048])
def test_a_text_of_any_length_up_to_the_limit_is_read(size: int) -> None:
    assert identity(leaf(names=[other_name("a" * size)])).subject == "a" * size


@pytest.mark.parametrize("name", [x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName])
def test_the_length_of_a_subject_is_bounded(name: type[x509.UniformResourceIdentifier]) -> None:
    assert identity(leaf(names=[name("a" * limits.IDENTITY_BYTES)]))
    message = "the subject in the certificate is empty or has more than 2048 bytes"
    assert nobody(names=[name("a" * (limits.IDENTITY_BYTES + 1))]) == message


@pytest.mark.parametrize("name", [other_name(""), x509.UniformResourceIdentifier("")], ids=["user name", "uri"])
def test_an_empty_name_is_nobody(name: x509.GeneralName) -> None:
    assert nobody(names=[name]) == "the subject in the certificate is empty or has more than 2048 bytes"


def test_either_extension_alone_names_the_issuer() -> None:
    assert identity(leaf(issuer_v1=b"https://a", issuer_v2=None)).issuer == "https://a"
    assert identity(leaf(issuer_v1=None, issuer_v2=core.UTF8String("https://b").dump())).issuer == "https://b"


def test_a_certificate_without_either_extension_names_no_issuer() -> None:
    assert identity(leaf(issuer=None)) == Identity(SUBJECT, None)


def test_two_extensions_that_name_different_issuers_are_refused() -> None:
    message = nobody(issuer_v1=b"https://a", issuer_v2=core.UTF8String("https://b").dump())
    assert message == "the certificate names two different issuers"


def test_the_newer_extension_without_its_encoding_is_not_read_as_bare_text() -> None:
    assert nobody(issuer_v1=ISSUER.encode(), issuer_v2=ISSUER.encode()) == NO_TEXT


def test_the_older_extension_is_bare_text_whatever_it_looks_like() -> None:
    raw = core.UTF8String("https://a").dump()
    assert identity(leaf(issuer_v1=raw, issuer_v2=None)).issuer == raw.decode()


def test_an_issuer_that_is_no_text_or_too_long_is_refused() -> None:
    assert nobody(issuer_v1=b"\xff", issuer_v2=None) == "the issuer in the certificate is not UTF-8"
    bounded = "the issuer in the certificate is empty or has more than 2048 bytes"
    assert nobody(issuer_v1=b"", issuer_v2=None) == bounded
    assert nobody(issuer_v1=b"a" * 2049, issuer_v2=None) == bounded
    assert identity(leaf(issuer_v1=b"a" * 2048, issuer_v2=None)).issuer == "a" * 2048


# --- profile ----------------------------------------------------------------------------------------------------------

NO_USAGE = "the certificate's key usage does not include digital signatures"
NO_PURPOSE = "the certificate's extended key usage does not include code signing"
AUTHORITY = "the certificate is an authority's, and signs nothing but certificates"


def test_a_leaf_as_fulcio_makes_it_may_sign_code() -> None:
    require_profile(leaf())
    require_profile(leaf(constraints=x509.BasicConstraints(ca=False, path_length=None)))
    require_profile(leaf(purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CODE_SIGNING]))


PROFILES: dict[str, tuple[Leaf, str]] = {
    "no key usage": ({"usage": None}, NO_USAGE),
    "another key usage": ({"usage": key_usage("key_encipherment")}, NO_USAGE),
    "no extended key usage": ({"purposes": None}, NO_PURPOSE),
    "another extended key usage": ({"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]}, NO_PURPOSE),
    "any extended key usage": ({"purposes": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, NO_PURPOSE),
    "an authority": ({"constraints": x509.BasicConstraints(ca=True, path_length=None)}, AUTHORITY),
    "signs certificates": ({"usage": key_usage("digital_signature", "key_cert_sign")}, AUTHORITY),
    "signs revocations": ({"usage": key_usage("digital_signature", "crl_sign")}, AUTHORITY),
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_certificate_for_anything_else_is_refused(name: str) -> None:
    changes, message = PROFILES[name]
    with pytest.raises(UntrustedError) as caught:
        require_profile(leaf(**changes))
    assert (caught.value.reason, caught.value.message) == (Reason.CERTIFICATE, message)


def test_a_root_is_an_authority_about_itself() -> None:
    intermediate, root = SIGSTORE.ca.chain
    assert [is_root(each) for each in (leaf(), intermediate, root)] == [False, False, True]


# --- path -------------------------------------------------------------------------------------------------------------


def certify(
    name: str,
    by: Authority | None,
    *more: x509.ExtensionType,
    without: type[x509.ExtensionType] | None = None,
) -> Authority:
    """Return the authority ``name`` that ``by`` (itself, where nobody) certifies without a limit to its path."""
    key = named_key(name, "p384")
    issuer, issuer_key, above = (common_name(name), key, ()) if by is None else (by.chain[0].subject, by.key, by.chain)
    builder = builder_for(common_name(name), key, issuer, issuer_key, YEAR)
    critical: tuple[x509.ExtensionType, ...] = (
        x509.BasicConstraints(ca=True, path_length=None),
        key_usage("key_cert_sign", "crl_sign"),
    )
    for value in {type(each): each for each in (*critical, *more)}.values():
        if type(value) is not without:
            builder = builder.add_extension(value, critical=isinstance(value, x509.BasicConstraints | x509.KeyUsage))
    return Authority(key, (builder.sign(issuer_key.key, certificate_hash(issuer_key.key)), *above), YEAR)


def root_of(name: str, kind: str = "p384", **windows: Window) -> Authority:
    """Return an authority whose root issues, trusted for as long as ``used`` says."""
    return Authority.create(
        name, windows.get("used", YEAR), kind=kind, root=windows.get("root", YEAR), intermediate=None
    )


TOP = certify("top", None)


def below(*more: x509.ExtensionType, without: type[x509.ExtensionType] | None = None) -> Authority:
    return certify("below", TOP, *more, without=without)


def test_the_issuer_on_the_path_is_returned() -> None:
    assert issuer_at(NOW, leaf()) == SIGSTORE.ca.chain[0]


def test_a_single_root_may_issue_by_itself() -> None:
    authority = root_of("alone")
    assert issuer_at(NOW, authority.issue(HOLDER, NOW), authority) == authority.chain[0]


def test_a_certificate_that_a_trust_root_lists_itself_has_no_issuer() -> None:
    itself = leaf()
    with pytest.raises(UntrustedError) as caught:
        find_issuer(itself, [], [CertificateAuthority((itself,), YEAR)], NOW)
    assert (caught.value.reason, caught.value.message) == (Reason.CERTIFICATE, NO_PATH)


def test_a_path_may_have_several_intermediates() -> None:
    lower = certify("lower", below())
    assert issuer_at(NOW, lower.issue(HOLDER, NOW), lower) == lower.chain[0]


def test_every_authority_of_the_trust_root_is_asked() -> None:
    other = root_of("another")
    assert issuer_at(NOW, leaf(), other, SIGSTORE.ca) == SIGSTORE.ca.chain[0]
    assert issuer_at(NOW, leaf(), SIGSTORE.ca, other) == SIGSTORE.ca.chain[0]


def test_a_certificate_of_another_authority_is_refused() -> None:
    # The same names, and other keys.
    other = Sigstore.create(name="elsewhere").ca
    renamed = Authority.create("box fulcio", YEAR, kind="p256", root=YEAR, intermediate=YEAR)
    assert assert_no_path(other.issue(HOLDER, NOW)) == NO_PATH
    assert assert_no_path(renamed.issue(HOLDER, NOW)) == NO_PATH
    assert assert_no_path(renamed.issue(HOLDER, NOW), intermediates=renamed.chain) == NO_PATH


def test_an_altered_certificate_is_refused() -> None:
    altered = spoilt(b"dev@example.com", b"dev@example.org", as_der(leaf()))
    assert assert_no_path(parse_certificate(altered)) == NO_PATH


def test_a_self_signed_certificate_is_refused() -> None:
    key, certificate = self_signed_root("self", YEAR)
    assert_no_path(certificate)
    authority = Authority(key, (certificate,), YEAR)
    assert_no_path(authority.issue(HOLDER, NOW), intermediates=(certificate,))


def test_without_an_authority_there_is_no_path() -> None:
    with pytest.raises(
        UntrustedError, match=r"^the trust root has no certificate authority that was in use at 2026-01-01"
    ):
        find_issuer(leaf(), SIGSTORE.ca.chain, [], NOW)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519"])
def test_leaves_have_keys_of_every_kind_that_signs(kind: str) -> None:
    assert issuer_at(NOW, SIGSTORE.ca.issue(named_key(f"holder {kind}", kind), NOW))


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048"])
def test_ecdsa_and_rsa_keys_issue(kind: str) -> None:
    authority = Authority.create(f"ca {kind}", YEAR, kind=kind, root=YEAR, intermediate=YEAR)
    assert issuer_at(NOW, authority.issue(HOLDER, NOW), authority) == authority.chain[0]


def test_an_ed25519_key_does_not_issue() -> None:
    authority = root_of("ca ed25519", "ed25519")
    assert assert_no_path(authority.issue(HOLDER, NOW), authority) == NO_PATH


def test_the_leaf_is_valid_from_its_first_to_its_last_second() -> None:
    certificate = leaf(window=Window(NOW, NOW + 600 * SECOND))
    for at in (NOW, NOW + 600 * SECOND):
        assert issuer_at(at, certificate)
    for at in (NOW - SECOND, NOW + 601 * SECOND):
        assert_no_path(certificate, at=at)


EXPIRED, COMING = Window(NOW - 9 * DAY, NOW - SECOND), Window(NOW + SECOND, NOW + 9 * DAY)


@pytest.mark.parametrize("window", [EXPIRED, COMING], ids=["expired", "not yet valid"])
@pytest.mark.parametrize("which", ["root", "intermediate"])
def test_every_authority_on_the_path_is_valid_at_the_time_cve_2026_24122(which: str, window: Window) -> None:
    windows = {"root": YEAR, "intermediate": YEAR, which: window}
    authority = Authority.create(
        f"{which} out of time", YEAR, root=windows["root"], intermediate=windows["intermediate"]
    )
    certificate = authority.issue(HOLDER, NOW)
    assert assert_no_path(certificate, authority) == NO_PATH
    # The same is trusted at a time when all of them are valid.
    at = window.start
    assert issuer_at(at, authority.issue(HOLDER, at), authority)


def test_an_authority_is_trusted_in_its_own_window_only() -> None:
    authority = root_of("retired", used=Window(NOW - DAY, NOW))
    for at in (NOW - DAY, NOW):
        assert issuer_at(at, authority.issue(HOLDER, at), authority)
    for at in (NOW - DAY - SECOND, NOW + SECOND):
        message = assert_no_path(authority.issue(HOLDER, at), authority, at=at)
        assert message == f"the trust root has no certificate authority that was in use at {at:%Y-%m-%dT%H:%M:%SZ}"


def test_a_time_in_another_zone_is_the_same_time() -> None:
    other = (NOW - 9 * SECOND).astimezone(tz=None)
    assert assert_no_path(leaf(), at=other).endswith("2025-12-31T23:59:51Z")


def test_an_untrusted_intermediate_may_lie_on_a_path_to_a_trusted_root() -> None:
    authority = below()
    certificate = authority.issue(HOLDER, NOW)
    assert assert_no_path(certificate, TOP) == NO_PATH
    found = find_issuer(certificate, authority.chain[:1], [trusted(TOP)], NOW)
    assert found == authority.chain[0]


def test_an_untrusted_root_is_not_trusted_because_it_came_along() -> None:
    other = Authority.create("their own", YEAR, root=YEAR, intermediate=YEAR)
    assert assert_no_path(other.issue(HOLDER, NOW), intermediates=other.chain) == NO_PATH


def test_a_leaf_does_not_issue() -> None:
    # Whoever is certified once would otherwise be anyone.
    holder = Authority(HOLDER, (leaf(), *SIGSTORE.ca.chain), YEAR)
    for more in (leaf(), leaf(usage=key_usage("digital_signature", "key_cert_sign"))):
        forged = replace(holder, chain=(more,)).issue(named_key("forger"), NOW)
        assert assert_no_path(forged, intermediates=(more,)) == NO_PATH


ISSUING = {
    "for code signing": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True),
    "for code signing among others": (
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]),
        True,
    ),
    "for anything": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True),
    "for servers": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    "for timestamps": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), False),
}


@pytest.mark.parametrize("name", ISSUING)
@pytest.mark.parametrize("trust", ["trusted", "untrusted"])
def test_an_authority_issues_what_its_extended_key_usage_includes(name: str, trust: str) -> None:
    purposes, accepted = ISSUING[name]
    authority = below(purposes)
    certificate = authority.issue(HOLDER, NOW)
    roots, between = (authority, ()) if trust == "trusted" else (TOP, authority.chain[:1])
    if accepted:
        assert find_issuer(certificate, between, [trusted(roots)], NOW) == authority.chain[0]
    else:
        assert assert_no_path(certificate, roots, intermediates=between) == NO_PATH


@pytest.mark.parametrize("kind", [x509.BasicConstraints, x509.KeyUsage])
def test_a_certificate_that_is_no_authoritys_does_not_issue(kind: type[x509.ExtensionType]) -> None:
    authority = below(without=kind)
    assert assert_no_path(authority.issue(HOLDER, NOW), authority) == NO_PATH


def test_an_authority_that_may_only_sign_code_itself_does_not_issue() -> None:
    authority = below(key_usage("digital_signature"))
    assert assert_no_path(authority.issue(HOLDER, NOW), authority) == NO_PATH


def test_a_path_is_no_longer_than_its_authorities_allow() -> None:
    # The fake's intermediate has a path length of zero.
    lower = certify("too low", SIGSTORE.ca)
    assert assert_no_path(lower.issue(HOLDER, NOW), lower) == NO_PATH


def test_a_path_respects_the_names_that_an_authority_is_constrained_to() -> None:
    allowed = x509.NameConstraints([x509.RFC822Name("example.com")], None)
    other = x509.NameConstraints([x509.RFC822Name("example.org")], None)
    for constraints, accepted in ((allowed, True), (other, False)):
        authority = below(constraints)
        certificate = authority.issue(HOLDER, NOW)
        if accepted:
            assert issuer_at(NOW, certificate, authority)
        else:
            assert assert_no_path(certificate, authority) == NO_PATH


def test_a_critical_extension_that_nobody_understands_is_refused() -> None:
    value = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert_no_path(leaf(extensions=[x509.Extension(value.oid, True, value)]))  # noqa: FBT003
    assert issuer_at(NOW, leaf(extensions=[x509.Extension(value.oid, False, value)]))  # noqa: FBT003


def test_certificates_that_all_certify_each_other_cost_little() -> None:
    # Each of the eight is a valid issuer of every other: without a bound, eight to the power of eight paths.
    mutual = [certify("mutual", None) for _ in range(8)]
    certificate = mutual[0].issue(HOLDER, NOW)
    started = time.process_time()
    assert assert_no_path(certificate, intermediates=tuple(each.chain[0] for each in mutual)) == NO_PATH
    assert time.process_time() - started < 2


# --- SCT --------------------------------------------------------------------------------------------------------------


def promised(certificate: x509.Certificate, *logs: CtLog, issuer: x509.Certificate = SIGSTORE.ca.chain[0]) -> None:
    require_sct(certificate, issuer, parse_trusted_root(SIGSTORE.trusted_root(ct_logs=logs or [SIGSTORE.ct])).ct_logs)


def assert_not_promised(certificate: x509.Certificate, *logs: CtLog, issuer: x509.Certificate | None = None) -> str:
    with pytest.raises(UntrustedError) as caught:
        promised(certificate, *logs, issuer=issuer or SIGSTORE.ca.chain[0])
    assert caught.value.reason is Reason.NO_SCT
    return caught.value.message


NO_GOOD_SCT = "the certificate carries no signed certificate timestamp of a trusted log"
LOGS = {kind: CtLog.create(f"ct {kind}", Window(NOW - DAY), kind) for kind in ("p256", "p384", "rsa2048")}


@pytest.mark.parametrize("kind", LOGS)
def test_a_promise_of_a_trusted_log_is_accepted(kind: str) -> None:
    promised(leaf(logs=[LOGS[kind]]), LOGS[kind])


def test_a_certificate_that_nobody_promised_to_log_is_refused() -> None:
    message = "the certificate carries no signed certificate timestamp"
    assert assert_not_promised(leaf()) == message
    assert assert_not_promised(leaf(scts=sct_list([]))) == message


def test_a_promise_of_another_log_is_refused() -> None:
    assert assert_not_promised(leaf(logs=[LOGS["p256"]])) == NO_GOOD_SCT


def test_a_promise_signed_by_another_key_is_refused() -> None:
    forged = replace(SIGSTORE.ct, key=named_key("forger"))
    assert assert_not_promised(leaf(logs=[forged])) == NO_GOOD_SCT


def test_a_promise_that_names_another_log_is_not_tried_with_every_key() -> None:
    renamed = replace(SIGSTORE.ct, log_id=bytes(32))
    assert assert_not_promised(leaf(logs=[renamed])) == NO_GOOD_SCT


def test_a_promise_about_another_certificate_is_refused() -> None:
    other = leaf(subject="admin@example.com").tbs_certificate_bytes
    assert assert_not_promised(leaf(logs=[SIGSTORE.ct], promised_tbs=other)) == NO_GOOD_SCT


def test_a_promise_about_another_issuer_is_refused() -> None:
    assert assert_not_promised(leaf(logs=[SIGSTORE.ct], promised_issuer=bytes(32))) == NO_GOOD_SCT
    assert assert_not_promised(leaf(logs=[SIGSTORE.ct]), issuer=SIGSTORE.ca.chain[1]) == NO_GOOD_SCT


def test_a_log_is_believed_in_its_own_window_only() -> None:
    log = replace(SIGSTORE.ct, window=Window(NOW - DAY, NOW))
    for at in (NOW - DAY, NOW):
        promised(leaf(logs=[log], promised_at=at), log)
    for at in (NOW - DAY - SECOND, NOW + timedelta(milliseconds=1)):
        assert assert_not_promised(leaf(logs=[log], promised_at=at), log) == NO_GOOD_SCT


def test_a_promise_is_checked_to_the_millisecond() -> None:
    at = NOW + timedelta(milliseconds=999)
    certificate = leaf(logs=[SIGSTORE.ct], promised_at=at)
    [promise] = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert promise.timestamp.replace(tzinfo=UTC) == at
    promised(certificate)


def test_the_extensions_of_a_promise_are_part_of_what_is_signed() -> None:
    recorded = shared_fixture("conformance/bundle-with-sct-with-extensions")
    bundle = json.loads((recorded / "bundle.sigstore.json").read_bytes())
    certificate = parse_certificate(base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"]))
    [promise] = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert promise.extension_bytes
    root = parse_trusted_root((recorded / "trusted_root.json").read_bytes())
    issuer = find_issuer(certificate, [], root.certificate_authorities, certificate.not_valid_before_utc)
    require_sct(certificate, issuer, root.ct_logs)


def test_one_good_promise_among_others_is_enough() -> None:
    stranger = LOGS["p256"]
    promised(leaf(logs=[stranger, SIGSTORE.ct]))
    promised(leaf(logs=[replace(SIGSTORE.ct, key=named_key("forger")), SIGSTORE.ct]))


def test_a_log_that_is_listed_twice_is_believed_in_both_windows() -> None:
    old = replace(SIGSTORE.ct, window=Window(NOW - 9 * DAY, NOW - 8 * DAY))
    promised(leaf(logs=[SIGSTORE.ct]), old, SIGSTORE.ct)
    promised(leaf(logs=[SIGSTORE.ct], promised_at=NOW - 8 * DAY), SIGSTORE.ct, old)


def test_two_logs_with_one_id_are_both_asked() -> None:
    rotated = replace(SIGSTORE.ct, key=named_key("rotated"))
    promised(leaf(logs=[SIGSTORE.ct]), rotated, SIGSTORE.ct)


def test_so_many_promises_are_looked_at_and_no_more() -> None:
    strangers = [replace(SIGSTORE.ct, key=named_key("forger"))] * limits.SCTS
    promised(leaf(logs=[*strangers[1:], SIGSTORE.ct]))
    assert assert_not_promised(leaf(logs=[*strangers, SIGSTORE.ct])) == NO_GOOD_SCT


def test_a_promise_in_a_year_that_no_calendar_has_is_refused() -> None:
    promise = SIGSTORE.ct.promise(b"", bytes(32), NOW)
    late = promise[:33] + (2**64 - 1).to_bytes(8) + promise[41:]
    assert assert_not_promised(leaf(scts=sct_list([late]))) == NO_GOOD_SCT


def test_whoever_remembers_signatures_is_asked_about_promises_too() -> None:
    asked: list[tuple[PublicKey, bytes, Signed]] = []

    def remember(key: PublicKey, signature: bytes, message: Signed) -> None:
        asked.append((key, signature, message))
        key.verify(signature, message)

    certificate = leaf(logs=[SIGSTORE.ct])
    logs: tuple[Log, ...] = ROOT.ct_logs
    require_sct(certificate, SIGSTORE.ca.chain[0], logs, remember)
    [(key, signature, message)] = asked
    assert key == logs[0].key
    key.verify(signature, message)
