"""Authorities: who may vouch for a digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from gate.core.certificates import find_issuer, identity, public_key, require_profile, require_sct
from gate.core.errors import MalformedError, UntrustedError
from gate.core.identities import IdentityRule
from gate.core.keys import Check, PublicKey
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import UntrustedSignature
from gate.core.timestamps import verify_timestamps
from gate.core.transparency import LoggedSignature, verify_entries
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

        ``now`` is part of every authority's interface; a key's answer does not depend on it. ``check`` says whether a
        signature is over a message: the key itself, or somebody who has asked it before.
        A key hint or certificate beside a tag-based signature is not looked at: the key decides.
        """
        if signature.certified:
            raise UntrustedError(
                Reason.CERTIFICATE, "the bundle is signed by a certificate, and the authority is a key"
            )
        _require_signature(signature, self.key, subject, check)
        if self.root is not None:
            with _readable():
                _prove(signature, self.key, None, self.root, _Demand(self.log, self.timestamp), check)
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
        self,
        signature: UntrustedSignature,
        subject: Digest,
        now: datetime,  # noqa: ARG002 (see below)
        check: Check = PublicKey.verify,
    ) -> Signer:
        """Return the signer if one of the identities made ``signature`` for ``subject``, else raise UntrustedError.

        In the order of signatures.md 2.5, what is cheap first. ``now`` proves nothing about when a signature was made.
        """
        with _readable():
            leaf, *intermediates = signature.material.certificates() or (None,)
            if leaf is None:
                raise UntrustedError(
                    Reason.CERTIFICATE, "the signature carries no certificate, and the authority is an identity"
                )
            key = public_key(leaf)
            _require_signature(signature, key, subject, check)
            require_profile(leaf)
            times = _prove(signature, key, leaf, self.root, _Demand(self.log, self.timestamp), check)
        if not times:
            raise UntrustedError(Reason.NO_TIME, "neither a log's promise nor a timestamp proves when it was signed")
        # Expired issuers vouch for nothing (CVE-2026-24122): each time is proved for the whole path.
        for at in times:
            issuer = find_issuer(leaf, intermediates, self.root.certificate_authorities, at)
            if self.root.ct_logs:
                require_sct(leaf, issuer, self.root.ct_logs, check)
        who = identity(leaf)
        if not any(rule.accepts(who) for rule in self.identities):
            vouched = "without an issuer" if who.issuer is None else f"by {quote(who.issuer)}"
            raise UntrustedError(
                Reason.IDENTITY, f"the certificate names {quote(who.subject)} {vouched}, whom the authority does not"
            )
        if self.second is not None and signature.document is not None:
            self.second(signature.document)
        return Signer(self.name, json.dumps([who.issuer, who.subject]))


@dataclass(frozen=True, slots=True)
class _Demand:
    log: bool
    timestamp: bool


@contextmanager
def _readable() -> Iterator[None]:
    """Say of what cannot be read that the candidate is refused: here it is needed."""
    try:
        yield
    except MalformedError as error:
        raise UntrustedError(Reason.MALFORMED, error.message) from error


def _require_signature(signature: UntrustedSignature, key: PublicKey, subject: Digest, check: Check) -> None:
    check(key, signature.signature, signature.message)
    # Only from here on is the claim proved to be the key holder's. A signature that was copied from another image,
    # complete and valid, ends here.
    if subject not in signature.claim.digests:
        raise UntrustedError(Reason.WRONG_DIGEST, "the signature is valid, but it signs another digest")


def _prove(
    signature: UntrustedSignature,
    key: PublicKey,
    leaf: x509.Certificate | None,
    root: TrustedRoot,
    demand: _Demand,
    check: Check,
) -> tuple[datetime, ...]:
    """Return every time that is proved, the log's and the timestamps', or raise UntrustedError for what is missing.

    A timestamp that does not verify counts as none (signedTimestamp: auto), unless one is required or no other time is.
    """
    logged: tuple[datetime, ...] = ()
    if demand.log:
        about = LoggedSignature(signature.signature, signature.message, key, leaf, signature.payload)
        logged = verify_entries(signature.material.entries(), about, root.logs, signature.material.demand, check)
    if leaf is None and not demand.timestamp:
        return logged
    stamped = verify_timestamps(signature.material.timestamps(), signature.signature, root.timestamp_authorities)
    if demand.timestamp and not stamped.proved:
        missing = "it carries no timestamp, and the rule requires one"
        raise UntrustedError(Reason.TIMESTAMP, stamped.refused[0] if stamped.refused else missing)
    if stamped.refused and not (stamped.proved or logged):
        raise UntrustedError(Reason.TIMESTAMP, stamped.refused[0])
    return (*stamped.proved, *logged)


Authority: TypeAlias = KeyAuthority | KeylessAuthority
