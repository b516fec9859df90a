"""A timestamp authority that attests any time: RFC 3161 responses, CMS by asn1crypto."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypedDict, Unpack

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from gate.core.trust import Window
from gate.demo.signer import Signer
from tests.fakes.sigstore.authority import builder_for, common_name, key_usage, self_signed_root
from tests.fakes.sigstore.keys import certificate_hash, named_key

_POLICY = "1.3.6.1.4.1.57264.2"  # Sigstore's timestamp-authority


class Stamping(TypedDict, total=False):
    """What can be overridden in a response."""

    imprint: bytes  # the digest that is attested; the message's SHA-256
    algorithm: str  # what the imprint says it is
    status: str
    embedded: Sequence[x509.Certificate]  # the bag of certificates; the authority's own
    signing_key: Signer
    serial: int


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """The key that signs timestamps, its certificates (that key's first, the root's last), and when it is trusted."""

    key: Signer
    chain: tuple[x509.Certificate, ...]
    window: Window
    url: str = "https://tsa.example"

    @classmethod
    def create(cls, name: str, window: Window, *, certificate: Window, root: Window) -> Self:
        """Return an authority with keys of its own."""
        root_key, top = self_signed_root(f"{name} root", root)
        key = named_key(name)
        builder = builder_for(common_name(name), key, top.subject, root_key, certificate)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(key_usage("digital_signature"), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return cls(key, (builder.sign(root_key.key, certificate_hash(root_key.key)), top), window)

    def stamp(self, message: bytes, at: datetime, **changes: Unpack[Stamping]) -> bytes:
        """Return a response (DER TimeStampResp) that ``message`` existed at ``at``."""
        info = _info(message, at, changes)
        signed = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": "sha256"}],
                "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info)},
                "certificates": [
                    cms.CertificateChoices({"certificate": _asn1(each)})
                    for each in changes.get("embedded", self.chain[:1])
                ],
                "signer_infos": [self._signer_info(info, at, changes.get("signing_key", self.key))],
            }
        )
        token = cms.ContentInfo({"content_type": "signed_data", "content": signed})
        status = {"status": changes.get("status", "granted")}
        return tsp.TimeStampResp({"status": status, "time_stamp_token": token}).dump()

    def _signer_info(self, info: bytes, at: datetime, key: Signer) -> cms.SignerInfo:
        own = _asn1(self.chain[0])
        identifier = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(own.dump()).digest()})
        attributes = cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
                cms.CMSAttribute({"type": "signing_time", "values": [cms.Time({"utc_time": at})]}),
                cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(info).digest()]}),
                cms.CMSAttribute(
                    {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [identifier]})]}
                ),
            ]
        )
        named = {"issuer": own.issuer, "serial_number": own.serial_number}
        return cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier({"issuer_and_serial_number": named}),
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": key.sign(attributes.dump(), hashes.SHA256()),
            }
        )


def _info(message: bytes, at: datetime, changes: Stamping) -> bytes:
    imprint = {
        "hash_algorithm": {"algorithm": changes.get("algorithm", "sha256")},
        "hashed_message": changes.get("imprint", hashlib.sha256(message).digest()),
    }
    members = {
        "version": "v1",
        "policy": _POLICY,
        "message_imprint": imprint,
        "serial_number": changes.get("serial", x509.random_serial_number()),
        "gen_time": at,
        "accuracy": {"seconds": 1},
    }
    return tsp.TSTInfo(members).dump()


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
