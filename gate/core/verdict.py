"""Verdicts: the four answers, what each rule and each candidate said, and who signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gate.core.oci import Digest, Reference
from gate.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Signer:
    """Who vouches: the authority of the policy that accepted, and the public key or identity it accepted.

    ``identity`` is what makes signers distinct: a key's fingerprint, or an (issuer, SAN) pair.
    """

    authority: str
    identity: str


@dataclass(frozen=True, slots=True)
class Verified:
    """Every rule that had to hold holds, by these signers."""

    message: str
    signers: tuple[Signer, ...]
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> Reason:
        """The one reason there is."""
        return Reason.VERIFIED


@dataclass(frozen=True, slots=True)
class Exempt:
    """Admitted without a proof: ``reason`` says by which written-down choice."""

    reason: Reason
    message: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """Everything could be read, and it does not satisfy."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Something could not be read, so nothing can be concluded; this denies."""

    reason: Reason
    message: str
    outage: bool = False


Verdict: TypeAlias = Verified | Exempt | Denied | Unavailable

ADMITTING = (Verified, Exempt)
REFUSING = (Denied, Unavailable)


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """What became of one candidate under one authority or all of them: ``signer`` is set if, and only if, it counts."""

    format: str
    location: str
    reason: Reason
    message: str
    signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule says, before its mode is applied: ``verdict`` is the true one, for the record."""

    name: str
    mode: str
    verdict: Verdict
    candidates: tuple[CandidateResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one subject, with everything that led to it.

    ``subject`` names the digest that was decided on; it is None when there was none to decide on. ``index`` is an index
    that lists it and could vouch for it as well. ``kept`` says that the evidence was at hand, and nobody was asked.
    ``undecided`` says that it is not known which digests a rule about the subject can name: its tag, or an index, could
    not be read. ``refused`` is the true verdict where an exception or the rollout admits what is refused otherwise.
    Where none does, ``lapsed`` says why those have no effect that are meant for what was asked about: the policy's own
    words, and nothing that a registry said.
    """

    verdict: Verdict
    rules: tuple[RuleResult, ...] = ()
    subject: Reference | None = None
    index: Digest | None = None
    kept: bool = False
    undecided: bool = False
    refused: Denied | Unavailable | None = None
    lapsed: tuple[str, ...] = ()

    @property
    def admits(self) -> bool:
        """True for verified and exempt; every other answer denies."""
        return isinstance(self.verdict, ADMITTING)

    @property
    def candidates(self) -> tuple[CandidateResult, ...]:
        """Every candidate once, as the rule sees it that accepts it, else as the first rule does."""
        best: dict[tuple[str, str], CandidateResult] = {}
        for result in (result for rule in self.rules for result in rule.candidates):
            known = best.get((result.format, result.location))
            if known is None or (known.signer is None and result.signer is not None):
                best[result.format, result.location] = result
        return tuple(best.values())
