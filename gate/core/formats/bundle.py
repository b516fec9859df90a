"""Sigstore bundles (v0.3) in referrers: a DSSE envelope around an in-toto statement of cosign's signature type."""

from __future__ import annotations

from collections.abc import Mapping

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.formats.dsse import SIGNATURE_PREDICATE, Statement
from gate.core.formats.sigstorebundle import SINGLE_CERTIFICATE, Bundle, MessageSignature
from gate.core.manifests import Descriptor, Manifest, UnreadableLayer
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Claim, RefusedCandidate, UntrustedSignature

_BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle"


class BundleFormat:
    """One candidate for a manifest with a bundle."""

    name = "bundle"

    def recognises(self, manifest: Manifest) -> bool:
        """Return whether any layer says that it is a Sigstore bundle, of whatever version."""
        return any(_is_bundle(layer) for layer in manifest.all_layers)

    def wanted(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """Return the bundle, of at most 1 MiB; cosign puts one into a manifest, and only the first is read."""
        return tuple(
            layer
            for layer in _layers(manifest)[:1]
            if isinstance(layer, Descriptor) and layer.size <= limits.BUNDLE_BYTES
        )

    def omitted(self, manifest: Manifest) -> UnavailableError | None:
        """Return what is above those limits, or None."""
        layers = _layers(manifest)
        if len(layers) > 1:
            return UnavailableError(Reason.LIMIT, f"a signature manifest has {len(layers)} bundles, more than 1")
        return next(filter(None, map(_excess, layers)), None)

    def read(self, manifest: Manifest, location: str, documents: Mapping[Digest, bytes]) -> tuple[Candidate, ...]:
        """Return the candidate, if its bundle was fetched or its layer is malformed."""
        found = (self._read(layer, location, documents) for layer in _layers(manifest)[:1])
        return tuple(candidate for candidate in found if candidate is not None)

    def _read(
        self, layer: Descriptor | UnreadableLayer, location: str, documents: Mapping[Digest, bytes]
    ) -> Candidate | None:
        if isinstance(layer, UnreadableLayer):
            refused = RefusedCandidate(self.name, location, layer.reason, layer.message)
            return refused if layer.excess is None else None
        return self._candidate(location, documents[layer.digest]) if layer.digest in documents else None

    def _candidate(self, location: str, raw: bytes) -> Candidate:
        try:
            return read_signature(self.name, location, raw)
        except (MalformedError, UntrustedError) as error:
            return RefusedCandidate(self.name, location, error.reason, error.message)


def _is_bundle(layer: Descriptor | UnreadableLayer) -> bool:
    return layer.media_type is not None and layer.media_type.startswith(_BUNDLE_FAMILY)


def _layers(manifest: Manifest) -> tuple[Descriptor | UnreadableLayer, ...]:
    """Return what may be a bundle; a layer whose type cannot be read is told, rather than passed over.

    What can be read comes first, so that nothing else takes the place of the one bundle that is read.
    """
    layers = (layer for layer in manifest.all_layers if layer.media_type is None or _is_bundle(layer))
    return tuple(sorted(layers, key=lambda layer: isinstance(layer, UnreadableLayer)))


def _excess(layer: Descriptor | UnreadableLayer) -> UnavailableError | None:
    """Return what is above a limit in the layer, or None."""
    if isinstance(layer, UnreadableLayer):
        return layer.excess
    if layer.size > limits.BUNDLE_BYTES:
        return UnavailableError(Reason.LIMIT, f"a bundle is larger than {limits.BUNDLE_BYTES} bytes")
    return None


def read_signature(name: str, location: str, raw: bytes) -> UntrustedSignature:
    """Return the signature of an image in the bundle ``raw``, to be recorded as of format ``name`` at ``location``.

    Raises MalformedError, and UntrustedError (unsupported, attestation) for a bundle that signs no image.
    """
    bundle = Bundle.parse(raw)
    if bundle.version < SINGLE_CERTIFICATE:
        raise UntrustedError(Reason.UNSUPPORTED, f"the bundle is of version 0.{bundle.version}, not v0.3")
    if isinstance(bundle.content, MessageSignature):
        raise UntrustedError(Reason.UNSUPPORTED, "the bundle signs a message, not a statement about an image")
    envelope = bundle.content
    claim = parse_statement(envelope.payload)
    return UntrustedSignature(
        name,
        location,
        envelope.message,
        envelope.signature,
        claim,
        bundle.certified,
        bundle.material,
        envelope.payload,
        raw,
    )


def parse_statement(raw: bytes) -> Claim:
    """Return what an in-toto statement of cosign's signature type claims.

    Raises MalformedError; UntrustedError (attestation) for another predicate type, (unsupported) for another statement.
    The statement is unproved: the caller compares the claim only after the signature over these very bytes verified.
    """
    if strictjson.count_values(raw) > limits.STATEMENT_VALUES:
        # Long lists of materials are. What they say is not read: that would take the time of many signatures.
        message = f"its statement has more than {limits.STATEMENT_VALUES} values, as only attestations have"
        raise UntrustedError(Reason.ATTESTATION, f"{message}; an attestation is not a signature")
    statement = Statement.parse(raw)
    if statement.predicate_type != SIGNATURE_PREDICATE:
        raise UntrustedError(
            Reason.ATTESTATION, f"it attests {quote(statement.predicate_type)}; an attestation is not a signature"
        )
    return Claim(statement.subjects)
