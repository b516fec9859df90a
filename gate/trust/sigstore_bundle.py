"""The second verifier: what Sigstore's own library says of a bundle that the core has accepted.

Imported only where a policy names ``trustRoot: sigstore``: the library costs 13 MiB and half a second.
"""

from __future__ import annotations

import hashlib
import json

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.verify import Verifier

from gate.core import limits, strictjson
from gate.core.errors import ConfigError, UntrustedError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.trust import TrustedRoot
from gate.kept import Kept

ANSWERS = 4096  # remembered, of about 200 bytes each: as many as digests whose evidence is kept
_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_SIGNING = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
_UNREAD = "Sigstore's own library, which must accept the bundle as well, cannot read it"
_KEY = "Sigstore's own library, which must accept the bundle as well, verifies ECDSA P-256 keys alone; sign with one"


class AnyIdentity:
    """The library's question about identities, left to the core, which has answered it by the policy's rules.

    Not ``policy.UnsafeNoOp``: that writes a warning into the log for every bundle, which would be untrue here.
    """

    def verify(self, cert: x509.Certificate) -> None:
        """Return, whoever is named in ``cert``."""


class SigstoreBundles:
    """A SecondOpinion: Sigstore's own ``Verifier`` under one trust root, built once. Thread safe.

    Its word on a document depends on the document and the root alone, no clock and no network, so it is remembered.
    """

    def __init__(self, root: TrustedRoot, answers: int = ANSWERS) -> None:
        """Build the verifier, or raise ConfigError when the library cannot use ``root``."""
        self._verifier = _verifier(root)
        self._answers: Kept[str | None] = Kept(answers)

    def __call__(self, document: bytes) -> None:
        """Return if the library accepts the bundle in ``document``, else raise UntrustedError (verifiers-differ)."""
        refusal = self._answers.get(hashlib.sha256(document).digest(), lambda: _ask(self._verifier, document))
        if refusal is not None:
            raise UntrustedError(Reason.VERIFIERS_DIFFER, refusal)


def _verifier(root: TrustedRoot) -> Verifier:
    # The library reads a trust root from a file, or as part of a whole client configuration: the latter needs no file.
    document = strictjson.loads(root.source, limit=limits.TRUST_ROOT_BYTES)
    config = {"mediaType": _CONFIG, "trustedRoot": document, "signingConfig": {"mediaType": _SIGNING}}
    try:
        return Verifier(trusted_root=ClientTrustConfig.from_json(json.dumps(config)).trusted_root)
    except Exception as error:  # it raises what its parts raise (spec 3.1), and all of it means the same
        raise ConfigError("Sigstore's own library cannot use the trust root that gate can") from error


def _ask(verifier: Verifier, document: bytes) -> str | None:
    """Return None if the library accepts the bundle, else why not in one sentence.

    A bundle that it cannot verify is refused like one that it refuses: under its own root it must accept.
    """
    try:
        bundle = Bundle.from_json(document)
    except Exception:  # noqa: BLE001 (see below)
        return _UNREAD
    try:
        verifier.verify_dsse(bundle, AnyIdentity())
    except VerificationError as error:
        return _KEY if _foreign(bundle) else f"Sigstore's own library refuses the bundle: {quote(str(error))}"
    except Exception:  # noqa: BLE001 (TypeError for RSA keys, ValueError for odd certificates: it raises what its parts raise)
        return _KEY if _foreign(bundle) else _UNREAD
    return None


def _foreign(bundle: Bundle) -> bool:
    """Return whether the leaf's key is one that the library does not verify: it knows P-256 with SHA-256 alone."""
    key = bundle.signing_certificate.public_key()
    return not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1))
