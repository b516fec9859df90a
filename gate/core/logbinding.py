"""What a log entry is about: its body must name this signature, this signer and this message.

An entry of another signature proves nothing, however genuine it is: CVE-2022-23649, CVE-2022-36056, CVE-2024-51746,
CVE-2024-53267, CVE-2026-22703. sigstore/rekor ``pkg/types/*``, sigstore/protobuf-specs ``rekor/v2/*``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from cryptography import x509

from gate.core import limits, strictjson
from gate.core.certificates import parse_certificate, parse_certificates, public_key
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import PublicKey, Signed, parse_public_key
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.strictjson import Object, expect_array, expect_base64, expect_object, expect_string

# Whom an entry names: a certificate, or a key by its SPKI DER.
_Verifier: TypeAlias = x509.Certificate | bytes

HASHEDREKORD_V2 = ("hashedrekord", "0.0.2")  # the one kind of a log that makes no promises, Rekor v2

# sigstore/protobuf-specs sigstore_common.proto, HashAlgorithm
_V2_ALGORITHMS = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
_ALGORITHMS = frozenset(_V2_ALGORITHMS.values())


@dataclass(frozen=True, slots=True)
class LoggedSignature:
    """What an entry must be about to count: this signature of this message by this signer.

    ``payload`` is what is in a DSSE envelope, where the message is its encoding. ``certificate`` is the signer's, None
    where a key signs: then an entry that names a certificate must name one of that very key.
    """

    signature: bytes
    message: Signed
    key: PublicKey
    certificate: x509.Certificate | None = None
    payload: bytes | None = None

    def require_digest(self, algorithm: str, digest: str) -> None:
        """Return if the hexadecimal ``digest`` is the message's, else raise UntrustedError (log-entry)."""
        if isinstance(self.message, Digest):
            same = algorithm == "sha256" and digest == self.message.hex
        else:
            same = algorithm in _ALGORITHMS and digest == hashlib.new(algorithm, self.message).hexdigest()
        if not same:
            _refuse("message")

    def require_payload(self, digest: Object) -> None:
        """Return if ``digest`` (algorithm and value) is the payload's, else raise UntrustedError (log-entry)."""
        if self.payload is None or dict(digest) != {
            "algorithm": "sha256",
            "value": hashlib.sha256(self.payload).hexdigest(),
        }:
            _refuse("payload")

    def require_signature(self, signature: bytes) -> None:
        """Return if ``signature`` is this one, else raise UntrustedError (log-entry)."""
        if signature != self.signature:
            _refuse("signature")

    def require_verifier(self, named: _Verifier) -> None:
        """Return if ``named`` is who signed, else raise UntrustedError (log-entry)."""
        if self.certificate is not None:
            same = named == self.certificate
        else:
            same = self.key.spki == (_spki(named) if isinstance(named, x509.Certificate) else named)
        if not same:
            _refuse("signer")


def _spki(certificate: x509.Certificate) -> bytes:
    try:
        return public_key(certificate).spki
    except UntrustedError:
        _refuse("signer")  # whose key is of a kind that none of gate's keys is


def _refuse(what: str) -> NoReturn:
    raise UntrustedError(Reason.LOG_ENTRY, f"the log entry belongs to another {what}")


def parse_body(body: bytes) -> Object:
    """Return the body of a log entry, or raise MalformedError."""
    try:
        return strictjson.loads_object(body, limit=limits.LOG_BODY_BYTES, values=limits.SIGNED_VALUES)
    except MalformedError as error:
        raise MalformedError(f"the body of the log entry cannot be read: {error.message}") from error


def kind_of(body: Object) -> tuple[str, str]:
    """Return the kind and version that the body of a log entry says it has, or raise MalformedError."""
    kind = expect_string(body.get("kind"), "the kind of the log entry")
    return kind, expect_string(body.get("apiVersion"), "the apiVersion of the log entry")


def require_binding(body: bytes, kind: tuple[str, str], about: LoggedSignature) -> None:
    """Return if ``body`` is of that kind and version and about this signature.

    Raises UntrustedError (log-entry; unsupported for a kind that is not known), MalformedError.
    """
    fields = parse_body(body)
    if kind_of(fields) != kind:
        raise UntrustedError(Reason.LOG_ENTRY, "the log entry is of another kind than it says")
    if kind not in _KINDS:
        raise UntrustedError(
            Reason.UNSUPPORTED, f"the log entry is of kind {quote(kind[0])} {quote(kind[1])}, which is not supported"
        )
    _KINDS[kind](expect_object(fields.get("spec"), "the spec of the log entry"), about)


def _require_hashedrekord(spec: Object, about: LoggedSignature) -> None:
    digest = _member(_member(spec, "data"), "hash")
    about.require_digest(_text(digest, "algorithm"), _text(digest, "value"))
    signature = _member(spec, "signature")
    about.require_signature(_base64(signature, "content"))
    about.require_verifier(_verifier(_base64(_member(signature, "publicKey"), "content"), _parse_pem))


def _require_dsse(spec: Object, about: LoggedSignature) -> None:
    """Compare all but ``envelopeHash``, which is over one of many spellings of the envelope."""
    about.require_payload(_member(spec, "payloadHash"))
    signature = _only(spec.get("signatures"))
    about.require_signature(_base64(signature, "signature"))
    about.require_verifier(_verifier(_base64(signature, "verifier"), _parse_pem))


def _require_intoto(spec: Object, about: LoggedSignature) -> None:
    content = _member(spec, "content")
    about.require_payload(_member(content, "payloadHash"))
    signature = _only(_member(content, "envelope").get("signatures"))
    # The log encodes what the envelope holds encoded already.
    if _base64(signature, "sig") != base64.b64encode(about.signature):
        _refuse("signature")
    about.require_verifier(_verifier(_base64(signature, "publicKey"), _parse_pem))


def _require_hashedrekord_v2(spec: Object, about: LoggedSignature) -> None:
    record = _member(spec, "hashedRekordV002")
    data = _member(record, "data")
    algorithm = _text(data, "algorithm")
    about.require_digest(_V2_ALGORITHMS.get(algorithm, ""), _base64(data, "digest").hex())
    signature = _member(record, "signature")
    about.require_signature(_base64(signature, "content"))
    verifier = _member(signature, "verifier")
    if "x509Certificate" in verifier and "publicKey" in verifier:
        raise MalformedError("the log entry names a certificate and a key")  # rekor/v2/verifier.proto: oneof verifier
    if "x509Certificate" in verifier:
        der = _base64(_member(verifier, "x509Certificate"), "rawBytes")
        about.require_verifier(_verifier(der, parse_certificate))
    else:
        about.require_verifier(_base64(_member(verifier, "publicKey"), "rawBytes"))


_KINDS: dict[tuple[str, str], Callable[[Object, LoggedSignature], None]] = {
    ("hashedrekord", "0.0.1"): _require_hashedrekord,
    HASHEDREKORD_V2: _require_hashedrekord_v2,
    ("dsse", "0.0.1"): _require_dsse,
    ("intoto", "0.0.2"): _require_intoto,
}


def _member(fields: Object, name: str) -> Object:
    return expect_object(fields.get(name), f"the {name} of the log entry")


def _text(fields: Object, name: str) -> str:
    return expect_string(fields.get(name), f"the {name} of the log entry")


def _base64(fields: Object, name: str) -> bytes:
    return expect_base64(fields.get(name), f"the {name} of the log entry")


def _only(value: strictjson.Json) -> Object:
    signatures = expect_array(value, "the signatures of the log entry")
    if len(signatures) != 1:
        raise UntrustedError(Reason.LOG_ENTRY, f"the log entry names {len(signatures)} signatures, not exactly one")
    return expect_object(signatures[0], "the signature of the log entry")


def _verifier(encoded: bytes, parse: Callable[[bytes], _Verifier]) -> _Verifier:
    try:
        return parse(encoded)
    except MalformedError as error:
        raise MalformedError(f"the signer in the log entry cannot be read: {error.message}") from error


def _parse_pem(pem: bytes) -> _Verifier:
    """Return whom ``pem`` names; parsed, because the white space in it is the log's own."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        return parse_public_key(pem).spki
    certificate, *more = parse_certificates(pem)
    if more:
        raise MalformedError("it is more than one certificate")
    return certificate
