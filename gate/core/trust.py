"""The trust root as an immutable value: whose logs, certificates and timestamps count.

protobuf-specs ``sigstore_trustroot.proto``, TrustedRoot v0.1 and v0.2 in JSON.

Members are closed where one that is overlooked would widen what is trusted: a misspelt ``ctlogs`` would waive every
SCT, an unknown member of a window would be a limit that nobody keeps. They are open in logs and authorities themselves,
where v0.2 added ``operator`` and ``checkpointKeyId``: there every member that decides is obligatory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gate.core import limits, strictjson
from gate.core.der import parse_certificate
from gate.core.errors import MalformedError
from gate.core.keys import PublicKey, supported_key
from gate.core.oci import Digest
from gate.core.quote import quote

# sigstore_trustroot.proto, TrustedRoot.media_type: v0.1 has an older spelling, which every published root still uses.
MEDIA_TYPES = frozenset(
    {
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    }
)
_MEMBERS = frozenset({"mediaType", "tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"})
_KEY_MEMBERS = frozenset({"rawBytes", "keyDetails", "validFor"})
_WINDOW_MEMBERS = frozenset({"start", "end"})

# google.protobuf.Timestamp in JSON: RFC 3339, always UTC when written, other offsets are read.
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """When something was in use; both ends belong to it, and without an end it still is."""

    start: datetime
    end: datetime | None = None

    def contains(self, at: datetime) -> bool:
        """Return whether ``at`` (aware) lies in the window."""
        return self.start <= at and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Log:
    """A transparency log or a certificate transparency log: ``log_id`` is the id by which entries name it, exactly."""

    log_id: bytes
    key: PublicKey
    window: Window


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """An authority for certificates or timestamps.

    ``chain`` ends in the root. Of a certificate authority it begins with what issues; of a timestamp authority with the
    certificate that signs timestamps.
    """

    chain: tuple[x509.Certificate, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """Everything that is trusted beside the policy's keys; ``digest`` is of ``source``, the bytes that were parsed."""

    digest: Digest
    logs: tuple[Log, ...] = ()
    ct_logs: tuple[Log, ...] = ()
    certificate_authorities: tuple[CertificateAuthority, ...] = ()
    timestamp_authorities: tuple[CertificateAuthority, ...] = ()
    source: bytes = field(default=b"", repr=False, compare=False)


def parse_trusted_root(raw: bytes) -> TrustedRoot:
    """Return the trust root in ``raw`` (JSON), or raise MalformedError that names the path of what is wrong.

    Any list may be absent or empty. A log with a key of a kind that gate does not verify with is left out.
    """
    document = strictjson.loads_object(raw, limit=limits.TRUST_ROOT_BYTES)
    media_type = strictjson.expect_string(document.get("mediaType"), "mediaType")
    if media_type not in MEDIA_TYPES:
        raise MalformedError(f"mediaType is {quote(media_type)}, not that of a trust root v0.1 or v0.2")
    strictjson.expect_closed(document, "the trust root", _MEMBERS)
    logs, ct_logs = _logs(document, "tlogs"), _logs(document, "ctlogs")
    # A log may be listed once for each of its windows; of two keys with one id nobody knows which an entry names.
    if len({(log.log_id, log.key) for log in logs}) != len({log.log_id for log in logs}):
        raise MalformedError("tlogs lists two keys for one log id, and an entry names its log by that")
    if not ct_logs and document.get("ctlogs"):
        # Who lists CT logs obliges an SCT: that must not lapse because nothing can verify one.
        raise MalformedError("ctlogs lists no log with a key that is supported (ECDSA, RSA or Ed25519)")
    return TrustedRoot(
        Digest.of(raw),
        logs,
        ct_logs,
        _authorities(document, "certificateAuthorities"),
        _authorities(document, "timestampAuthorities"),
        raw,
    )


def _logs(document: strictjson.Object, name: str) -> tuple[Log, ...]:
    logs = (_log(fields, path) for path, fields in _listed(document.get(name), name))
    return tuple(log for log in logs if log is not None)


def _authorities(document: strictjson.Object, name: str) -> tuple[CertificateAuthority, ...]:
    return tuple(_authority(fields, path) for path, fields in _listed(document.get(name), name))


def _listed(value: strictjson.Json, name: str) -> Iterator[tuple[str, strictjson.Object]]:
    """Yield the path and the members of each object in a list that may be absent."""
    listed = () if value is None else strictjson.expect_array(value, name)
    if len(listed) > limits.TRUST_ROOT_ENTRIES:
        raise MalformedError(f"{name} has {len(listed)} entries, more than {limits.TRUST_ROOT_ENTRIES}")
    for number, each in enumerate(listed):
        path = f"{name}[{number}]"
        yield path, strictjson.expect_object(each, path)


def _log(fields: strictjson.Object, path: str) -> Log | None:
    """Return the log, or None for one whose key gate does not verify with."""
    public = strictjson.expect_closed(fields.get("publicKey"), f"{path}.publicKey", _KEY_MEMBERS)
    identified = strictjson.expect_closed(fields.get("logId"), f"{path}.logId", frozenset({"keyId"}))
    log_id = strictjson.expect_base64(identified.get("keyId"), f"{path}.logId.keyId")
    window = _window(public.get("validFor"), f"{path}.publicKey.validFor")
    der = strictjson.expect_base64(public.get("rawBytes"), f"{path}.publicKey.rawBytes")
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm:
        return None
    except ValueError as error:
        raise MalformedError(f"{path}.publicKey.rawBytes does not hold a public key that can be read") from error
    try:
        return Log(log_id, supported_key(key), window)
    except MalformedError:
        return None  # Well-formed, but nothing that it signs can be verified: as if it were not listed.


def _authority(fields: strictjson.Object, path: str) -> CertificateAuthority:
    what = f"{path}.certChain"
    chain = strictjson.expect_closed(fields.get("certChain"), what, frozenset({"certificates"}))
    listed = strictjson.expect_array(chain.get("certificates"), f"{what}.certificates")
    if not 0 < len(listed) <= limits.CHAIN_CERTIFICATES:
        raise MalformedError(
            f"{what}.certificates has {len(listed)} certificates, not 1 to {limits.CHAIN_CERTIFICATES}"
        )
    parsed = tuple(_certificate(each, f"{what}.certificates[{number}]") for number, each in enumerate(listed))
    if len(set(parsed)) != len(parsed):
        raise MalformedError(f"{what}.certificates lists a certificate twice")
    return CertificateAuthority(parsed, _window(fields.get("validFor"), f"{path}.validFor"))


def _certificate(value: strictjson.Json, path: str) -> x509.Certificate:
    fields = strictjson.expect_closed(value, path, frozenset({"rawBytes"}))
    der = strictjson.expect_base64(fields.get("rawBytes"), f"{path}.rawBytes")
    try:
        return parse_certificate(der)
    except MalformedError as error:
        raise MalformedError(f"{path}.rawBytes: {error.message}") from error


def _window(value: strictjson.Json, path: str) -> Window:
    fields = strictjson.expect_closed(value, path, _WINDOW_MEMBERS)
    start, end = fields.get("start"), fields.get("end")
    if start is None:
        raise MalformedError(f"{path}.start is missing")
    window = Window(_time(start, f"{path}.start"), None if end is None else _time(end, f"{path}.end"))
    if window.end is not None and window.end < window.start:
        raise MalformedError(f"{path} ends before it starts")
    return window


def _time(value: strictjson.Json, path: str) -> datetime:
    """Return the time (aware; what is below a microsecond is cut off), or raise MalformedError."""
    text = strictjson.expect_string(value, path)
    if _TIME.fullmatch(text) is None:
        raise MalformedError(f"{path} is not a time such as 2026-01-01T00:00:00Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(f"{path} is not a time that exists") from error
