"""What a private Sigstore needs and nobody ships as one program: an issuer of identity tokens, and a CT log."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from asn1crypto import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.jose import ALGORITHM, TokenKey
from tests.e2e.serving import Request, in_json, serving

AUDIENCE = "sigstore"
TOKEN_SECONDS = 3600  # longer than any run
POISON = "1.3.6.1.4.1.11129.2.4.3"  # what makes a certificate a precertificate; RFC 6962, section 3.1
_V1, _CERTIFICATE_TIMESTAMP, _PRECERT_ENTRY, _NO_EXTENSIONS = b"\0", b"\0", b"\0\1", b"\0\0"  # RFC 6962, section 3.2
_SHA256_ECDSA = b"\4\3"  # RFC 5246, section 7.4.1.4.1


@dataclass(slots=True)
class Issuer:
    """An OpenID Connect issuer that believes whoever asks it."""

    url: str = ""
    key: TokenKey = field(default_factory=TokenKey)

    def token(self, email: str) -> str:
        """Return a token that says that its bearer is ``email``."""
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + TOKEN_SECONDS}
        return self.key.sign(
            {"iss": self.url, "aud": AUDIENCE, "sub": email, "email": email, "email_verified": True, **times}
        )

    def answer(self, request: Request) -> tuple[int, object]:
        """Return what OpenID Connect Discovery 1.0 wants, and the key."""
        discovery = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        documents = {"/.well-known/openid-configuration": discovery, "/keys": self.key.jwks()}
        document = documents.get(request.path)
        return (404, {}) if document is None else (200, document)


@contextlib.contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Yield an issuer on loopback."""
    issuer = Issuer()
    with serving(in_json(issuer.answer)) as port:
        issuer.url = f"http://127.0.0.1:{port}"
        yield issuer


@dataclass(frozen=True, slots=True)
class CtLog:
    """A certificate transparency log that promises to log, which is all that a certificate shows."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def answer(self, request: Request) -> tuple[int, object]:
        """Return the signed certificate timestamp of the precertificate; RFC 6962, sections 3.2 and 4.2."""
        chain = [x509.Certificate.load(base64.b64decode(each)) for each in json.loads(request.body)["chain"]]
        milliseconds = int(time.time() * 1000)
        signed = _V1 + _CERTIFICATE_TIMESTAMP + struct.pack(">Q", milliseconds) + _PRECERT_ENTRY
        signed += _entry(*chain[:2]) + _NO_EXTENSIONS
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        log_id = hashlib.sha256(public_key(self.key, serialization.Encoding.DER)).digest()
        return 200, {
            "sct_version": 0,
            "id": base64.b64encode(log_id).decode(),
            "timestamp": milliseconds,
            "extensions": "",
            "signature": base64.b64encode(_SHA256_ECDSA + struct.pack(">H", len(signature)) + signature).decode(),
        }


def _entry(precertificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """Return what of the precertificate is signed: who issued it, and its content without the poison."""
    content = precertificate["tbs_certificate"]
    content["extensions"] = [each for each in content["extensions"] if each["extn_id"].dotted != POISON]
    encoded = content.dump(force=True)
    issuer_key = issuer["tbs_certificate"]["subject_public_key_info"].dump()
    return hashlib.sha256(issuer_key).digest() + len(encoded).to_bytes(3) + encoded


@contextlib.contextmanager
def running_ct_log(key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    """Yield the URL of a CT log on loopback that signs with ``key``."""
    with serving(in_json(CtLog(key).answer)) as port:
        yield f"http://127.0.0.1:{port}/log"


def public_key(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    """Return the public half of ``key`` as SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
