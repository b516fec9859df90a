"""Bundles beside files: the signature of an artifact that is no image (sigstore-conformance, ``verify-bundle``)."""

from __future__ import annotations

from gate.core.errors import UntrustedError
from gate.core.formats.dsse import Envelope, Statement
from gate.core.formats.sigstorebundle import Bundle, MessageSignature
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Claim, UntrustedSignature


def read_artifact_signature(raw: bytes, artifact: bytes | Digest) -> UntrustedSignature:
    """Return the signature in the bundle ``raw`` as one of ``artifact``, given by its bytes or by its digest alone.

    Of a statement any predicate will do: it is its subjects that name the artifact. Raises MalformedError, and
    UntrustedError (unsupported; wrong-digest for a bundle that gives another digest of the artifact).
    """
    bundle = Bundle.parse(raw)
    match bundle.content:
        case Envelope(payload, signature) as envelope:
            claim = Claim(Statement.parse(payload).subjects)
            return _untrusted(bundle, raw, envelope.message, signature, claim, payload)
        case MessageSignature(signature, digest):
            known = artifact if isinstance(artifact, Digest) else Digest.of(artifact)
            if digest not in (None, known):
                raise UntrustedError(Reason.WRONG_DIGEST, f"the bundle is about {digest}, not {known}")
            return _untrusted(bundle, raw, artifact, signature, Claim((known,)), None)


def _untrusted(
    bundle: Bundle, raw: bytes, message: bytes | Digest, signature: bytes, claim: Claim, payload: bytes | None
) -> UntrustedSignature:
    return UntrustedSignature(
        "bundle", "the bundle", message, signature, claim, bundle.certified, bundle.material, payload, raw
    )
