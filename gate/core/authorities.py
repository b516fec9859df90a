"""Authorities: who may vouch for a digest."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from gate.core.transparency import Logged, LoggedSignature, require_in_use, verify_entries
from gate.core.trust import TrustedRoot
from gate.core.verdict import Signer

# A second verifier's word on a bundle (its bytes): returns, or raises UntrustedError (verifiers-differ).
SecondOpinion: TypeAlias = Callable[[bytes], None]

# What came of one signature for one digest: who vouches, or why nobody does.
Outcome: TypeAlias = Signer | tuple[Reason, str]

# Returns the outcome of that name: what it remembers, else what it is handed says. To prove a certificate takes
# milliseconds, and depends on nothing but the authority, the signature and the digest, so it need not be done twice.
Memo: TypeAlias = Callable[[bytes, Callable[[], Outcome]], Outcome]


def _forget(_name: bytes, ask: Callable[[], Outcome]) -> Outcome:
    return ask()


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
    memo: Memo = field(default=_forget, compare=False, repr=False)

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
        root = self.root
        if root is None:
            _require_signature(signature, self.key, subject, check)
            return Signer(self.name, self.identity)

        def prove() -> Signer:
            _require_signature(signature, self.key, subject, check)
            _prove(signature, self.key, None, root, _Demand(self.log, self.timestamp), check)
            return Signer(self.name, self.identity)

        return _remembered(self.memo, signature, subject, prove)


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
    memo: Memo = field(default=_forget, compare=False, repr=False)

    def verify(
        self,
        signature: UntrustedSignature,
        subject: Digest,
        now: datetime,  # noqa: ARG002 (see below)
        check: Check = PublicKey.verify,
    ) -> Signer:
        """Return the signer if one of the identities made ``signature`` for ``subject``, else raise UntrustedError.

        In the order of signatures.md 2.5, but what is cheap first: whoever is named is asked for before it is proved.
        ``now`` proves nothing about when a signature was made.
        """
        signer = _remembered(self.memo, signature, subject, lambda: self._prove(signature, subject, check))
        if self.second is not None and signature.document is not None:
            self.second(signature.document)
        return signer

    def _prove(self, signature: UntrustedSignature, subject: Digest, check: Check) -> Signer:
        leaf, *intermediates = signature.material.certificates() or (None,)
        if leaf is None:
            raise UntrustedError(
                Reason.CERTIFICATE, "the signature carries no certificate, and the authority is an identity"
            )
        key = public_key(leaf)
        _require_signature(signature, key, subject, check)
        require_profile(leaf)
        who = identity(leaf)
        if not any(rule.accepts(who) for rule in self.identities):
            vouched = "without an issuer" if who.issuer is None else f"by {quote(who.issuer)}"
            raise UntrustedError(
                Reason.IDENTITY, f"the certificate names {quote(who.subject)} {vouched}, whom the authority does not"
            )
        times = _prove(signature, key, leaf, self.root, _Demand(self.log, self.timestamp), check)
        if not times:
            raise UntrustedError(Reason.NO_TIME, "neither a log's promise nor a timestamp proves when it was signed")
        # Expired issuers vouch for nothing (CVE-2026-24122): each time is proved for the whole path.
        for at in dict.fromkeys(times):
            issuer = find_issuer(leaf, intermediates, self.root.certificate_authorities, at)
            if self.root.ct_logs:
                require_sct(leaf, issuer, self.root.ct_logs, check)
        return Signer(self.name, json.dumps([who.issuer, who.subject]))


@dataclass(frozen=True, slots=True)
class _Demand:
    log: bool
    timestamp: bool


def _remembered(memo: Memo, signature: UntrustedSignature, subject: Digest, prove: Callable[[], Signer]) -> Signer:
    """Return the signer that ``prove`` names, or has named for the same question, or raise UntrustedError."""
    outcome = memo(str(subject).encode() + signature.fingerprint, lambda: _outcome(prove))
    if isinstance(outcome, Signer):
        return outcome
    raise UntrustedError(*outcome)


def _outcome(prove: Callable[[], Signer]) -> Outcome:
    """Return what comes of it; what cannot be read is a refusal, because here it is needed."""
    try:
        return prove()
    except UntrustedError as error:
        return error.reason, error.message
    except MalformedError as error:
        return Reason.MALFORMED, error.message


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
    logged = Logged()
    if demand.log:
        about = LoggedSignature(signature.signature, signature.message, key, leaf, signature.payload)
        logged = verify_entries(signature.material.entries(), about, root.logs, signature.material.demand, check)
    if leaf is None and not demand.timestamp:
        require_in_use(logged.windows, logged.times)
        return logged.times
    stamped = verify_timestamps(signature.material.timestamps(), signature.signature, root.timestamp_authorities)
    if demand.timestamp and not stamped.proved:
        missing = "it carries no timestamp, and the rule requires one"
        raise UntrustedError(Reason.TIMESTAMP, stamped.refused[0] if stamped.refused else missing)
    times = (*stamped.proved, *logged.times)
    if stamped.refused and not times:
        raise UntrustedError(Reason.TIMESTAMP, stamped.refused[0])
    if times or leaf is None:  # of a certificate without any time that is said first
        require_in_use(logged.windows, times)
    return times


Authority: TypeAlias = KeyAuthority | KeylessAuthority
