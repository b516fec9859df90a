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
        return tuple(layer for layer in _bundles(manifest)[:1] if layer.size <= limits.BUNDLE_BYTES)

    def omitted(self, manifest: Manifest) -> UnavailableError | None:
        """Return what is above those limits, or None."""
        bundles = _bundles(manifest)
        if len(bundles) > 1:
            return UnavailableError(Reason.LIMIT, f"a signature manifest has {len(bundles)} bundles, more than 1")
        if any(layer.size > limits.BUNDLE_BYTES for layer in bundles):
            return UnavailableError(Reason.LIMIT, f"a bundle is larger than {limits.BUNDLE_BYTES} bytes")
        return next((layer.excess for layer in _unreadable(manifest) if layer.excess is not None), None)

    def read(self, manifest: Manifest, location: str, documents: Mapping[Digest, bytes]) -> tuple[Candidate, ...]:
        """Return the candidate, if its bundle was fetched, and a refused one for each layer that is malformed."""
        found = (
            self._candidate(location, documents[layer.digest])
            for layer in _bundles(manifest)[:1]
            if layer.digest in documents
        )
        malformed = (
            RefusedCandidate(self.name, location, layer.reason, layer.message)
            for layer in _unreadable(manifest)
            if layer.excess is None
        )
        return (*found, *malformed)

    def _candidate(self, location: str, raw: bytes) -> Candidate:
        try:
            return read_signature(self.name, location, raw)
        except (MalformedError, UntrustedError) as error:
            return RefusedCandidate(self.name, location, error.reason, error.message)


def _is_bundle(layer: Descriptor | UnreadableLayer) -> bool:
    return layer.media_type is not None and layer.media_type.startswith(_BUNDLE_FAMILY)


def _bundles(manifest: Manifest) -> tuple[Descriptor, ...]:
    return tuple(layer for layer in manifest.layers if _is_bundle(layer))


def _unreadable(manifest: Manifest) -> tuple[UnreadableLayer, ...]:
    """Return what may be a bundle and cannot be read; where not even its type can, it is told, not passed over."""
    return tuple(layer for layer in manifest.unreadable_layers if layer.media_type is None or _is_bundle(layer))


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
        # Long lists of materials are attestations. They are not read: that would take the time of many signatures.
        message = f"its statement has more than {limits.STATEMENT_VALUES} values, as only attestations have"
        raise UntrustedError(Reason.ATTESTATION, f"{message}; an attestation is not a signature")
    statement = Statement.parse(raw)
    if statement.predicate_type != SIGNATURE_PREDICATE:
        raise UntrustedError(
            Reason.ATTESTATION, f"it attests {quote(statement.predicate_type)}; an attestation is not a signature"
        )
    return Claim(statement.subjects)
