"""Certificate authorities that issue anything: a root, an intermediate, and leaves as Fulcio makes them, or not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TypedDict, Unpack

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gate.core.trust import Window
from gate.demo.signer import Signer
from tests.fakes.sigstore.ctlog import CtLog, sct_list
from tests.fakes.sigstore.keys import certificate_hash, named_key

# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # the bare text
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")  # DER UTF8String
OTHER_NAME = ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")  # RFC 6962 section 3.3

LEAF_LIFETIME = timedelta(minutes=10)  # Fulcio's
SUBJECT, ISSUER = "dev@example.com", "https://accounts.example"


def key_usage(*usages: str) -> x509.KeyUsage:
    """Return exactly these usages, by their names in x509.KeyUsage."""
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in usages for name in names})


def san(subject: str) -> x509.GeneralName:
    """Return the name in the kind that it looks like: an address, or else a URI."""
    if "@" in subject and "://" not in subject:
        return x509.RFC822Name(subject)
    return x509.UniformResourceIdentifier(subject)


def other_name(subject: str) -> x509.OtherName:
    """Return the name in Fulcio's kind of its own, for user names."""
    return x509.OtherName(OTHER_NAME, core.UTF8String(subject).dump())


def common_name(name: str) -> x509.Name:
    """Return a distinguished name."""
    attributes = ((NameOID.ORGANIZATION_NAME, "sigstore.example"), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes])


class Leaf(TypedDict, total=False):
    """What can be overridden in a leaf certificate; None leaves a part out."""

    subject: str  # the one subject alternative name
    names: Sequence[x509.GeneralName]  # all of them, in place of it; an empty one leaves the extension out
    issuer: str | None  # in both extensions
    issuer_v1: bytes | None  # the value of the one extension, whatever ``issuer`` says
    issuer_v2: bytes | None  # the value of the other
    window: Window
    usage: x509.KeyUsage | None
    purposes: Sequence[ObjectIdentifier] | None  # extended key usage
    constraints: x509.BasicConstraints | None
    extensions: Sequence[x509.Extension[x509.ExtensionType]]  # more of them
    logs: Sequence[CtLog]  # that promise to log it; an empty one leaves the extension out
    promised_at: datetime
    promised_tbs: bytes  # what the logs sign in place of this certificate
    promised_issuer: bytes  # the key hash that they sign
    scts: bytes  # the content of the extension; the four above are then not used


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that issues, its certificates (that key's first, the root's last), and when it is trusted."""

    key: Signer
    chain: tuple[x509.Certificate, ...]
    window: Window
    url: str = "https://ca.example"

    @classmethod
    def create(  # each certificate has a window and there is one more in the trust root
        cls, name: str, window: Window, *, kind: str = "p384", root: Window, intermediate: Window | None
    ) -> Self:
        """Return an authority with keys of its own; without ``intermediate`` the root itself issues."""
        root_name, root_key = common_name(f"{name} root"), named_key(f"{name} root", kind)
        top = _certify(root_name, root_key, root_name, root_key, root, 1)
        if intermediate is None:
            return cls(root_key, (top,), window)
        subject, key = common_name(f"{name} intermediate"), named_key(f"{name} intermediate", kind)
        issuing = _certify(subject, key, root_name, root_key, intermediate, 0, ExtendedKeyUsageOID.CODE_SIGNING)
        return cls(key, (issuing, top), window)

    def issue(self, key: Signer, now: datetime, **changes: Unpack[Leaf]) -> x509.Certificate:
        """Return a certificate for ``key``, by default as Fulcio's without any SCT."""
        window = changes.get("window", Window(now, now + LEAF_LIFETIME))
        builder = builder_for(x509.Name([]), key, self.chain[0].subject, self.key, window)
        for extension in _extensions(changes):
            builder = builder.add_extension(extension.value, extension.critical)
        algorithm = certificate_hash(self.key.key)
        promised = _promises(builder.sign(self.key.key, algorithm), self.chain[0], window.start, changes)
        if promised is None:
            return builder.sign(self.key.key, algorithm)
        value = x509.UnrecognizedExtension(SCT_LIST, core.OctetString(promised).dump())
        return builder.add_extension(value, critical=False).sign(self.key.key, algorithm)


def builder_for(
    subject: x509.Name, key: Signer, issuer: x509.Name, issuer_key: Signer, window: Window
) -> x509.CertificateBuilder:
    """Return a certificate with its names, keys and window, to be extended and signed; it needs an end."""
    assert window.end is not None
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(window.start)
        .not_valid_after(window.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.key.public_key()), critical=False)
    )


def _certify(
    subject: x509.Name,
    key: Signer,
    issuer: x509.Name,
    issuer_key: Signer,
    window: Window,
    path_length: int,
    *purposes: ObjectIdentifier,
) -> x509.Certificate:
    builder = builder_for(subject, key, issuer, issuer_key, window)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(issuer_key.key, certificate_hash(issuer_key.key))


def self_signed_root(name: str, window: Window, kind: str = "p384") -> tuple[Signer, x509.Certificate]:
    """Return a root that issues leaves alone: its key and its certificate."""
    key = named_key(name, kind)
    return key, _certify(common_name(name), key, common_name(name), key, window, 0)


def _extensions(changes: Leaf) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    names = changes.get("names", [san(changes.get("subject", SUBJECT))])
    issuer = changes.get("issuer", ISSUER)
    v1 = changes.get("issuer_v1", None if issuer is None else issuer.encode())
    v2 = changes.get("issuer_v2", None if issuer is None else core.UTF8String(issuer).dump())
    purposes = changes.get("purposes", [ExtendedKeyUsageOID.CODE_SIGNING])
    values = (
        (changes.get("usage", key_usage("digital_signature")), True),
        (x509.ExtendedKeyUsage(purposes) if purposes else None, False),
        (changes.get("constraints"), True),
        (x509.SubjectAlternativeName(names) if names else None, True),
        (None if v1 is None else x509.UnrecognizedExtension(ISSUER_V1, v1), False),
        (None if v2 is None else x509.UnrecognizedExtension(ISSUER_V2, v2), False),
    )
    given = tuple(x509.Extension(value.oid, critical, value) for value, critical in values if value is not None)
    return (*given, *changes.get("extensions", ()))


def _promises(plain: x509.Certificate, issuer: x509.Certificate, at: datetime, changes: Leaf) -> bytes | None:
    """Return the content of the SCT extension of ``plain``, which has none, or None for no such extension."""
    if "scts" in changes:
        return changes["scts"]
    logs = changes.get("logs", ())
    if not logs:
        return None
    tbs = changes.get("promised_tbs", plain.tbs_certificate_bytes)
    spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key_hash = changes.get("promised_issuer", hashlib.sha256(spki).digest())
    return sct_list([log.promise(tbs, key_hash, changes.get("promised_at", at)) for log in logs])
