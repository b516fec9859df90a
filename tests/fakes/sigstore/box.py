"""A whole Sigstore in memory: who certifies, who logs, who attests time, and the trust root that lists them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self, TypedDict, Unpack

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gate.core.formats.dsse import SIGNATURE_PREDICATE
from gate.core.oci import Digest
from gate.core.trust import Window
from gate.demo import layouts
from gate.demo.signer import Signer
from tests.fakes.sigstore import bodies
from tests.fakes.sigstore.authority import Authority, Leaf
from tests.fakes.sigstore.ctlog import CtLog
from tests.fakes.sigstore.keys import key_details, named_key, spki
from tests.fakes.sigstore.made import Holder, Layout, Made, encode
from tests.fakes.sigstore.rekor import Rekor
from tests.fakes.sigstore.tsa import TimestampAuthority

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFERENCE = "registry.example/team/config"


class Trusted(TypedDict, total=False):
    """What can be listed in a trust root in place of the Sigstore's own."""

    logs: Sequence[Rekor]
    ct_logs: Sequence[CtLog]
    authorities: Sequence[Authority]
    timestamp_authorities: Sequence[TimestampAuthority]


class Signing(TypedDict, total=False):
    """What can be overridden while signing; what is made can be taken apart afterwards."""

    content: bytes  # the payload or statement, in place of one about the digest
    hash: hashes.HashAlgorithm
    log: Rekor | None  # that keeps an entry; Rekor v1
    describe: bodies.Describe  # the kind of the entry
    stamped: bool  # by the timestamp authority; only where no promise proves a time
    at: datetime  # when it is signed, logged and stamped; now


@dataclass(frozen=True, slots=True)
class Sigstore:
    """Everything that a private instance runs. A part of another one is put in with dataclasses.replace()."""

    now: datetime
    ca: Authority
    ct: CtLog
    rekor: Rekor
    rekor2: Rekor
    tsa: TimestampAuthority

    @classmethod
    def create(cls, now: datetime = NOW, name: str = "box") -> Self:
        """Return an instance; the same name has the same keys, whenever it is made."""
        used = Window(now - timedelta(days=30))
        valid = Window(now - timedelta(days=365), now + timedelta(days=3650))
        return cls(
            now,
            Authority.create(f"{name} fulcio", used, root=valid, intermediate=valid),
            CtLog.create(f"{name} ct", used),
            Rekor.v1(f"rekor.{name}", used),
            Rekor.v2(f"rekor2.{name}", used),
            TimestampAuthority.create(f"{name} tsa", used, certificate=valid, root=valid),
        )

    def trusted_root(self, **changes: Unpack[Trusted]) -> bytes:
        """Return the trust root, as ``trusted_root.json`` has it."""
        logs = changes.get("logs", [self.rekor, self.rekor2])
        authorities = changes.get("authorities", [self.ca])
        stamping = changes.get("timestamp_authorities", [self.tsa])
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log(each) for each in logs],
            "certificateAuthorities": [_authority(each) for each in authorities],
            "ctlogs": [_log(each) for each in changes.get("ct_logs", [self.ct])],
            "timestampAuthorities": [_authority(each) for each in stamping],
        }
        return layouts.compact(document)

    def enroll(self, key: Signer | None = None, **changes: Unpack[Leaf]) -> Holder:
        """Return the holder of a certificate that is logged and otherwise as Fulcio's, or with these changes."""
        holding = key or named_key("holder")
        certificate = self.ca.issue(holding, self.now, **{"logs": [self.ct], **changes})
        return Holder(holding, certificate, self.ca.chain)

    def sign(self, layout: Layout, holder: Holder, digest: Digest, **changes: Unpack[Signing]) -> Made:
        """Return a signature about ``digest`` with its log entry, and with a timestamp where the log has no time."""
        content = changes["content"] if "content" in changes else _content(layout, digest)
        message = content if layout == "tag" else encode(content)
        made = Made(layout, holder, content, holder.key.sign(message, changes.get("hash")))
        log, at = changes.get("log", self.rekor), changes.get("at", self.now)
        if log is not None:
            describe = changes.get("describe", usual_body(log, layout))
            made = replace(made, entries=(log.append(describe(made), at),))
        if changes.get("stamped", log is None or not log.promises):
            made = replace(made, timestamps=(self.tsa.stamp(made.signature, at),))
        return made


def _content(layout: Layout, digest: Digest) -> bytes:
    if layout == "tag":
        return layouts.payload(digest, REFERENCE)
    return layouts.statement([digest], SIGNATURE_PREDICATE, layouts.STATEMENT_TYPE, {}, {})


def usual_body(log: Rekor, layout: Layout) -> bodies.Describe:
    """Return how cosign has the log describe a signature of this layout."""
    if not log.promises:
        return bodies.hashedrekord_v2
    return bodies.hashedrekord if layout == "tag" else bodies.dsse


def _log(log: Rekor | CtLog) -> dict[str, object]:
    key = {"rawBytes": _text(spki(log.key)), "keyDetails": key_details(log.key), "validFor": _window(log.window)}
    members = {"baseUrl": log.url, "hashAlgorithm": "SHA2_256", "publicKey": key}
    return {**members, "logId": {"keyId": _text(log.log_id)}}


def _authority(authority: Authority | TimestampAuthority) -> dict[str, object]:
    chain = [{"rawBytes": _text(each.public_bytes(Encoding.DER))} for each in authority.chain]
    return {
        "subject": {"organization": "sigstore.example", "commonName": "root"},
        "uri": authority.url,
        "certChain": {"certificates": chain},
        "validFor": _window(authority.window),
    }


def _window(window: Window) -> dict[str, str]:
    ends = (("start", window.start), ("end", window.end))
    return {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in ends if at is not None}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
