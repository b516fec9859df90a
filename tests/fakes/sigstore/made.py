"""A signature and everything that lies beside it, taken apart: what an attacker swaps is one field of a value."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gate.core.formats import dsse, sigstorebundle, simplesigning
from gate.core.oci import Digest
from gate.core.transparency import LogEntry
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from tests.fakes.sigstore.rekor import as_annotation, as_member

Layout = Literal["tag", "bundle"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever signs: with a key alone, or with a certificate for it; ``chain`` is what cosign adds to that."""

    key: Signer
    certificate: x509.Certificate | None = None
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """What log entries call the signer: the certificate, else the public key."""
        return self.key.public_pem if self.certificate is None else self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Made:
    """One signature over ``content``, a simple signing payload ("tag") or an in-toto statement ("bundle").

    Nothing holds its parts together: with dataclasses.replace() any of them becomes another one's.
    """

    layout: Layout
    holder: Holder
    content: bytes
    signature: bytes
    entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()

    @property
    def message(self) -> bytes:
        """What the signature is over."""
        return self.content if self.layout == "tag" else encode(self.content)

    @property
    def envelope(self) -> layouts.Fields:
        """The statement in its DSSE envelope."""
        return layouts.envelope(self.content, [self.signature])

    def with_entry(self, **changes: object) -> Made:
        """Return the signature with its log entry changed, and nothing signed again."""
        return replace(self, entries=(replace(self.entries[0], **changes),))

    def annotations(self) -> dict[str, str]:
        """Return what cosign writes into the annotations of a layer, beside the signature."""
        found: dict[str, str] = {}
        if self.holder.certificate is not None:
            found[simplesigning.CERTIFICATE_ANNOTATION] = self.holder.pem.decode()
            chain = b"".join(each.public_bytes(Encoding.PEM) for each in self.holder.chain)
            found[simplesigning.CHAIN_ANNOTATION] = chain.decode()
        for entry in self.entries:
            found[simplesigning.ENTRY_ANNOTATION] = as_annotation(entry)
        for stamp in self.timestamps:
            text = layouts.compact({"SignedRFC3161Timestamp": _text(stamp)}).decode()
            found[simplesigning.TIMESTAMP_ANNOTATION] = text
        return found

    def material(self) -> dict[str, object]:
        """Return a bundle's verificationMaterial."""
        if self.holder.certificate is None:
            members: dict[str, object] = {"publicKey": {"hint": self.holder.key.hint}}
        else:
            members = {"certificate": {"rawBytes": _text(self.holder.certificate.public_bytes(Encoding.DER))}}
        if self.entries:
            members["tlogEntries"] = [as_member(entry) for entry in self.entries]
        if self.timestamps:
            stamps = [{"signedTimestamp": _text(each)} for each in self.timestamps]
            members["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        return members

    def document(self, **members: object) -> bytes:
        """Return the bundle, with these members in place of its own; None leaves one out."""
        own = {
            "mediaType": sigstorebundle.BUNDLE_TYPE,
            "verificationMaterial": self.material(),
            "dsseEnvelope": self.envelope,
        }
        return layouts.compact({name: value for name, value in {**own, **members}.items() if value is not None})

    def push(self, store: Store, repository: str, digest: Digest) -> Digest:
        """Store it beside ``digest`` as cosign would, and return the digest of the signature's manifest."""
        if self.layout == "bundle":
            return self.holder.key.sign_bundle(store, repository, digest, document=self.document())
        return self.holder.key.sign_tag(
            store,
            repository,
            digest,
            payload=self.content,
            signature=self.signature,
            annotations=self.annotations(),
        )


def encode(statement: bytes) -> bytes:
    """Return what a signature over the statement is over."""
    return dsse.pre_authentication_encoding(dsse.IN_TOTO_TYPE, statement)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
