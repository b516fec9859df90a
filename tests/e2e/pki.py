"""Fresh certificates for one test run: an authority, servers on loopback, and client certificates."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=1)
LEEWAY = dt.timedelta(minutes=5)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Holder:
    """A key, and the certificate that says whose it is."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def new(
        cls, name: str, issuer: Holder | None = None, *, ca: bool, purpose: x509.ObjectIdentifier | None = None
    ) -> Holder:
        """Return a new holder whom ``issuer`` certifies for ``purpose``; without issuer, one who certifies himself."""
        key = ec.generate_private_key(ec.SECP256R1())
        by = key if issuer is None else issuer.key
        subject = _name(name)
        builder = _builder(subject, subject if issuer is None else issuer.certificate.subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=ca), critical=True)
        builder = builder.add_extension(_authority_key(by), critical=False)
        if purpose is not None:
            # RFC 3161, section 2.3, wants it critical in the certificate that signs timestamps.
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=not ca)
        return cls(key, builder.sign(by, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """Return the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate authority whose files lie in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the authority; ``certificate`` is the path of its PEM file."""
        self._folder = folder
        self._holder = Holder.new(name, ca=True)
        self.certificate = folder / f"{name}.crt"
        self.certificate.write_bytes(self._holder.pem)

    def issue(self, name: str, organization: str | None = None, hosts: Sequence[str] = ()) -> tuple[Path, Path]:
        """Return the PEM files of a certificate and its key, for server and client.

        The certificate is for localhost, 127.0.0.1 and ``hosts``.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [*map(x509.DNSName, ("localhost", *hosts)), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
        )
        builder = _builder(_name(name, organization), self._holder.certificate.subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([SERVER, CLIENT]), critical=False)
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(_authority_key(self._holder.key), critical=False)
        certificate = self._folder / f"{name}.crt"
        signed = builder.sign(self._holder.key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return certificate, write_key(self._folder / f"{name}.key", key)


def service_account_key(path: Path) -> Path:
    """Write the RSA key with which the API server signs ServiceAccount tokens."""
    return write_key(path, rsa.generate_private_key(public_exponent=65537, key_size=2048))


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> Path:
    """Write ``key`` as unencrypted PEM that only its owner reads, and return ``path``."""
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(encoded)
    return path


def _name(common: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - LEEWAY).not_valid_after(now + LIFETIME)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _authority_key(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
