"""Authorities: who may vouch for a digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from gate.core.errors import UntrustedError
from gate.core.identities import IdentityRule
from gate.core.keys import Check, PublicKey
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import UntrustedSignature
from gate.core.trust import TrustedRoot
from gate.core.verdict import Signer

# A second verifier's word on a bundle (its bytes): returns, or raises UntrustedError (verifiers-differ).
SecondOpinion: TypeAlias = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class KeyAuthority:
    """One public key. ``log`` and ``timestamp`` say what must be proved besides, by what ``root`` trusts.

    Where neither is wanted there is no root, and what lies beside a signature is not looked at.
    """

    name: str
    key: PublicKey
    root: TrustedRoot | None = None
    log: bool = False
    timestamp: bool = False

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


@dataclass(frozen=True, slots=True)
class KeylessAuthority:
    """Whoever proves to be one of ``identities`` to a certificate authority of ``root``.

    ``log`` and ``timestamp`` say what must be proved besides; without either, nothing would prove the time.
    ``second`` is another verifier that must accept a bundle as well, where there is one.
    """

    name: str
    identities: tuple[IdentityRule, ...]
    root: TrustedRoot
    log: bool = True
    timestamp: bool = False
    second: SecondOpinion | None = field(default=None, compare=False)

    def verify(
        self, signature: UntrustedSignature, subject: Digest, now: datetime, check: Check = PublicKey.verify
    ) -> Signer:
        """Return the signer if one of the identities made ``signature`` for ``subject``, else raise UntrustedError."""
        raise NotImplementedError


Authority: TypeAlias = KeyAuthority | KeylessAuthority
