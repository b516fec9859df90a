"""Authorities: who may vouch for a digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gate.core.errors import UntrustedError
from gate.core.keys import Check, PublicKey
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import UntrustedSignature
from gate.core.verdict import Signer


@dataclass(frozen=True, slots=True)
class KeyAuthority:
    """One public key, with the transparency log ignored."""

    name: str
    key: PublicKey

    @property
    def identity(self) -> str:
        """What makes this signer distinct from others: the key, whatever it is called."""
        return self.key.fingerprint

    def verify(
        self,
        signature: UntrustedSignature,
        subject: Digest,
        now: datetime,  # noqa: ARG002 (see below)
        check: Check = PublicKey.verify,
    ) -> Signer:
        """Return the signer if ``signature`` is this key's and is about ``subject``, else raise UntrustedError.

        ``now`` is part of every authority's interface; a key's answer does not depend on it. ``check`` says whether the
        signature is over the message: the key itself, or somebody who has asked it before.
        A key hint, certificate, log entry or timestamp beside a tag-based signature is not looked at: the key decides.
        """
        if signature.certified:
            raise UntrustedError(
                Reason.CERTIFICATE, "the bundle is signed by a certificate, and the authority is a key"
            )
        check(self.key, signature.signature, signature.message)
        # Only from here on is the claim proved to be the key holder's. A signature that was copied from another image,
        # complete and valid, ends here.
        if subject not in signature.claim.digests:
            raise UntrustedError(Reason.WRONG_DIGEST, "the signature is valid, but it signs another digest")
        return Signer(self.name, self.identity)


Authority = KeyAuthority
