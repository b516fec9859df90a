"""Tag-based signatures: simple signing payloads in the layers of an image manifest, cosign SIGNATURE_SPEC.md.

The same layers are found under the tag ``sha256-<hex>.sig`` and in referrers; how they were found changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509

from gate.core import limits, strictjson
from gate.core.certificates import parse_certificates
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.manifests import Descriptor, Manifest, UnreadableLayer
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Claim, RefusedCandidate, UntrustedSignature
from gate.core.transparency import LogDemand, LogEntry

LAYER_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
CERTIFICATE_ANNOTATION = "dev.sigstore.cosign/certificate"
CHAIN_ANNOTATION = "dev.sigstore.cosign/chain"
ENTRY_ANNOTATION = "dev.sigstore.cosign/bundle"
TIMESTAMP_ANNOTATION = "dev.sigstore.cosign/rfc3161timestamp"
PAYLOAD_TYPE = "cosign container image signature"

# containers/image docs/containers-signature.5.md: a consumer refuses what it does not know inside "critical"
_CRITICAL = frozenset({"identity", "image", "type"})
_IDENTITY = frozenset({"docker-reference"})
_IMAGE = frozenset({"docker-manifest-digest"})


@dataclass(frozen=True, slots=True)
class LayerMaterial:
    """What cosign writes beside a signature into its layer's annotations; an empty one says nothing."""

    certificate: str = field(default="", repr=False)
    chain: str = field(default="", repr=False)
    entry: str = field(default="", repr=False)
    timestamp: str = field(default="", repr=False)

    @classmethod
    def of(cls, layer: Descriptor) -> LayerMaterial:
        """Return what the layer carries."""
        names = (CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, ENTRY_ANNOTATION, TIMESTAMP_ANNOTATION)
        return cls(*(layer.annotation(name) or "" for name in names))

    @property
    def demand(self) -> LogDemand:
        """A promise: the annotation has no place for a proof."""
        return LogDemand(promise=True, proof=False)

    @property
    def size(self) -> int:
        """How many bytes the annotations have."""
        return sum(len(text.encode()) for text in (self.certificate, self.chain, self.entry, self.timestamp))

    @property
    def raw(self) -> bytes:
        """The annotations, each with its length."""
        texts = (text.encode() for text in (self.certificate, self.chain, self.entry, self.timestamp))
        return b"".join(b"%d:%b" % (len(text), text) for text in texts)

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Return the signer's certificate, the first of its annotation, and then those of the chain."""
        signer = parse_certificates(self.certificate.encode())[:1]
        return (*signer, *parse_certificates(self.chain.encode())) if signer else ()

    def entries(self) -> tuple[LogEntry, ...]:
        """Return the one entry there can be."""
        return (LogEntry.from_annotation(self.entry),) if self.entry else ()

    def timestamps(self) -> tuple[bytes, ...]:
        """Return the one RFC 3161 response there can be."""
        if not self.timestamp:
            return ()
        fields = strictjson.loads_object(
            self.timestamp.encode(), limit=limits.ANNOTATIONS_BYTES, values=limits.SIGNED_VALUES
        )
        return (strictjson.expect_base64(fields.get("SignedRFC3161Timestamp"), "the SignedRFC3161Timestamp"),)


class SimpleSigningFormat:
    """One candidate for each layer of the simple signing type, and for each whose type cannot be read beside one."""

    name = "simplesigning"

    def recognises(self, manifest: Manifest) -> bool:
        """Return whether any layer says that it is a simple signing payload."""
        return any(layer.media_type == LAYER_TYPE for layer in manifest.all_layers)

    def wanted(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """Return the payloads of the first 64 layers, each of at most 64 KiB."""
        return tuple(
            layer
            for layer in _layers(manifest)[: limits.SIGNATURE_LAYERS]
            if isinstance(layer, Descriptor) and layer.size <= limits.SIMPLESIGNING_BYTES
        )

    def omitted(self, manifest: Manifest) -> UnavailableError | None:
        """Return what is above those limits, or None."""
        layers = _layers(manifest)
        if len(layers) > limits.SIGNATURE_LAYERS:
            message = f"a signature manifest has {len(layers)} signatures, more than {limits.SIGNATURE_LAYERS}"
            return UnavailableError(Reason.LIMIT, message)
        return next(filter(None, map(_excess, layers)), None)

    def read(self, manifest: Manifest, location: str, documents: Mapping[Digest, bytes]) -> tuple[Candidate, ...]:
        """Return one candidate for each payload that was fetched, and for each layer that is malformed."""
        layers = enumerate(_layers(manifest)[: limits.SIGNATURE_LAYERS])
        found = (self._read(layer, f"{location} layer {number}", documents) for number, layer in layers)
        return tuple(candidate for candidate in found if candidate is not None)

    def _read(
        self, layer: Descriptor | UnreadableLayer, location: str, documents: Mapping[Digest, bytes]
    ) -> Candidate | None:
        if isinstance(layer, UnreadableLayer):
            refused = RefusedCandidate(self.name, location, layer.reason, layer.message)
            return refused if layer.excess is None else None
        return self._candidate(layer, location, documents[layer.digest]) if layer.digest in documents else None

    def _candidate(self, layer: Descriptor, location: str, payload: bytes) -> Candidate:
        try:
            signature = _signature(layer)
            claim = parse_payload(payload)
        except (MalformedError, UntrustedError) as error:
            return RefusedCandidate(self.name, location, error.reason, error.message)
        return UntrustedSignature(self.name, location, payload, signature, claim, material=LayerMaterial.of(layer))


def _layers(manifest: Manifest) -> tuple[Descriptor | UnreadableLayer, ...]:
    """Return what may be a signature: a layer whose type cannot be read is told, rather than passed over."""
    return tuple(layer for layer in manifest.all_layers if layer.media_type in {LAYER_TYPE, None})


def _excess(layer: Descriptor | UnreadableLayer) -> UnavailableError | None:
    """Return what is above a limit in one layer, or None."""
    if isinstance(layer, UnreadableLayer):
        return layer.excess
    if layer.size > limits.SIMPLESIGNING_BYTES:
        return UnavailableError(Reason.LIMIT, f"a signed payload is larger than {limits.SIMPLESIGNING_BYTES} bytes")
    return None


def _signature(layer: Descriptor) -> bytes:
    text = layer.annotation(SIGNATURE_ANNOTATION)
    if not text:
        raise MalformedError("the layer carries no signature annotation")
    return strictjson.decode_base64(text, "the layer's signature annotation")


def parse_payload(payload: bytes) -> Claim:
    """Return what a simple signing payload claims; MalformedError, or UntrustedError (unsupported) for another type.

    The payload is unproved: the caller compares the claim only after the signature over these very bytes verified.
    """
    document = strictjson.loads_object(payload, limit=limits.SIMPLESIGNING_BYTES, values=limits.SIGNED_VALUES)
    critical = strictjson.expect_closed(document.get("critical"), "critical", _CRITICAL)
    kind = strictjson.expect_string(critical.get("type"), "critical.type")
    if kind != PAYLOAD_TYPE:
        raise UntrustedError(Reason.UNSUPPORTED, f"the payload is of type {quote(kind)}, not {quote(PAYLOAD_TYPE)}")
    image = strictjson.expect_closed(critical.get("image"), "critical.image", _IMAGE)
    identity = strictjson.expect_closed(critical.get("identity"), "critical.identity", _IDENTITY)
    digest = strictjson.expect_string(image.get("docker-manifest-digest"), "critical.image.docker-manifest-digest")
    reference = strictjson.expect_string(identity.get("docker-reference", ""), "critical.identity.docker-reference")
    return Claim((Digest.parse(digest),), reference or None)
